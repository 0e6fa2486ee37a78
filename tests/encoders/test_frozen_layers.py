"""The image tower cut in two gives what it gives whole, and its lower half is computed once."""

import numpy as np
import pytest
import torch
from PIL import Image

from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.feature_cache import FeatureCache
from vdistill.encoders.frozen_layers import frozen_layers_of

FAMILIES = ("clip", "siglip", "vision_text", "chinese_clip", "altclip")


@pytest.fixture(params=FAMILIES)
def encoder(request):
    return DualEncoder.load(str(request.getfixturevalue(f"{request.param}_folder")), device="cpu", precision="fp32")


def images(encoder, count=5):
    rng = np.random.default_rng(3)
    drawn = [Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)) for _ in range(count)]
    return encoder.to_tensors(encoder.preprocessing.stack([encoder.preprocessing(one) for one in drawn]))


@pytest.mark.parametrize("layers", [0, 1])
def test_cut_or_whole_the_tower_gives_the_same(encoder, layers):
    inputs = images(encoder)
    frozen = frozen_layers_of(encoder, layers)
    whole = encoder.image_features(**inputs)
    cut = frozen.features(frozen.states(inputs).clone())
    torch.testing.assert_close(cut, whole, atol=1e-5, rtol=0)
    torch.testing.assert_close(encoder.image_features(**inputs), whole, atol=0, rtol=0)


def test_gradients_reach_what_is_above_the_cut(encoder):
    frozen = frozen_layers_of(encoder, 1)
    states = frozen.states(images(encoder)).clone()
    above = encoder.model.get_submodule(encoder.vision_blocks()[-1])
    above.requires_grad_(True)
    frozen.features(states)[:, 0].sum().backward()
    assert all(parameter.grad is not None for parameter in above.parameters())
    assert not any(p.grad is not None for p in encoder.model.get_submodule(encoder.vision_blocks()[0]).parameters())


def test_no_layers_are_frozen_where_all_blocks_train(encoder):
    assert frozen_layers_of(encoder, None) is None
    assert frozen_layers_of(encoder, len(encoder.vision_blocks())) is None


def test_a_tower_on_images_in_patches_is_not_cut(siglip2_folder):
    assert frozen_layers_of(DualEncoder.load(str(siglip2_folder), device="cpu", precision="fp32"), 1) is None


def test_states_are_kept_by_the_hash_of_the_image(encoder, tmp_path):
    frozen = frozen_layers_of(encoder, 1)
    states = frozen.states(images(encoder))
    cache = FeatureCache(tmp_path, frozen)
    names = list("abcde")
    assert cache.missing(names) == [0, 1, 2, 3, 4]
    cache.add(names[:2], states[:2])
    cache.add(names[2:4], states[2:4])
    again = FeatureCache(tmp_path, frozen)
    assert again.missing(names) == [4]
    torch.testing.assert_close(again.read(["d", "a", "b"]), states[[3, 0, 1]], atol=0, rtol=0)


def test_a_damaged_part_is_computed_again(encoder, tmp_path):
    frozen = frozen_layers_of(encoder, 1)
    cache = FeatureCache(tmp_path, frozen)
    cache.add(["a"], frozen.states(images(encoder, 1)))
    (part,) = tmp_path.rglob("*.safetensors")
    part.write_bytes(part.read_bytes()[:40])
    assert FeatureCache(tmp_path, frozen).missing(["a"]) == [0]
    assert not part.exists()


def test_the_cache_has_a_limit_and_makes_room_by_what_other_models_left(encoder, tmp_path):
    frozen = frozen_layers_of(encoder, 1)
    cache = FeatureCache(tmp_path, frozen)
    size = frozen.bytes_per_image
    assert not cache.make_room(10, 9.5 * size)
    (tmp_path / "another").mkdir()
    (tmp_path / "another" / "old.safetensors").write_bytes(bytes(4 * size))
    assert cache.make_room(5, 9.5 * size)
    assert (tmp_path / "another").exists()
    assert cache.make_room(9, 9.5 * size)
    assert not (tmp_path / "another").exists()
