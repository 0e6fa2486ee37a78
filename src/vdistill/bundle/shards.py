"""Vectors on disk: USearch files of bounded size that are never changed, each searched through its graph or in full."""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vdistill.bundle.manifest import REMEDY, FileFacts, ShardFacts
from vdistill.errors import VdistillError

if TYPE_CHECKING:
    from usearch.index import Index

# Of unit vectors the inner product is the cosine, and a third faster; USearch's forgets the scale of i8.
METRICS = {"bf16": "ip", "f16": "ip", "f32": "ip", "i8": "cos"}
DTYPES = {"bf16": 2, "f16": 2, "i8": 1, "f32": 4}  # bytes a number

FLAT = 20_000  # vectors; up to here a full scan takes a millisecond and misses nothing
LIMIT = 1_000_000  # vectors in a file: what a build holds in memory
WIDTH = 64  # candidates kept while a graph is walked
_CONNECTIVITY, _EXPANSION_ADD = 16, 128
# A file that is only ever scanned needs no graph: with the least that USearch takes adding costs a fiftieth.
_NO_GRAPH = {"connectivity": 2, "expansion_add": 1}


@dataclass(frozen=True)
class Shard:
    """An open file of vectors.

    index: for searching. It finds no vector by its key: for that USearch reads all of the file when it is opened.
    precise: rows of (key, vector) by key in a higher precision, beside i8.  mapped: the file.
    """

    facts: ShardFacts
    index: Index
    precise: np.ndarray | None
    mapped: mmap.mmap
    dtype: str

    @cached_property
    def _by_key(self) -> Index:
        """From the same mapping: the file itself may be gone, when a newer index was published."""
        index = _usearch(self.index.ndim, self.dtype)
        index.view(self.mapped)
        return index

    @classmethod
    def open(cls, folder: Path, facts: ShardFacts, dim: int, dtype: str) -> Shard:
        """Map the files. Raises VdistillError where they are not what was written."""
        precise = None
        if facts.precise:
            path = facts.precise.check(folder)
            try:
                precise = np.load(path, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError) as error:
                raise VdistillError(f"{path} is damaged: {error}", hint=REMEDY) from error
        mapped = _mapped(facts.vectors.check(folder), facts.count, dim, dtype)
        index = _usearch(dim, dtype, enable_key_lookups=False)
        try:
            index.view(mapped)
        except RuntimeError as error:
            raise VdistillError(f"{folder / facts.vectors.name} is damaged: {error}", hint=REMEDY) from error
        return cls(facts, index, precise, mapped, dtype)

    def search(self, vectors: np.ndarray, count: int, exact: bool) -> tuple[np.ndarray, np.ndarray]:
        """Keys and similarities (n, ≤ count) of the nearest to (n, dim), best first.

        A shard without a graph is always searched in full.
        """
        count = min(count, self.facts.count)
        found: Any = self.index.search(vectors, count, exact=exact or not self.facts.graph or count > FLAT)
        keys, distances = np.atleast_2d(found.keys), np.atleast_2d(found.distances)
        return np.asarray(keys), 1 - np.asarray(distances)

    def holds(self, keys: np.ndarray) -> np.ndarray:
        """Which of these keys have their vector here."""
        if self.precise is not None:
            known = self.precise["key"]
            return np.asarray(known[np.minimum(np.searchsorted(known, keys), len(known) - 1)] == keys)
        return np.asarray(self._by_key.contains(keys))

    def vectors(self, keys: np.ndarray) -> np.ndarray:
        """(n, dim) float32, of keys that are all here."""
        if self.precise is not None:
            return np.asarray(self.precise["vector"][np.searchsorted(self.precise["key"], keys)], np.float32)
        return np.stack(self._by_key.get(keys, dtype="f32")).astype(np.float32)

    def close(self) -> None:
        """Let go of the file."""
        self.index.reset()
        if "_by_key" in vars(self):
            self._by_key.reset()
        with contextlib.suppress(BufferError):  # somebody still searches: the mapping goes when that is over
            self.mapped.close()


