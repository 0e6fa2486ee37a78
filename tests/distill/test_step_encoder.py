"""A step encoded in parts has the same result as a whole one, within the memory there is."""

import ctypes
import resource
import weakref

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.checkpoint import checkpoint

from trainings import Prepared, adapted, facts, trained
from vdistill.distill import memory
from vdistill.distill.augment import crops
from vdistill.distill.checkpoint import trained as parameters
from vdistill.distill.memory import images_at_once, kept_bytes
from vdistill.distill.step_encoder import StepEncoder
from vdistill.distill.towers import WholeTower

IMAGES = 13


def noise(encoder):
    rng = np.random.default_rng(0)
    drawn = [Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)) for _ in range(IMAGES)]
    return Prepared(encoder.preprocessing, drawn)


@pytest.fixture(params=["clip", "siglip", "siglip2", "vision_text"])
def folder(request):
    return str(request.getfixturevalue(f"{request.param}_folder"))


def gradients(folder, at_once, precision="fp32", **settings):
    """Of a loss that joins all images of a step."""
    encoder = adapted(folder, precision, **settings)
    encoder.model.train()
    torch.manual_seed(7)
    drawn = crops(IMAGES, torch.Generator().manual_seed(1))
    encoded = StepEncoder(WholeTower(encoder, noise(encoder)), at_once).encode(np.arange(IMAGES)[::-1].copy(), drawn)
    similar = torch.log_softmax(20 * encoded.vectors @ encoded.vectors.T, dim=1)
    (similar * torch.arange(IMAGES).float()).mean().backward()
    encoded.finish()
    return torch.cat([parameter.grad.flatten() for parameter in parameters(encoder.model).values()])


@pytest.mark.parametrize("settings", [{}, {"dropout": 0.3}, {"dora": True}])
def test_the_gradient_is_that_of_the_whole_step_whatever_the_parts(folder, settings):
    whole = gradients(folder, IMAGES, **settings)
    assert whole.norm() > 0
    for at_once in (1, 5, 12):
        torch.testing.assert_close(
            gradients(folder, at_once, **settings), whole, rtol=0, atol=1e-5 * whole.norm().item()
        )


def test_dropout_drops_something_and_other_things_in_another_epoch(clip_folder, monkeypatch):
    plain, dropped = gradients(str(clip_folder), 5), gradients(str(clip_folder), 5, dropout=0.3)
    assert (plain - dropped).norm() > 0.05 * plain.norm()
    seed = torch.manual_seed
    monkeypatch.setattr(torch, "manual_seed", lambda _: seed(8))
    assert (gradients(str(clip_folder), 5, dropout=0.3) - dropped).norm() > 0.05 * plain.norm()


def test_a_tower_with_randomness_of_its_own_draws_the_same_twice(clip_folder, monkeypatch):
    """What the backbone itself drops is the same when a part is encoded again, or gradient and loss would disagree."""
    whole = gradients(str(clip_folder), 5)
    features, seen = WholeTower.features, []

    def noisy(self, numbers, crops=None):
        drawn = torch.rand(3)
        seen.append(drawn)
        return features(self, numbers, crops) * (1 + 0 * drawn.sum())

    monkeypatch.setattr(WholeTower, "features", noisy)
    torch.testing.assert_close(gradients(str(clip_folder), 5), whole)
    assert len(seen) == 6
    assert torch.equal(torch.stack(seen[:3]), torch.stack(seen[3:]))


def test_a_training_in_parts_is_the_training_it_would_be_and_says_so(home):
    whole = trained(home, "--epochs", 2, "--refit", 0)
    first = facts(home)["history"]
    parts = trained(home, "--epochs", 2, "--refit", 0, "--step-memory", 0.002)
    assert "of the 40 images of a step" in parts.err
    assert "images of a step" not in whole.err
    for one, other in zip(first, facts(home)["history"], strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-4)


def test_no_memory_for_a_step_means_one_image_after_another_and_not_as_much_as_there_is(home):
    done = trained(home, "--epochs", 1, "--refit", 0, "--validation", 0, "--step-memory", 0)
    assert "1 of the 40 images of a step fit into 0 GiB" in done.err


