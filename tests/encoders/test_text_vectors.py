"""Vectors of texts in the workspace's cache: each text is encoded once, and what is damaged or too much is no error."""

import numpy as np
import pytest

from vdistill.encoders import text_vectors
from vdistill.encoders.text_vectors import TextVectors
from vdistill.workspace import create

DIM = 6


class Tower:
    """Gives each text a vector of its own, and notes what it is asked for."""

    def __init__(self):
        self.asked = []

    def __call__(self, texts):
        self.asked.append(list(texts))
        return np.stack([self.vector(text) for text in texts])

    @staticmethod
    def vector(text):
        found = np.random.default_rng(list(text.encode())).normal(size=DIM).astype(np.float32)
        return found / np.linalg.norm(found)


@pytest.fixture
def tower():
    return Tower()


@pytest.fixture
def workspace(tmp_path):
    return create(tmp_path / ".vdistill")


def opened(workspace, name="a tower", **settings):
    return TextVectors(workspace, name, DIM, **settings)


def files(workspace):
    return sorted((workspace.cache / "text_vectors").glob("*"))


def test_each_text_is_encoded_once_whatever_is_asked_for_later(workspace, tower):
    kept = opened(workspace)
    kept.of(["one", "two", "one"], tower)
    kept.save()
    found = opened(workspace).of(["three", "two", "one", "three"], tower)
    assert tower.asked == [["one", "two"], ["three"]]
    assert np.allclose(found, [Tower.vector(text) for text in ("three", "two", "one", "three")], atol=1e-3)


def test_the_first_time_gives_the_numbers_that_later_times_give(workspace, tower):
    kept = opened(workspace)
    first = kept.of(["one", "two"], tower)
    kept.save()
    assert (opened(workspace).of(["two", "one"], tower)[::-1] == first).all()


def test_keys_that_end_in_zeros_are_told_apart(workspace, tower, monkeypatch):
    class Hash:
        def __init__(self, content):
            self.content = content

        def digest(self):
            return self.content[:1] + bytes(31)

        def hexdigest(self):
            return "a" * 64

    monkeypatch.setattr(text_vectors, "sha256", Hash)
    kept = opened(workspace)
    kept.of(["a", "b"], tower)
    assert np.allclose(kept.of(["b", "a", "c"], tower), [Tower.vector(text) for text in "bac"], atol=1e-3)


def test_a_long_run_that_is_interrupted_keeps_most_of_its_work(workspace, tower, monkeypatch):
    monkeypatch.setattr(text_vectors, "PART", 10)
    monkeypatch.setattr(text_vectors, "_UNSAVED", 20)
    texts = [str(number) for number in range(60)]

    def interrupted(some):
        if "50" in some:
            raise KeyboardInterrupt
        return tower(some)

    with pytest.raises(KeyboardInterrupt):
        opened(workspace).of(texts, interrupted)
    tower.asked.clear()
    opened(workspace).of(texts, tower)
    assert sum(map(len, tower.asked)) == 20


def test_beyond_the_limit_vectors_are_made_anew(workspace, tower):
    texts = [str(number) for number in range(10)]
    limit = 4 * (16 + 2 * DIM)
    kept = opened(workspace, limit=limit)
    kept.of(texts, tower)
    kept.save()
    found = opened(workspace, limit=limit).of(texts, tower)
    assert tower.asked[1] == texts[4:]
    assert np.allclose(found, [Tower.vector(text) for text in texts], atol=1e-3)


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_damaged_file_is_made_anew(workspace, tower, damage):
    kept = opened(workspace)
    kept.of(["one"], tower)
    kept.save()
    (path,) = files(workspace)
    path.write_bytes(path.read_bytes()[:-3] if damage is None else damage)
    again = opened(workspace)
    again.of(["one"], tower)
    again.save()
    opened(workspace).of(["one"], tower)
    assert tower.asked == [["one"], ["one"]]


def test_another_tower_has_other_vectors_and_one_file_is_left(workspace, tower):
    for name in ("a tower", "another"):
        kept = opened(workspace, name)
        kept.of(["one"], tower)
        kept.save()
    assert tower.asked == [["one"], ["one"]]
    assert len(files(workspace)) == 1


def test_a_disk_that_refuses_costs_only_time(workspace, tower):
    workspace.cache.mkdir(parents=True, exist_ok=True)
    (workspace.cache / "text_vectors").write_bytes(b"in the way")
    kept = opened(workspace)
    found = kept.of(["one"], tower)
    kept.save()
    assert np.allclose(found, [Tower.vector("one")], atol=1e-3)


def test_the_caller_hears_how_far_it_is(workspace, tower, monkeypatch):
    monkeypatch.setattr(text_vectors, "PART", 2)
    heard = []
    kept = opened(workspace)
    kept.of(["one", "two", "three"], tower, lambda *done: heard.append(done))
    kept.of(["one"], tower, lambda *done: heard.append(done))
    assert heard == [(0, 3), (2, 3), (3, 3)]