class ShardWriter:
    """Vectors into as many files as they need. Nothing of it is seen before it is published."""

    def __init__(self, folder: Path, stem: str, dim: int, dtype: str, *, graph: bool) -> None:
        self._folder, self._stem, self._dim, self._dtype, self._graph = folder, stem, dim, dtype, graph
        self._done: list[ShardFacts] = []
        self._keys: list[np.ndarray] = []
        self._precise: list[np.ndarray] = []
        self._index = self._blank()

    def add(self, keys: Sequence[int] | np.ndarray, vectors: np.ndarray) -> None:
        """Add unit vectors (n, dim). Raises ValueError for one that cannot be searched."""
        if not usable(vectors).all():
            raise ValueError("a vector is zero or not finite")
        names = np.asarray(keys, np.uint64)
        start = 0
        while start < len(names):
            end = start + LIMIT - len(self._index)
            self._add(names[start:end], np.ascontiguousarray(vectors[start:end], np.float32))
            start = end
            if len(self._index) >= LIMIT:
                self._save()

    def finish(self) -> tuple[ShardFacts, ...]:
        """Write what is left. Raises OSError where the disk refuses."""
        self._save()
        return tuple(self._done)

    def _add(self, keys: np.ndarray, vectors: np.ndarray) -> None:
        # One thread makes the same file again, which costs nothing where there is no graph.
        self._index.add(keys, vectors, threads=0 if self._graph else 1)
        if self._dtype == "i8":
            self._keys.append(keys)
            self._precise.append(vectors.astype(np.float16))

    def _save(self) -> None:
        if not len(self._index):
            return
        name = f"{self._stem}-{len(self._done)}"
        (self._folder / f"{name}.usearch").unlink(missing_ok=True)  # saving in place would tear a reader's mapping
        try:
            self._index.save(str(self._folder / f"{name}.usearch"))
        except RuntimeError as error:  # how USearch reports a full disk
            raise OSError(str(error)) from error
        _sync(self._folder / f"{name}.usearch")
        vectors = FileFacts.of(self._folder, f"{name}.usearch")
        self._done.append(ShardFacts(vectors, len(self._index), self._graph, self._save_precise(f"{name}.npy")))
        self._index = self._blank()

    def _save_precise(self, name: str) -> FileFacts | None:
        if not self._keys:
            return None
        rows = np.empty(sum(map(len, self._keys)), [("key", "<u8"), ("vector", "<f2", (self._dim,))])
        rows["key"], rows["vector"] = np.concatenate(self._keys), np.concatenate(self._precise)
        rows.sort(order="key")
        self._keys, self._precise = [], []
        (self._folder / name).unlink(missing_ok=True)
        np.save(self._folder / name, rows, allow_pickle=False)
        _sync(self._folder / name)
        return FileFacts.of(self._folder, name)

    def _blank(self) -> Index:
        graph = {"connectivity": _CONNECTIVITY, "expansion_add": _EXPANSION_ADD}
        return _usearch(self._dim, self._dtype, **(graph if self._graph else _NO_GRAPH))


def usable(vectors: np.ndarray) -> np.ndarray:
    """Which rows of (n, dim) are finite and not zero: USearch takes the others too, and ranks them anywhere."""
    return np.asarray(np.isfinite(vectors).all(axis=1) & (np.abs(vectors).max(axis=1) > 0))


def _usearch(dim: int, dtype: str, **options: Any) -> Index:
    """A USearch index; the one place that imports it.

    Its Linux wheel (2.26) brings a C++ runtime of its own, in which ONNX Runtime (1.31) crashes when it is imported
    second. So ONNX Runtime goes first.
    """
    import onnxruntime  # noqa: F401
    from usearch.index import Index

    return Index(ndim=dim, metric=METRICS[dtype], dtype=dtype, expansion_search=WIDTH, **options)


def _mapped(path: Path, count: int, dim: int, dtype: str) -> mmap.mmap:
    """Map the file, after making sure that USearch will find in it what it trusts to be there."""
    with path.open("rb") as file:
        found = struct.unpack("<II", file.read(8).ljust(8, b"\0"))
        file.seek(8 + found[0] * found[1])
        if file.read(7) != b"usearch" or found != (count, dim * DTYPES[dtype]):
            raise VdistillError(f"{path} is damaged: no USearch index of {count} vectors", hint=REMEDY)
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
