"""Texts that wait together are encoded together, each with the vector that it has alone."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from command_line import index_drawn
from vdistill import Searcher
from vdistill.query import shared_texts
from vdistill.query.shared_texts import CachedTexts


@pytest.fixture(scope="module")
def home(tmp_path_factory, clip_folder):
    return index_drawn(tmp_path_factory.mktemp("home"), clip_folder)


@pytest.fixture
def encoder(home):
    with Searcher.open(home) as searcher:
        yield searcher._encoder._text_encoder


class Slow:
    """An encoder that waits until it may go on, and notes its batches."""

    def __init__(self, encoder):
        self.encoder, self.batches, self.go = encoder, [], threading.Event()

    def encode(self, texts):
        self.batches.append(list(texts))
        if not self.go.is_set() and len(self.batches) > self.free:
            self.go.wait(20)
        return self.encoder.encode(texts)

    free = 100

    def __getattr__(self, name):
        return getattr(self.encoder, name)


def test_many_threads_get_the_vectors_of_single_texts(encoder):
    words = [
        f"{colour} {thing}" for colour in ("red", "blue", "green") for thing in ("mug", "lamp", "a long wooden chair")
    ]
    cached = CachedTexts(encoder)
    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(lambda n: cached.encode([words[n % 9], words[(n + 1) % 9]]), range(300)))
    for n, vectors in enumerate(found):
        alone = np.concatenate([encoder.encode([words[n % 9]]), encoder.encode([words[(n + 1) % 9]])])
        assert np.array_equal(vectors, alone)


def test_what_waits_is_encoded_in_one_batch_of_one_length(encoder, monkeypatch):
    monkeypatch.setattr(shared_texts.os, "cpu_count", lambda: 1)
    slow = Slow(encoder)
    cached = CachedTexts(slow)
    slow.batches.clear()
    slow.free = 0
    with ThreadPoolExecutor(8) as threads:
        first = threads.submit(cached.encode, ["first"])
        while not slow.batches:
            pass
        wished = ["red mug", "a very long text about a mug", "blue mug", "red mug"]
        others = [threads.submit(cached.encode, [text]) for text in wished]
        while len(cached._waiting) < 4:
            pass
        slow.go.set()
        assert first.result().shape == (1, encoder.settings.dim)
        assert all(other.result().shape == (1, encoder.settings.dim) for other in others)
    assert len(slow.batches) == 3
    assert sorted(map(len, slow.batches)) == [1, 1, 3]
    cached.encode(["red mug", "blue mug"])
    assert len(slow.batches) == 3, "their vectors are remembered"


def test_an_encoder_whose_batches_differ_gets_no_batches(encoder):
    class Differs(Slow):
        def encode(self, texts):
            return super().encode(texts) + (1e-7 if len(texts) > 1 else 0)

    differs = Differs(encoder)
    cached = CachedTexts(differs)
    differs.batches.clear()
    assert np.array_equal(cached.encode(["red mug", "blue mug"])[0], encoder.encode(["red mug"])[0])
    assert differs.batches == [["red mug"], ["blue mug"]]


def test_an_error_reaches_whoever_waits_and_nobody_else(encoder):
    class Fails(Slow):
        def encode(self, texts):
            if "bad" in texts:
                raise RuntimeError("no")
            return super().encode(texts)

    cached = CachedTexts(Fails(encoder))
    with pytest.raises(RuntimeError):
        cached.encode(["bad"])
    assert cached.encode(["good"]).shape == (1, encoder.settings.dim)
