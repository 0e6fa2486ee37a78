"""An open index: shards of vectors and the items they belong to, mapped and read only."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from vdistill.bundle.items import Items
from vdistill.bundle.manifest import REMEDY, Entry, read
from vdistill.bundle.shards import Shard
from vdistill.errors import VdistillError
from vdistill.images import DECODER


class Store:
    """An open index: whole; one that a newer replaces goes on working until it is closed. May be shared by threads."""

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
                return cls._open(folder, entry)
            except (VdistillError, OSError) as error:
                newer = entry_of(folder, model)
                if newer == entry:
                    if isinstance(error, VdistillError):
                        raise
                    raise VdistillError(f"the index is damaged: {error}", hint=REMEDY) from error
                entry = newer  # it was replaced between reading the manifest and opening the files

    @classmethod
    def _open(cls, folder: Path, entry: Entry) -> Store:
        shards = tuple(Shard.open(folder, facts, entry.dim, entry.dtype) for facts in entry.shards)
        return cls(folder, entry, shards, Items(entry.items.check(folder)))

    @property
    def stored(self) -> int:
        """Vectors in the files, also those whose item is gone."""
        return sum(shard.facts.count for shard in self.shards)

    def nearest(self, vector: np.ndarray, count: int, exact: bool) -> tuple[np.ndarray, np.ndarray]:
        """Keys and similarities of the `count` stored vectors nearest to (dim,), best first, dead ones too."""
        with self._lock:
            found = [shard.search(vector, count, exact) for shard in self.shards]
        keys = np.concatenate([keys[0] for keys, _ in found])
        scores = np.concatenate([scores[0] for _, scores in found])
        best = np.argsort(-scores, kind="stable")[:count]
        return keys[best], scores[best]

    def widen(self, width: int) -> None:
        """Keep so many candidates while graphs are walked: more are slower and miss less."""
        with self._lock:
            for shard in self.shards:
                shard.index.expansion_search = width

    def scores(self, keys: np.ndarray, found: np.ndarray, vector: np.ndarray) -> np.ndarray:
        """(n,) cosines, float32, of what `nearest` found.

        Beside a graph of bf16, f16 or f32 they stay as they were found, exact to 1e-3 or better: the vectors themselves
        would have to be looked up by key, and for that USearch reads the whole file.
        """
        scores = np.asarray(found, np.float32).copy()
        with self._lock:
            for shard in self.shards:
                if shard.facts.graph and shard.precise is None:
                    continue
                here = np.ones(len(keys), bool) if len(self.shards) == 1 else shard.holds(keys)
                if here.any():
                    scores[here] = (_unit(shard.vectors(keys[here])) * vector).sum(axis=1)
        return scores

    def vectors(self, keys: np.ndarray) -> np.ndarray:
        """Stored vectors (n, dim), float32, scaled to unit length again after rounding to the stored precision."""
        keys = np.asarray(keys, np.uint64)
        vectors = np.zeros((len(keys), self.entry.dim), np.float32)
        with self._lock:
            for shard in self.shards if len(keys) else ():
                here = np.ones(len(keys), bool) if len(self.shards) == 1 else shard.holds(keys)
                if here.any():
                    vectors[here] = shard.vectors(keys[here])
        return _unit(vectors)

    def close(self) -> None:
        """Let go of the files."""
        self.items.close()
        for shard in self.shards:
            shard.close()


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def entry_of(folder: Path, model: str) -> Entry:
    """The manifest's entry for `model`. Raises VdistillError where there is none."""
    entries = read(folder)
    if model not in entries:
        other = f"; there is one of the {next(iter(entries))}" if entries else ""
        raise VdistillError(f"there is no index of the {model}{other}", hint=f"run `vdistill index --model {model}`")
    return entries[model]


def made_before(folder: Path, model: str) -> bool:
    """Whether the index of a model has vectors of images that are read otherwise now; a damaged one has none."""
    try:
        entry = read(folder).get(model)
    except VdistillError:
        return False
    return entry is not None and entry.decoder != DECODER


def made_from(folder: Path, model: str) -> str | None:
    """What the index of `model` was made from, or None where there is none.

    Raises VdistillError where the manifest is damaged.
    """
    entry = read(folder).get(model)
    return entry.made_from if entry else None
