"""An open index: its vectors and the items they belong to, memory-mapped and read only."""

from __future__ import annotations

import mmap
import sys
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np

from vdistill.bundle import manifest
from vdistill.bundle.items import Items
from vdistill.bundle.lists import ListShard, middle
from vdistill.bundle.manifest import Entry, FileFacts, ShardFacts
from vdistill.bundle.pack import Place
from vdistill.bundle.shards import Shard
from vdistill.bundle.vectors import unit
from vdistill.errors import VdistillError

SAMPLE = 1000  # items whose scores tell how those of a query spread


class Store:
    """An open index. May be shared between threads, and stays whole when a newer one is published, until closed."""

    def __init__(self, folder: Place, entry: Entry, shards: tuple[Shard | ListShard, ...], items: Items) -> None:
        self.folder = folder
        self.entry = entry
        self.shards = shards
        self.items = items
        self._lock = threading.Lock()  # two searches in one USearch index share its scratch space

    @classmethod
    def open(cls, folder: Place, model: str) -> Store:
        """Open the index of `model`. Raises VdistillError where it is missing or damaged."""
        entry = entry_of(folder, model)
        while True:
            try:
                return cls.of(folder, entry)
            except VdistillError:
                newer = entry_of(folder, model)
                if newer == entry:
                    raise
                entry = newer  # it was replaced between reading the manifest and opening the files

    @classmethod
    def of(cls, folder: Place, entry: Entry) -> Store:
        """Open an index by its entry, which need not be published. Raises VdistillError where it is damaged."""
        shards = tuple(open_shard(folder, facts, entry.dim, entry.dtype) for facts in entry.shards)
        return cls(folder, entry, shards, Items(entry.items.check(folder)))

    @property
    def stored(self) -> int:
        """Number of vectors in the files, deleted ones included."""
        return sum(shard.facts.count for shard in self.shards)

    @cached_property
    def sample(self) -> np.ndarray:
        """Vectors (n, dim) of items spread over the whole catalog: what scores of a query are compared with."""
        return self.vectors(self.items.some_keys(SAMPLE))

    def nearest(self, vector: np.ndarray, count: int, exact: bool) -> tuple[np.ndarray, np.ndarray]:
        """Keys and similarities of the `count` stored vectors nearest to (dim,), best first, deleted ones included."""
        with self._lock:
            found: list[tuple[np.ndarray, np.ndarray]] = []
            floor = -np.inf
            for shard in self.shards:
                found.append(shard.search(vector, count, exact, floor))
                if len(self.shards) > 1:
                    floor = middle(np.concatenate([scores for _, scores in found]), count)
        places = np.concatenate([places for places, _ in found]).astype(np.uint64)
        scores = np.concatenate([scores for _, scores in found])
        best = np.argsort(-scores, kind="stable")[:count]
        owner = np.repeat(np.arange(len(found)), [len(scores) for _, scores in found])[best]
        keys = places[best]
        for number, shard in enumerate(self.shards):  # what is not among the best is not looked up
            here = owner == number
            keys[here] = shard.keys(keys[here])
        return keys, scores[best]

    def widen(self, width: int) -> None:
        """Set how many lists are read, or candidates kept in an older index: more are slower and miss less."""
        with self._lock:
            for shard in self.shards:
                shard.widen(width)

    def scores(self, keys: np.ndarray, found: np.ndarray, vector: np.ndarray) -> np.ndarray:
        """(n,) cosines, float32, of the keys and similarities that `nearest` found.

        Those from lists are exact already. Beside a graph of all vectors of bf16, f16 or f32 they stay as they were
        found, exact to 1e-3 or better: the vectors would have to be looked up by key, and for that USearch reads the
        whole file.
        """
        scores = np.asarray(found, np.float32).copy()
        precise = [s for s in self.shards if s.facts.flat or (s.facts.graph and s.precise is not None)]
        if not precise:
            return scores
        for here, vectors in self._parts(keys, precise):
            scores[here] = (unit(vectors) * vector).sum(axis=1)
        return scores

    def vectors(self, keys: np.ndarray) -> np.ndarray:
        """Stored vectors (n, dim), float32, scaled to unit length again after rounding to the stored precision."""
        found = np.zeros((len(keys), self.entry.dim), np.float32)
        for here, vectors in self._parts(np.asarray(keys, np.uint64), self.shards):
            found[here] = vectors
        return unit(found)

    def encoder_folder(self, files: Sequence[FileFacts]) -> Place:
        """The folder of an exported encoder, of these files. Raises VdistillError where one of them is damaged."""
        paths = [file.check(self.folder) for file in files]
        return paths[0].parent

    def let_go(self) -> None:
        """Give the vectors' pages back: the system keeps them as long as it likes, and no longer counts them as ours.

        What is searched next is mapped again, at a microsecond for 64 KiB. Windows decides by itself.
        """
        for shard in self.shards:
            if hasattr(mmap, "MADV_DONTNEED") and sys.platform == "linux":  # elsewhere it may mean something else
                shard.mapped.madvise(mmap.MADV_DONTNEED)

    def close(self) -> None:
        """Release the files."""
        self.items.close()
        for shard in self.shards:
            shard.close()

    def _parts(self, keys: np.ndarray, shards: Sequence[Shard | ListShard]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Which of the keys each of these shards holds, and their vectors there."""
        for shard in shards if len(keys) else ():
            with self._lock:
                here = np.ones(len(keys), bool) if len(self.shards) == 1 else shard.holds(keys)
                vectors = shard.vectors(keys[here]) if here.any() else None
            if vectors is not None:
                yield here, vectors


def open_shard(folder: Place, facts: ShardFacts, dim: int, dtype: str) -> Shard | ListShard:
    """Map a file of vectors. Raises VdistillError where it is damaged."""
    return (ListShard if facts.lists else Shard).open(folder, facts, dim, dtype)


def entry_of(folder: Place, model: str) -> Entry:
    """The manifest's entry for `model`. Raises VdistillError where there is none."""
    entries = manifest.read(folder)
    if model not in entries:
        other = f"; there is one of the {next(iter(entries))}" if entries else ""
        raise VdistillError(f"there is no index of the {model}{other}", hint=f"run `vdistill index --model {model}`")
    return entries[model]
