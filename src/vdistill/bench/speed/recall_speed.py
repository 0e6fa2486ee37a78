"""Recall@10 and speed of the ways to search: all vectors, and lists at several widths."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np

from vdistill.bundle.lists import ListShard
from vdistill.bundle.shard_writer import ShardWriter
from vdistill.bundle.shards import FLAT, WIDTH
from vdistill.bundle.store import Store

K = 10
WIDTHS = (16, 32, WIDTH, 128, 256)  # of lists: how many are read, as a multiple of the default's
MOST_QUERIES = 50


@dataclass(frozen=True, slots=True)
class Point:
    """A way to search. `width` is None for a full scan; `used` marks what `vdistill query` does."""

    width: int | None
    recall: float
    queries_per_second: float
    used: bool


@dataclass(frozen=True, slots=True)
class Build:
    """How fast vectors are put into lists, measured with so many."""

    vectors: int
    adds_per_second: float


def recall_speed(store: Store, queries: np.ndarray) -> tuple[list[Point], Build]:
    """Search for unit vectors (q, dim), one after the other, in each way there is.

    Up to FLAT vectors an index has no lists: they are made for comparison. Of a larger index FLAT vectors are put into
    lists, to time that.
    """
    asked = queries[:MOST_QUERIES]
    flat = all(shard.facts.flat for shard in store.shards)
    keys = np.array([row.key for row in store.items.rows()], np.uint64) if flat else store.items.some_keys(FLAT)
    with tempfile.TemporaryDirectory() as folder:
        shard, build = _built(store, keys, Path(folder))
        try:
            lists = Store(Path(folder), store.entry, (shard,), store.items) if flat else store
            return _points(store, lists, asked), build
        finally:
            shard.close()


def _built(store: Store, keys: np.ndarray, folder: Path) -> tuple[ListShard, Build]:
    vectors, entry = store.vectors(keys), store.entry
    writer = ShardWriter(folder, "trial", entry.dim, entry.dtype, lists=True)
    started = time.perf_counter()
    writer.add(keys, vectors)
    (facts,) = writer.finish()
    seconds = time.perf_counter() - started
    shard = ListShard.open(folder, facts, entry.dim, entry.dtype)
    return shard, Build(len(keys), round(len(keys) / max(seconds, 1e-9), 1))


def _points(store: Store, lists: Store, queries: np.ndarray) -> list[Point]:
    """The scan of `store`, and the widths of `lists`, which may be the same."""
    truth = [lists.nearest(vector, K, exact=True)[0] for vector in queries]
    _, scan = _timed(lambda vector: store.nearest(vector, K, exact=True)[0], queries)
    points = [Point(None, 1.0, scan, used=lists is not store)]
    try:
        for width in WIDTHS:
            lists.widen(width)
            found, rate = _timed(lambda vector: lists.nearest(vector, K, exact=False)[0], queries)
            points.append(Point(width, _recall(found, truth), rate, used=lists is store and width == WIDTH))
    finally:
        lists.widen(WIDTH)
    return points


def _timed(search: Callable[[np.ndarray], np.ndarray], queries: np.ndarray) -> tuple[list[np.ndarray], float]:
    """What is found for each query, and queries per second by the median."""
    search(queries[0])  # the first search reads from disk
    found, seconds = [], []
    for vector in queries:
        started = time.perf_counter()
        found.append(search(vector))
        seconds.append(time.perf_counter() - started)
    return found, round(1 / max(median(seconds), 1e-9), 1)


def _recall(found: Sequence[np.ndarray], truth: Sequence[np.ndarray]) -> float:
    pairs = zip(found, truth, strict=True)
    return float(np.mean([len(np.intersect1d(one, whole)) / len(whole) for one, whole in pairs]))
