"""Vectors of texts in the workspace's cache: each text is encoded once, and what is damaged or too much is no error."""

import resource

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
        if texts != [text_vectors.PROBE]:
            self.asked.append(list(texts))
        return np.stack([self.vector(text) for text in texts])

    @staticmethod
    def vector(text):
        """(dim,) drawn by the text."""
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
            return (self.content[:1] if len(self.content) == 1 else b"P") + bytes(31)

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
    limit = 5 * (16 + 2 * DIM)  # one is the probe
    kept = opened(workspace, limit=limit)
    kept.of(texts, tower)
    kept.save()
    found = opened(workspace, limit=limit).of(texts, tower)
    assert tower.asked[1] == texts[4:]
    assert np.allclose(found, [Tower.vector(text) for text in texts], atol=1e-3)


def damaged(content, how):
    header = content.index(b"{")
    return {
        "empty": b"",
        "short": content[:-3],
        "nonsense": b"nonsense",
        "a broken zip": b"PK\3\4" + content,
        "nonsense in its header": content[:header] + bytes(range(200, 250)) + content[header + 50 :],
        "more rows than there is memory": content.replace(b"(2,)", b"(%d,)" % 10**14),
        "numbers that are no vectors": content[:-8] + b"\x00\x7b" * 4,
    }[how]


@pytest.mark.parametrize(
    "how",
    ["empty", "short", "nonsense", "a broken zip", "nonsense in its header", "more rows than there is memory",
     "numbers that are no vectors"],
)  # fmt: skip
def test_a_damaged_file_is_made_anew(workspace, tower, how):
    kept = opened(workspace)
    kept.of(["one"], tower)
    kept.save()
    (path,) = files(workspace)
    before = path.read_bytes()
    assert damaged(before, how) != before
    path.write_bytes(damaged(before, how))
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


def test_a_tower_that_gives_other_vectors_now_is_not_believed_for_its_weights(workspace, tower):
    kept = opened(workspace)
    kept.of(["one"], tower)
    kept.save()

    def changed(texts):
        return tower(texts)[:, ::-1]

    again = opened(workspace)
    found = again.of(["one"], changed)
    again.save()
    assert np.allclose(found, Tower.vector("one")[None, ::-1], atol=1e-3)
    assert np.allclose(opened(workspace).of(["one"], changed), found)
    assert len(tower.asked) == 2


def test_what_a_killed_process_left_is_swept_away(workspace, tower):
    (workspace.cache / "text_vectors").mkdir(parents=True)
    (workspace.cache / "text_vectors" / ".a.npy.1234.part").write_bytes(b"half of it")
    kept = opened(workspace)
    kept.of(["one"], tower)
    kept.save()
    assert [path.suffix for path in files(workspace)] == [".npy"]


def test_a_full_disk_costs_only_time(workspace, tower):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    kept = opened(workspace)
    found = kept.of([str(number) for number in range(2000)], tower)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        kept.save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not files(workspace)
    assert np.allclose(found[7], Tower.vector("7"), atol=1e-3)


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
