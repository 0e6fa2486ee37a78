"""Training with frozen weights in int8 is the training it would be, and stays exact where it would not."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch.nn.functional import cosine_similarity

import models
from drawings import COLOURS, draw
from trainings import Prepared, adapted, facts, interrupt_at, label_shop, trained, weights
from vdistill.distill import frozen_int8, job
from vdistill.distill.checkpoint import trained as parameters
from vdistill.distill.frozen_int8 import FrozenInt8, frozen_in_int8
from vdistill.distill.towers import WholeTower

pytestmark = [
    pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN"),
    pytest.mark.skipif("AVX" not in torch.backends.cpu.get_cpu_capability(), reason="no AVX2"),
]

WIDE = {"hidden_size": 256, "intermediate_size": 512}


@pytest.fixture(scope="module")
def wide_siglip_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "VISION", models.VISION | WIDE)
        return models.siglip(tmp_path_factory.mktemp("wide"))


@pytest.fixture(scope="module")
def wide_folder(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "VISION", models.VISION | WIDE)
        patch.setattr(models, "DIM", 256)  # the projection is as wide
        return models.clip(tmp_path_factory.mktemp("wide"))


def training(folder, **settings):
    """An encoder with an adapter that has learnt something, and a tower of drawn images."""
    encoder = adapted(folder, std=0.05, **settings)
    images = [draw(colour, shape, 40, 40) for shape in range(3) for colour in COLOURS]
    return encoder, WholeTower(encoder, Prepared(encoder.preprocessing, images))


def layers(encoder):
    """What is below each layer of the adapter."""
    return [module.base_layer for module in encoder.model.modules() if hasattr(module, "base_layer")]


def gradient(encoder, tower):
    """Vectors of images that the layers were not tried on, and the adapter's gradient of a loss that joins them."""
    encoder.model.train()
    vectors = tower.features(np.arange(8, len(tower)))
    loss = torch.log_softmax(20 * vectors @ vectors.T, dim=1).diagonal().mean()
    found = torch.autograd.grad(loss, list(parameters(encoder.model).values()))
    return vectors.detach(), torch.cat([one.flatten() for one in found])


def test_vectors_and_gradients_stay_and_the_layers_come_back(wide_folder):
    encoder, tower = training(wide_folder)
    before, exact = layers(encoder), gradient(encoder, tower)
    with frozen_in_int8(encoder, tower):
        inside = layers(encoder)
        vectors, found = gradient(encoder, tower)
    assert sum(type(layer) is FrozenInt8 for layer in inside) == 2 * 6, "of two blocks"
    assert type(inside[-1]) is torch.nn.Linear, "what is rounded in the projection no later layer evens out"
    assert (vectors * exact[0]).sum(1).min() > 0.9995
    assert cosine_similarity(found, exact[1], dim=0) > 0.98
    assert found.norm() == pytest.approx(exact[1].norm().item(), rel=0.05)
    assert not torch.equal(found, exact[1])
    assert layers(encoder) == before


def test_the_layers_behind_the_blocks_of_a_siglip_stay_exact(wide_siglip_folder):
    encoder, tower = training(wide_siglip_folder)
    with frozen_in_int8(encoder, tower):
        lowered = [name for name, module in encoder.model.named_modules() if type(module) is FrozenInt8]
    assert len(lowered) == 2 * 6
    assert not [name for name in lowered if ".head." in name]


def test_an_error_brings_the_layers_back_too(wide_folder):
    encoder, tower = training(wide_folder)
    before = layers(encoder)
    with pytest.raises(KeyboardInterrupt), frozen_in_int8(encoder, tower):
        raise KeyboardInterrupt
    assert layers(encoder) == before


@pytest.mark.parametrize("settings", [{"dora": True}, {}])
def test_narrow_and_weight_decomposed_ones_stay_exact(wide_folder, clip_folder, settings):
    encoder, tower = training(wide_folder if settings else clip_folder, **settings)
    before = layers(encoder)
    with frozen_in_int8(encoder, tower):
        assert layers(encoder) == before


def refuse(_linear):
    raise NotImplementedError("no such product here")


class Wrong(FrozenInt8):
    """Vectors are right, gradients point elsewhere."""

    def __init__(self, linear):
        super().__init__(linear)
        self._back = torch.nn.Linear(linear.out_features, linear.in_features).requires_grad_(False)


class Rough(FrozenInt8):
    """Rounded to hardly anything."""

    def forward(self, inputs):
        return super().forward(inputs.round())


def test_images_are_tried_one_by_one_since_more_may_not_fit(wide_folder):
    encoder, tower = training(wide_folder)
    features, counts = WholeTower.features, []

    class Counted(WholeTower):
        def features(self, numbers, crops=None):
            counts.append(len(numbers))
            return features(self, numbers, crops)

    with frozen_in_int8(encoder, Counted(encoder, tower.images)):
        assert set(counts) == {1}
        assert any(type(layer) is FrozenInt8 for layer in layers(encoder))


@pytest.mark.parametrize("made", [refuse, Wrong, Rough])
def test_where_it_would_change_what_is_learnt_the_layers_stay_exact(wide_folder, monkeypatch, made):
    monkeypatch.setattr(frozen_int8, "FrozenInt8", made)
    encoder, tower = training(wide_folder)
    before = layers(encoder)
    with frozen_in_int8(encoder, tower):
        assert layers(encoder) == before


@pytest.mark.slow
def test_a_training_in_int8_teaches_the_same_in_parts_and_after_an_interruption(tmp_path, wide_folder, monkeypatch):
    label_shop(tmp_path, wide_folder)
    trained(tmp_path, "--epochs", 2, "--refit", 0)
    rounded, student = facts(tmp_path)["history"], weights(tmp_path)
    trained(tmp_path, "--epochs", 2, "--refit", 0, "--step-memory", 0.01)
    for one, other in zip(rounded, facts(tmp_path)["history"], strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-3)
        assert one["validation_ndcg@10"] == pytest.approx(other["validation_ndcg@10"], abs=0.05)
    with monkeypatch.context() as patch:
        interrupt_at(patch, -2)
        trained(tmp_path, "--epochs", 2, "--refit", 0, code=130)
    trained(tmp_path, "--epochs", 2, "--refit", 0)
    assert weights(tmp_path) == student
    monkeypatch.setattr(job, "frozen_in_int8", lambda _encoder, _tower: nullcontext())
    trained(tmp_path, "--epochs", 2, "--refit", 0)
    assert weights(tmp_path) != student
    for one, other in zip(rounded, facts(tmp_path)["history"], strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=0.01)
