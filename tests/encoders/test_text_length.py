"""Short queries need no tokenizer to be known as short; where that tells nothing, the tokenizer is asked."""

import json

import pytest

from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.text_length import surely_whole


@pytest.mark.parametrize("name", ["clip", "siglip", "vision_text", "chinese_clip", "altclip"])
def test_what_is_surely_whole_is_not_cut(name, request):
    folder = request.getfixturevalue(f"{name}_folder")
    encoder = DualEncoder.load(str(folder), device="cpu", precision="fp32")
    limit = encoder.max_text_length
    for length in range(1, 2 * limit, 7):
        for text in ("q" * length, "?" * length, ("a b" * length)[:length], "€" * length, "ﷺ" * length, "İ" * length):
            if surely_whole(str(folder), [text]):
                assert len(encoder.tokenizer(text).input_ids) <= limit
    assert surely_whole(str(folder), ["gift for a mother"])
    assert not surely_whole(str(folder), ["gift " * limit])
    assert surely_whole(str(folder), ["für 5 €"])


def test_of_no_local_checkpoint_nothing_is_known(tmp_path):
    assert not surely_whole("openai/clip-vit-base-patch32", ["red"])
    (tmp_path / "config.json").write_text(json.dumps({"text_config": {"max_position_embeddings": 77}}))
    assert not surely_whole(str(tmp_path), ["red"])
    for text in (None, [], "clip", {"max_position_embeddings": None}):
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({"model_max_length": 77}))
        (tmp_path / "config.json").write_text(json.dumps({"text_config": text}))
        assert not surely_whole(str(tmp_path), ["red"])
    (tmp_path / "config.json").write_text(json.dumps({"text_config": {"max_position_embeddings": 77}}))
    assert surely_whole(str(tmp_path), ["red"])
    (tmp_path / "tokenizer_config.json").write_text("[]")
    assert not surely_whole(str(tmp_path), ["red"])
