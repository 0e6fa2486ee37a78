"""Embedding in bf16 on a CPU: near to float32 for each kind of model; several devices keep the order."""

import copy
import dataclasses
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

from vdistill.bundle.items import Row
from vdistill.encoders.bf16_cpu import Bf16Copy
from vdistill.encoders.device import cpu_multiplies_bf16
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.replicas import replicas
from vdistill.index.embedding import BATCH, Embedder
from vdistill.index.vector_cache import VectorCache

needs_bf16 = pytest.mark.skipif(not cpu_multiplies_bf16(), reason="this CPU has no instructions for bf16")


def noise(encoder, count=20):
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)) for _ in range(count)]
    return encoder.preprocessing.stack([encoder.preprocessing.compact(one) for one in images])


@needs_bf16
@pytest.mark.parametrize("name", ["clip", "siglip", "siglip2", "vision_text", "chinese_clip", "altclip"])
def test_bf16_products_are_near_to_float32_and_leave_the_model_as_it_is(name, request):
    encoder = DualEncoder.load(str(request.getfixturevalue(f"{name}_folder")), device="cpu", precision="bf16")
    exact = dataclasses.replace(encoder, precision="fp32")
    before = copy.deepcopy(encoder.model.state_dict())
    inputs = noise(encoder)
    (fast,) = replicas(encoder)
    assert isinstance(fast, Bf16Copy)
    found, wanted = fast.encode_images(inputs), exact.encode_images(inputs)
    assert found.dtype == np.float32
    assert (found * wanted).sum(axis=1).min() > 0.999
    assert not np.array_equal(found, wanted), "it was bf16"
    assert all(torch.equal(before[key], value) for key, value in encoder.model.state_dict().items())
    assert fast.encode_texts(["red mug"]).tolist() == encoder.encode_texts(["red mug"]).tolist()


@needs_bf16
def test_without_onednn_kernels_it_is_slower_but_the_same(clip_folder, monkeypatch):
    encoder = DualEncoder.load(str(clip_folder), device="cpu", precision="bf16")
    inputs = noise(encoder)
    fast = Bf16Copy.of(encoder)
    assert fast.model.visual_projection._packed is not None
    packed = fast.encode_images(inputs)
    monkeypatch.setattr(torch.ops, "mkldnn", object())
    fast = Bf16Copy.of(encoder)
    assert fast.model.visual_projection._packed is None
    plain = fast.encode_images(inputs)
    assert (packed * plain).sum(axis=1).min() > 0.9999


@needs_bf16
@pytest.mark.parametrize("fault", ["raises", "is wrong"])
def test_a_kernel_that_fails_or_errs_is_not_used(clip_folder, monkeypatch, fault):
    encoder = DualEncoder.load(str(clip_folder), device="cpu", precision="bf16")
    inputs = noise(encoder)
    exact = dataclasses.replace(encoder, precision="fp32").encode_images(inputs)

    class Kernels:
        def _reorder_linear_weight(self, weight, _):
            return weight

        def _linear_pointwise(self, inputs, weight, *_):
            if fault == "raises":
                raise RuntimeError("unsupported")
            return torch.zeros(*inputs.shape[:-1], len(weight), dtype=torch.bfloat16)

    monkeypatch.setattr(torch.ops, "mkldnn", Kernels())
    found = Bf16Copy.of(encoder).encode_images(inputs)
    assert (found * exact).sum(axis=1).min() > 0.999


class Slow:
    """An image model on one of three devices, slower on some; a vector encodes the brightness of its image."""

    precision, dim, fingerprint, text_fingerprint, on_cpu = "fp32", 2, "slow", "text", False

    def __init__(self, preprocessing, used, number):
        self.preprocessing, self.used, self.number = preprocessing, used, number

    def encode_images(self, inputs):
        self.used.append((self.number, threading.get_ident()))
        time.sleep(0.02 * (3 - self.number))
        light = next(iter(inputs.values())).reshape(len(next(iter(inputs.values()))), -1).astype(float).mean(axis=1)
        return np.stack([np.cos(light), np.sin(light)], axis=1).astype(np.float32)


def test_several_devices_embed_side_by_side_and_keep_the_order(tmp_path, clip_encoder):
    count = 5 * BATCH + 7
    for number in range(count):
        Image.new("L", (32, 32), number % 256).save(tmp_path / f"{number:04}.png")
    used = []
    models = [Slow(clip_encoder.preprocessing, used, number) for number in range(3)]
    rows = [Row(number, f"{number:04}.png", f"{number:04}.png", f"{number:064}", 0, 0, "{}") for number in range(count)]
    with VectorCache(tmp_path / "cache", "", "", models[0].dim) as vector_cache:
        batches = list(Embedder(tmp_path, models, vector_cache).embedded(rows))
    assert [row.key for found, _, _ in batches for row in found] == list(range(count))
    vectors = np.stack([vector for _, found, _ in batches for vector in found])
    assert len(np.unique(vectors[:256].round(6), axis=0)) == 256, "each image has its own vector"
    assert np.array_equal(vectors[256:], vectors[: count - 256]), "equal images the same, wherever they were embedded"
    assert {number for number, _ in used} == {0, 1, 2}
    assert len({thread for _, thread in used}) == 3
