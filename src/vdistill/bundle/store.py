"""An open index: its vectors and the items they belong to, memory-mapped and read only."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vdistill.bundle import manifest
from vdistill.bundle.items import Items
from vdistill.bundle.manifest import Entry, FileFacts
from vdistill.bundle.shards import Shard
from vdistill.bundle.vectors import unit
from vdistill.errors import VdistillError


class Store:
    """An open index. May be shared between threads, and stays whole when a newer one is published, until closed."""

    def __init__(self, folder: Path, entry: Entry, shards: tuple[Shard, ...], items: Items) -> None:
        self.folder = folder
        self.entry = entry
        self.shards = shards
        self.items = items
        self._lock = threading.Lock()  # two searches in one USearch index share its scratch space

    @classmethod
    def open(cls, folder: Path, model: str) -> Store:
        """Open the index of `model`. Raises VdistillError where it is missing or damaged."""
        entry = entry_of(folder, model)
        while True:
            try:
                shards = tuple(Shard.open(folder, facts, entry.dim, entry.dtype) for facts in entry.shards)
                return cls(folder, entry, shards, Items(entry.items.check(folder)))
            except VdistillError:
                newer = entry_of(folder, model)
                if newer == entry:
                    raise
                entry = newer  # it was replaced between reading the manifest and opening the files

    @property
    def stored(self) -> int:
        """Number of vectors in the files, deleted ones included."""
        return sum(shard.facts.count for shard in self.shards)

    def nearest(self, vector: np.ndarray, count: int, exact: bool) -> tuple[np.ndarray, np.ndarray]:
        """Keys and similarities of the `count` stored vectors nearest to (dim,), best first, deleted ones included."""
        with self._lock:
            found = [shard.search(vector, count, exact) for shard in self.shards]
        keys = np.concatenate([keys[0] for keys, _ in found])
        scores = np.concatenate([scores[0] for _, scores in found])
        best = np.argsort(-scores, kind="stable")[:count]
        return keys[best], scores[best]

    def widen(self, width: int) -> None:
        """Set how many candidates are kept while graphs are searched: more are slower and miss less."""
        with self._lock:
            for shard in self.shards:
                shard.index.expansion_search = width

    def scores(self, keys: np.ndarray, found: np.ndarray, vector: np.ndarray) -> np.ndarray:
        """(n,) cosines, float32, of the keys and similarities that `nearest` found.

        Beside a graph of bf16, f16 or f32 they stay as they were found, exact to 1e-3 or better: the vectors themselves
        would have to be looked up by key, and for that USearch reads the whole file.
        """
        scores = np.asarray(found, np.float32).copy()
        precise = [shard for shard in self.shards if shard.precise is not None or not shard.facts.graph]
        for here, vectors in self._parts(keys, precise):
            scores[here] = (unit(vectors) * vector).sum(axis=1)
        return scores

    def vectors(self, keys: np.ndarray) -> np.ndarray:
        """Stored vectors (n, dim), float32, scaled to unit length again after rounding to the stored precision."""
        found = np.zeros((len(keys), self.entry.dim), np.float32)
        for here, vectors in self._parts(np.asarray(keys, np.uint64), self.shards):
            found[here] = vectors
        return unit(found)

    def encoder_folder(self, files: Sequence[FileFacts]) -> Path:
        """The folder of an exported encoder, of these files. Raises VdistillError where one of them is damaged."""
        paths = [file.check(self.folder) for file in files]
        return paths[0].parent

    def close(self) -> None:
        """Release the files."""
        self.items.close()
        for shard in self.shards:
            shard.close()

    def _parts(self, keys: np.ndarray, shards: Sequence[Shard]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Which of the keys each of these shards holds, and their vectors there."""
        for shard in shards if len(keys) else ():
            with self._lock:
                here = np.ones(len(keys), bool) if len(self.shards) == 1 else shard.holds(keys)
                vectors = shard.vectors(keys[here]) if here.any() else None
            if vectors is not None:
                yield here, vectors


def entry_of(folder: Path, model: str) -> Entry:
    """The manifest's entry for `model`. Raises VdistillError where there is none."""
    entries = manifest.read(folder)
    if model not in entries:
        other = f"; there is one of the {next(iter(entries))}" if entries else ""
        raise VdistillError(f"there is no index of the {model}{other}", hint=f"run `vdistill index --model {model}`")
    return entries[model]
