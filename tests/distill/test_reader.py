"""A reader of the items' texts teaches the image tower, as long as it foretells more than the images do."""

import json
import shutil

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

import trainings
from trainings import facts, interrupt_at, weights
from vdistill.distill import head_training, reader_training
from vdistill.distill.exam import Exam
from vdistill.distill.reader import Reader

DIM, ITEMS = 16, 12


def trained(home, *more, code=0):
    return trainings.trained(home, "--reader", 4, *more, code=code)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Readers of a sixth of the steps: what they teach here is not asked."""
    monkeypatch.setattr(head_training, "STEPS", 27)


def unit(count, seed):
    return normalize(torch.randn(count, DIM, generator=torch.Generator().manual_seed(seed)), dim=1)


def loss(reader, student, images, memory, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return reader.loss(student, torch.tensor(images), memory, unit(5, 9), 0.08, rng)


@pytest.fixture
def reader():
    return Reader(unit(ITEMS, 1), nats=1.0)


def test_who_prefers_what_the_reader_prefers_has_nothing_to_learn(reader):
    images = [2, 5, 7]
    assert loss(reader, reader.vectors[images], images, reader.vectors).item() == pytest.approx(0, abs=1e-6)
    assert loss(reader, unit(3, 4), images, reader.vectors) > 0.1


def test_the_images_of_a_step_learn_as_if_they_were_all_there_are(reader):
    student = unit(ITEMS, 4)
    whole = loss(reader, student, list(range(ITEMS)), student)
    part = loss(reader, student[:3], [0, 1, 2], student)
    assert part == pytest.approx(4 * whole.item(), rel=1e-5)


def test_items_without_text_neither_learn_nor_stand_in_the_way(reader):
    vectors = reader.vectors.clone()
    vectors[[3, 8]] = 0.0
    silent = Reader(vectors, nats=1.0)
    student = unit(2, 4).requires_grad_()
    loss(silent, student, [3, 4], reader.vectors).backward()
    assert not student.grad[0].any()
    assert student.grad[1].any()
    moved = reader.vectors.clone()
    moved[8] = -moved[8]
    found = [loss(silent, student, [3, 4], memory) for memory in (reader.vectors, moved)]
    assert found[0] == found[1]
    assert loss(silent, student[:1], [3], reader.vectors) == 0


@pytest.fixture
def readers(monkeypatch):
    """The parts that readers of this process learnt from, and those that came of it."""
    learnt, made = [], []
    heads, reader = reader_training.trained_heads, reader_training.Reader

    def noted(jobs, settings):
        learnt.extend(job.known for job in jobs)
        return heads(jobs, settings)

    def kept(*arguments):
        made.append(reader(*arguments))
        return made[-1]

    monkeypatch.setattr(reader_training, "trained_heads", noted)
    monkeypatch.setattr(reader_training, "Reader", kept)
    return learnt, made


def test_titles_that_foretell_what_is_preferred_teach_the_images(home, readers):
    done = trained(home, "--refit", 0.5)
    assert "the texts (title) foretell validation at" in done.err
    assert "the image tower learns from them, too" in done.err
    assert all(epoch["reader_loss"] > 0 for epoch in facts(home)["history"])
    part, whole = readers[0]
    assert not part.images.any()
    assert 0 < len(part.calls.items) < len(whole.calls.items), "it must not have read what validates"
    assert "Until epoch 6 a reader of the items' texts" in (home / ".vdistill" / "student" / "README.md").read_text()
    assert [len(one.vectors) for one in readers[1]] == [len(part.calls.items), len(whole.calls.items)]


def test_without_a_refit_there_is_a_reader_of_what_trains_alone(home, readers):
    trained(home, "--refit", 0)
    ((part,), (made,)) = readers
    assert len(made.vectors) == len(part.calls.items)


def test_at_weight_0_there_is_none(home, readers):
    done = trainings.trained(home, "--reader", 0)
    assert "foretell" not in done.err
    assert readers == ([], [])
    assert "reader_loss" not in facts(home)["history"][0]


def test_texts_that_tell_nothing_teach_nothing(tmp_path, clip_folder, readers, monkeypatch):
    nats = iter([2.0, 1.9])
    monkeypatch.setattr(Exam, "nats", lambda *_: np.array([next(nats, 1.0)]))
    trainings.label_shop(tmp_path, clip_folder)
    done = trained(tmp_path)
    assert "the texts (title) foretell validation at 2.000 nats, the backbone's images at 1.900: they teach" in done.err
    assert readers[1] == []
    assert "reader_loss" not in facts(tmp_path)["history"][0]


def test_once_the_images_tell_more_the_texts_teach_no_more(home, monkeypatch):
    nats = iter([1.5, 2.0, 1.8, 1.4, 1.6])  # the reader's, the backbone's, and of three epochs; then nobody asks
    monkeypatch.setattr(Exam, "nats", lambda *_: np.array([next(nats)]))
    done = trained(home, "--refit", 0.5)
    assert "after epoch 2 the images tell more than the texts" in done.err
    assert "Until epoch 2 a reader of the items' texts" in (home / ".vdistill" / "student" / "README.md").read_text()
    assert ["reader_loss" in epoch for epoch in facts(home)["history"]] == [True, True, False, False, False, False]


def test_with_other_texts_an_interrupted_training_starts_over(tmp_path, clip_folder, monkeypatch):
    shop = tmp_path / "shop"
    shop.mkdir()
    trainings.label_shop(shop, clip_folder, description=lambda colour, *_: f"for {colour} rooms")
    home = shutil.copytree(shop / ".vdistill", tmp_path / "home" / ".vdistill").parent
    with monkeypatch.context() as patch:
        interrupt_at(patch, 6)
        trained(home, code=130)
    path = shop / "catalog" / "metadata.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row["description"] = f"{row['title'][::-1]} halls"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    trained(home)
    trained(shop)
    assert weights(home) == weights(shop)


def test_interrupted_it_ends_in_the_same_weights(home, labelled, tmp_path, monkeypatch):
    whole = shutil.copytree(labelled / ".vdistill", tmp_path / "whole" / ".vdistill").parent
    trained(whole)
    with monkeypatch.context() as patch:
        interrupt_at(patch, 6)
        trained(home, code=130)
    trained(home)
    assert weights(home) == weights(whole)
    assert facts(home)["history"] == facts(whole)["history"]
