"""Checkpoints as they are published: each is read whole, converted, or refused by name; none runs on noise."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from shop import errors, vdistill


@pytest.fixture
def clip_copy(clip_folder, tmp_path):
    """A folder with a CLIP of the true class that a test may change."""
    return shutil.copytree(clip_folder, tmp_path / "backbone")


def change(folder, *, config=None, weights=None):
    """Write the same checkpoint with other facts in its config.json, and other tensors."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **(config or {})}))
    if weights is not None:
        save_file(weights(load_file(folder / "model.safetensors")), folder / "model.safetensors", {"format": "pt"})
    return folder


def own_code(name):
    return {"auto_map": {"AutoConfig": f"configuration_{name}.Config", "AutoModel": f"modeling_{name}.Model"}}


def marqo_like(tensors):
    """A wrapper around another library's model: not one name is known."""
    return {f"model.visual.trunk.{number}.weight": tensor for number, tensor in enumerate(tensors.values())}


def eva_like(tensors):
    """CLIP's names, but keys without bias and no norm before the blocks."""
    return {
        name: tensor for name, tensor in tensors.items() if "k_proj.bias" not in name and "pre_layrnorm" not in name
    }


def llm2clip_like(tensors):
    """CLIP with the text projection of a language model: four are missing, of 78."""
    gone = ("text_projection.weight", "final_layer_norm.weight", "final_layer_norm.bias", "position_embedding.weight")
    kept = {name: tensor for name, tensor in tensors.items() if not (name.startswith("text") and name.endswith(gone))}
    return {**kept, "text_adapter.proj.weight": torch.zeros(3, 3)}


def more_than_clip(tensors):
    return {**tensors, "text_model.adapter.weight": torch.zeros(3, 3)}


@pytest.mark.parametrize("weights", [marqo_like, eva_like, llm2clip_like, more_than_clip])
@pytest.mark.parametrize("command", ["index", "label"])
def test_a_checkpoint_with_code_of_its_own_is_refused_not_filled_with_noise(
    clip_copy, catalog, tmp_path, weights, command
):
    change(clip_copy, config=own_code("any"), weights=weights)
    guided = ["--guide", "backbone", "--teacher", "metadata"] if command == "label" else []
    error, hint = errors(vdistill(command, catalog, "--backbone", clip_copy, *guided, cwd=tmp_path))
    assert "of a CLIPModel" in error or "that a CLIPModel" in error
    assert "auto_map" in hint


def test_missing_weights_are_named(clip_copy, catalog, tmp_path):
    change(clip_copy, weights=lambda old: {name: old[name] for name in old if name != "visual_projection.weight"})
    error, hint = errors(vdistill("index", catalog, "--backbone", clip_copy, cwd=tmp_path))
    assert "lacks 1 of the" in error
    assert "visual_projection.weight" in error
    assert "download them again" in hint


def test_weights_of_another_size_are_named(clip_copy, catalog, tmp_path):
    change(clip_copy, weights=lambda old: {**old, "visual_projection.weight": torch.zeros(5, 32)})
    error, _ = errors(vdistill("index", catalog, "--backbone", clip_copy, cwd=tmp_path))
    assert "visual_projection.weight (5, 32) instead of (16, 32)" in error


def test_code_beside_complete_weights_is_left_alone(clip_copy, catalog, tmp_path):
    change(clip_copy, config=own_code("any"))
    assert vdistill("index", catalog, "--backbone", clip_copy, cwd=tmp_path).code == 0


def test_a_teacher_that_lacks_weights_is_refused_too(catalog, tmp_path):
    import vlm_models

    teacher = change(vlm_models.qwen2_vl(tmp_path / "teacher"), config=own_code("vlm"))
    tensors = load_file(teacher / "model.safetensors")
    gone = [name for name in tensors if name.endswith("q_proj.weight")]
    assert gone
    change(teacher, weights=lambda old: {name: old[name] for name in old if name not in gone})
    (tmp_path / "queries.txt").write_text("a gift\n")
    error, hint = errors(
        vdistill("label", catalog, "--teacher", teacher, "--queries", "queries.txt", "--budget", 4, cwd=tmp_path)
    )
    assert "lacks" in error
    assert "auto_map" in hint


def test_a_sentence_encoder_that_lacks_weights_is_refused_and_a_pooler_is_not_missed(catalog, tmp_path):
    from transformers import BertConfig, BertModel

    import models

    reader = tmp_path / "reader"
    torch.manual_seed(0)
    BertModel(BertConfig(**models.TOWER, vocab_size=300), add_pooling_layer=False).save_pretrained(reader)
    models._bert_tokenizer().save_pretrained(reader)
    (tmp_path / "queries.txt").write_text("a gift\na mug\na lamp\n")
    asked = ["label", catalog, "--teacher", f"metadata:{reader}", "--queries", "queries.txt", "--budget", 4]
    done = vdistill(*asked, cwd=tmp_path)
    assert done.code == 0, done.err
    change(reader, weights=lambda old: {name: old[name] for name in old if "query" not in name})
    assert "attention.self.query" in errors(vdistill(*asked, cwd=tmp_path))[0]