def test_what_a_pass_keeps_is_counted_once_however_often_it_is_saved():
    weight, x = torch.ones(100, 100, requires_grad=True), torch.ones(7, 100)
    assert kept_bytes(lambda: x @ weight) == 7 * 100 * 4
    assert kept_bytes(lambda: (x @ weight) * (x @ weight).detach()) >= 2 * 7 * 100 * 4
    whole = kept_bytes(lambda: (x @ weight).exp().exp().exp())
    assert kept_bytes(lambda: checkpoint(lambda v: (v @ weight).exp().exp().exp(), x, use_reentrant=False)) < whole


def test_what_was_tried_is_freed():
    weight, freed = torch.ones(10, 10, requires_grad=True), []

    def features(count):
        kept = (torch.ones(count, 10) @ weight).exp()  # exp keeps its own output
        kept.grad_fn.metadata["image"] = image = Image.new("L", (1, 1))
        weakref.finalize(image, freed.append, count)
        return kept.sum()

    images_at_once(features, 128, 1e9)
    assert sorted(freed) == [1, 2]


def test_as_many_images_at_once_as_fit():
    weight = torch.ones(1000, 10, requires_grad=True)

    def features(count):
        return torch.ones(count, 1000) @ weight  # keeps 4,000 bytes an image

    room = 4000 * memory.SCATTERED
    assert images_at_once(features, 128, 10.5 * room) == 10
    assert images_at_once(features, 128, 10.5 * room, on_cpu=False) == 25, "torch's own memory has no such gaps"
    assert images_at_once(features, 128, 1e9) == 128
    assert images_at_once(features, 128, 10) == 1
    assert images_at_once(features, 1, 10) == 1


def test_weights_in_another_precision_are_kept_once_and_leave_less_room_for_images():
    weight, pixels = torch.ones(1000, 10), torch.ones(128, 1000, requires_grad=True)
    room = 10 * 8 * memory.SCATTERED  # what `exp` keeps of an image, in float64

    def copied(count):
        return (pixels[:count].double() @ weight.double()).exp()

    def as_they_are(count):
        return (pixels[:count] @ weight).exp()

    assert images_at_once(copied, 128, 80_000 + 10.5 * room) == 10
    assert images_at_once(as_they_are, 128, 10.5 * room / 2) == 10, "weights that were there before take no more room"


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="its C library decides by itself")
def test_freed_memory_is_kept_for_the_next_step():
    def step(count):
        layers = [torch.ones(count, 2_000_000, requires_grad=True)]
        for _ in range(8):
            layers.append(layers[-1].exp())
        return layers[-1].sum()

    images_at_once(step, 16, 1e12)
    for _ in range(4):
        step(8).backward()  # blocks of 64 MB
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    step(8).backward()
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert faults * resource.getpagesize() < 2 * 64e6, "of almost a gigabyte that a step takes"


def test_a_control_group_limits_what_is_free(tmp_path):
    group = tmp_path / "fs" / "a" / "b"
    group.mkdir(parents=True)
    (tmp_path / "cgroup").write_text("0::/a/b\n")
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("100\n")
    (group.parent / "memory.max").write_text("1000\n")
    (group.parent / "memory.current").write_text("700\n")
    (group.parent / "memory.stat").write_text("anon 500\ninactive_file 150\n")
    assert list(memory._control_groups(tmp_path / "cgroup", tmp_path / "fs")) == [450]
    old = tmp_path / "fs" / "memory" / "docker"
    old.mkdir(parents=True)
    (tmp_path / "cgroup").write_text("5:cpu:/docker\n4:memory:/docker\n")
    (old / "memory.limit_in_bytes").write_text("5000\n")
    (old / "memory.usage_in_bytes").write_text("6000\n")
    assert list(memory._control_groups(tmp_path / "cgroup", tmp_path / "fs")) == [0]
    assert memory.free_bytes(torch.device("cpu")) > 2**20
