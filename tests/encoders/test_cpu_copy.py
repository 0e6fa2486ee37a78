"""Embedding on a CPU in int8 or bf16: near to float32, or not used; several devices keep the order."""

import copy
import dataclasses
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from PIL import Image

from vdistill.bundle.items import Row
from vdistill.encoders.cpu_copy import BF16, INT8, CpuCopy, path_for
from vdistill.encoders.device import cpu_multiplies_bf16
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.replicas import replicas
from vdistill.index.embedding import BATCH, Embedder
from vdistill.index.vector_cache import VectorCache

needs_bf16 = pytest.mark.skipif(not cpu_multiplies_bf16(), reason="this CPU has no instructions for bf16")
PATHS = [pytest.param(INT8, id="int8"), pytest.param(BF16, id="bf16", marks=needs_bf16)]
MODELS = ["clip", "siglip", "siglip2", "vision_text", "chinese_clip", "altclip"]


def noise(encoder, count=20):
    rng = np.random.default_rng(0)
    images = [Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)) for _ in range(count)]
    return encoder.preprocessing.stack([encoder.preprocessing.compact(one) for one in images])


def exact(encoder, inputs):
    return dataclasses.replace(encoder, precision="fp32").encode_images(inputs)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", MODELS)
def test_fast_products_are_near_to_float32_and_leave_the_model_as_it_is(name, path, request):
    encoder = DualEncoder.load(str(request.getfixturevalue(f"{name}_folder")), device="cpu")
    before = copy.deepcopy(encoder.model.state_dict())
    inputs = noise(encoder)
    with torch.inference_mode():
        fast = CpuCopy.of(encoder, path)
    found, wanted = fast.encode_images(inputs), exact(encoder, inputs)
    assert found.dtype == np.float32
    assert (found * wanted).sum(axis=1).min() > 0.999
    assert not np.array_equal(found, wanted), "it was another path"
    assert all(torch.equal(before[key], value) for key, value in encoder.model.state_dict().items())
    assert fast.encode_texts(["red mug"]).tolist() == encoder.encode_texts(["red mug"]).tolist()


@pytest.mark.parametrize("name", MODELS)
def test_what_embeds_is_a_fast_copy_if_it_agrees(name, request):
    encoder = DualEncoder.load(str(request.getfixturevalue(f"{name}_folder")), device="cpu")
    inputs = noise(encoder)
    found, wanted = replicas(encoder)[0].encode_images(inputs), exact(encoder, inputs)
    assert (found * wanted).sum(axis=1).min() > 0.999
    path = path_for(encoder, inputs)
    assert path or name == "siglip", "which int8 with AVX2 alone changes a little too much"
    assert np.array_equal(found, wanted) == (path is None)


# Prints the least cosine to float32 of what embeds images, and how many vectors are the very same.
ON_AVX2 = """
import dataclasses, sys
import numpy as np
from PIL import Image
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.replicas import replicas
encoder = DualEncoder.load(sys.argv[1], device="cpu")
assert encoder.precision == "fp32"
rng = np.random.default_rng(0)
images = [Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)) for _ in range(20)]
inputs = encoder.preprocessing.stack([encoder.preprocessing.compact(one) for one in images])
found, wanted = replicas(encoder)[0].encode_images(inputs), encoder.encode_images(inputs)
print((found * wanted).sum(axis=1).min(), (found == wanted).all(axis=1).sum())
"""


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN")
@pytest.mark.skipif("AVX" not in torch.backends.cpu.get_cpu_capability(), reason="no AVX2")
def test_a_processor_with_avx2_alone_embeds_in_int8(clip_folder):
    """There, sums of two products are cut off at 16 bits: weights that could reach that would show in the cosine."""
    env = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", ON_AVX2, str(clip_folder)], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    cosine, same = done.stdout.split()
    assert float(cosine) > 0.999
    assert int(same) == 0, "it was int8"


def with_an_outlier(encoder):
    """A model whose tokens have one number that is a million times larger than the others, and hardly counts."""
    model = copy.deepcopy(encoder.model)
    for layer in model.vision_model.encoder.layers:
        for norm, readers in (
            (layer.layer_norm1, (layer.self_attn.q_proj, layer.self_attn.k_proj, layer.self_attn.v_proj)),
            (layer.layer_norm2, (layer.mlp.fc1,)),
        ):
            norm.weight[0] *= 1e6
            for reader in readers:
                reader.weight[:, 0] *= 1e-6
    return dataclasses.replace(encoder, model=model, precision="fp32")


def test_a_model_that_int8_would_change_stays_in_float32(clip_folder):
    encoder = with_an_outlier(DualEncoder.load(str(clip_folder), device="cpu"))
    inputs = noise(encoder)
    with torch.inference_mode():
        fast = CpuCopy.of(encoder, INT8)
    wanted = encoder.encode_images(inputs)
    assert (fast.encode_images(inputs) * wanted).sum(axis=1).min() < INT8.cosine
    assert np.array_equal(replicas(encoder)[0].encode_images(inputs), wanted)


class Kernels:
    """Products of oneDNN that raise or err."""

    def __init__(self, fault):
        self.fault = fault

    def _reorder_linear_weight(self, weight, _):
        return weight

    def qlinear_prepack(self, weight, _):
        return weight

    def _linear_pointwise(self, inputs, weight, *_):
        return self._product(inputs, weight, torch.bfloat16)

    def qlinear_pointwise(self, inputs, _scale, _zero, weight, *_):
        return self._product(inputs, weight, torch.float32)

    def _product(self, inputs, weight, dtype):
        if self.fault == "raises":
            raise RuntimeError("unsupported")
        return torch.zeros(*inputs.shape[:-1], len(weight), dtype=dtype)


@pytest.mark.parametrize("fault", ["raises", "is wrong"])
def test_a_kernel_that_fails_or_errs_is_not_used(clip_folder, monkeypatch, fault):
    encoder = DualEncoder.load(str(clip_folder), device="cpu")
    inputs = noise(encoder)
    wanted = exact(encoder, inputs)
    for name in ("mkldnn", "onednn"):
        monkeypatch.setattr(torch.ops, name, Kernels(fault))
    assert (replicas(encoder)[0].encode_images(inputs) * wanted).sum(axis=1).min() > 0.999


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
        batches = list(Embedder(str(tmp_path), models, vector_cache).embedded(rows))
    assert [row.key for found, _, _ in batches for row in found] == list(range(count))
    vectors = np.stack([vector for _, found, _ in batches for vector in found])
    assert len(np.unique(vectors[:256].round(6), axis=0)) == 256, "each image has its own vector"
    assert np.array_equal(vectors[256:], vectors[: count - 256]), "equal images the same, wherever they were embedded"
    assert {number for number, _ in used} == {0, 1, 2}
    assert len({thread for _, thread in used}) == 3
