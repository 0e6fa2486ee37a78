"""Vectors on disk: USearch files of bounded size that are never changed, each searched through its graph or in full."""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vdistill.bundle.manifest import REMEDY, FileFacts, ShardFacts
from vdistill.bundle.vectors import usable
from vdistill.errors import VdistillError
from vdistill.workspace import replacing

if TYPE_CHECKING:
    from usearch.index import Index

# Of unit vectors the inner product is the cosine, and a third faster; USearch's forgets the scale of i8.
METRIC_OF = {"bf16": "ip", "f16": "ip", "f32": "ip", "i8": "cos"}

FLAT = 20_000  # vectors; up to here a full scan takes a millisecond and misses nothing
LIMIT = 1_000_000  # vectors in a file: what a build holds in memory
WIDTH = 64  # candidates kept while a graph is walked
_GRAPH = {"connectivity": 16, "expansion_add": 128}
_NO_GRAPH = {"connectivity": 2, "expansion_add": 1}  # the least that USearch accepts, for files that are only scanned


@dataclass(frozen=True)
class Shard:
    """An open file of vectors.

    index: for searching, without lookups by key: for those USearch reads the whole file when it is opened.
    precise: rows of (key, vector) by key in a higher precision, beside i8.  mapped: the file.
    """

    facts: ShardFacts
    index: Index
    precise: np.ndarray | None
    mapped: mmap.mmap
    dtype: str

    @classmethod
    def open(cls, folder: Path, facts: ShardFacts, dim: int, dtype: str) -> Shard:
        """Map the files. Raises VdistillError where they are not what was written."""
        path, precise = facts.vectors.check(folder), None
        index = _usearch(dim, dtype, enable_key_lookups=False)
        try:
            mapped = _mapped(path, facts.count, index)
            index.view(mapped)
            if facts.precise:
                path = facts.precise.check(folder)
                precise = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, RuntimeError) as error:
            raise VdistillError(f"{path} is damaged: {error}", hint=REMEDY) from error
        return cls(facts, index, precise, mapped, dtype)

    @cached_property
    def _by_key(self) -> Index:
        """From the same mapping: the file itself may be gone, when a newer index was published."""
        index = _usearch(self.index.ndim, self.dtype)
        index.view(self.mapped)
        return index

    def search(self, vectors: np.ndarray, count: int, exact: bool) -> tuple[np.ndarray, np.ndarray]:
        """Keys and similarities (n, ≤ count) of the nearest to (n, dim), best first.

        A shard without a graph is always searched in full.
        """
        count = min(count, self.facts.count)
        found: Any = self.index.search(vectors, count, exact=exact or not self.facts.graph or count > FLAT)
        return np.atleast_2d(found.keys), 1 - np.atleast_2d(found.distances)

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
        """Release the file."""
        self.index.reset()
        if "_by_key" in vars(self):
            self._by_key.reset()
        with contextlib.suppress(BufferError):  # another thread still searches: the mapping goes when that is over
            self.mapped.close()


class ShardWriter:
    """Writes vectors into as many files as they need. No reader sees them before the manifest names them."""

    def __init__(self, folder: Path, stem: str, dim: int, dtype: str, *, graph: bool) -> None:
        self._folder, self._stem, self._dim, self._dtype, self._graph = folder, stem, dim, dtype, graph
        self._written: list[ShardFacts] = []
        self._start_file()

    def add(self, keys: Sequence[int] | np.ndarray, vectors: np.ndarray) -> None:
        """Add unit vectors (n, dim). Raises ValueError for one that cannot be searched, OSError as `finish` does."""
        if not usable(vectors).all():
            raise ValueError("a vector is zero or not finite")
        keys = np.asarray(keys, np.uint64)
        while len(keys):
            room = LIMIT - len(self._index)
            self._add(keys[:room], np.ascontiguousarray(vectors[:room], np.float32))
            keys, vectors = keys[room:], vectors[room:]
            if len(self._index) >= LIMIT:
                self._save()

    def finish(self) -> tuple[ShardFacts, ...]:
        """Write what is left. Raises OSError where the disk refuses."""
        if len(self._index):
            self._save()
        return tuple(self._written)

    def _start_file(self) -> None:
        self._index = _usearch(self._dim, self._dtype, **(_GRAPH if self._graph else _NO_GRAPH))
        self._precise: list[np.ndarray] = []

    def _add(self, keys: np.ndarray, vectors: np.ndarray) -> None:
        # One thread makes the same file again, which costs nothing where there is no graph.
        self._index.add(keys, vectors, threads=0 if self._graph else 1)
        if self._dtype == "i8":
            rows = np.empty(len(keys), [("key", "<u8"), ("vector", "<f2", (self._dim,))])
            rows["key"], rows["vector"] = keys, vectors
            self._precise.append(rows)

    def _save(self) -> None:
        name = f"{self._stem}-{len(self._written)}"
        with replacing(self._folder / f"{name}.usearch") as path:
            try:
                self._index.save(str(path))
            except RuntimeError as error:  # how USearch reports a full disk
                raise OSError(str(error)) from error
        facts = FileFacts.measure(self._folder, f"{name}.usearch")
        precise = self._save_precise(f"{name}.npy") if self._precise else None
        self._written.append(ShardFacts(facts, len(self._index), self._graph, precise))
        self._start_file()

    def _save_precise(self, name: str) -> FileFacts:
        rows = np.concatenate(self._precise)
        rows.sort(order="key")
        with replacing(self._folder / name) as path, path.open("wb") as file:
            np.save(file, rows, allow_pickle=False)
        return FileFacts.measure(self._folder, name)


def _usearch(dim: int, dtype: str, **options: Any) -> Index:
    """A USearch index; the one place that imports it.

    Its Linux wheel (2.26) brings a C++ runtime of its own, in which ONNX Runtime (1.31) crashes when it is imported
    second. So ONNX Runtime goes first.
    """
    import onnxruntime  # noqa: F401
    from usearch.index import Index

    return Index(ndim=dim, metric=METRIC_OF[dtype], dtype=dtype, expansion_search=WIDTH, **options)


def _mapped(path: Path, count: int, index: Index) -> mmap.mmap:
    """Map a file of `count` vectors. Raises ValueError for another file, which `index.view` would not notice."""
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    header = index.metadata(mapped) or {}
    found = header.get("count_present"), header.get("dimensions"), header.get("kind_scalar")
    if found != (count, index.ndim, index.dtype):
        raise ValueError(f"it does not hold {count} vectors of this index")
    return mapped
