"""A USearch file of vectors that is searched in full, or through its graph where an older version wrote one."""

from __future__ import annotations

import contextlib
import io
import mmap
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vdistill.bundle.manifest import ShardFacts, remedy
from vdistill.bundle.pack import Place
from vdistill.errors import VdistillError

if TYPE_CHECKING:
    from usearch.index import Index

# Of unit vectors the inner product is the cosine, and a third faster; USearch's forgets the scale of i8.
METRIC_OF = {"bf16": "ip", "f16": "ip", "f32": "ip", "i8": "cos"}

FLAT = 20_000  # vectors; up to here a full scan takes a millisecond and misses nothing
_NPY_HEAD = 4096  # bytes; more than a header has
WIDTH = 64  # candidates kept while a graph is walked


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
    def open(cls, folder: Place, facts: ShardFacts, dim: int, dtype: str) -> Shard:
        """Map the files. Raises VdistillError where they are not what was written."""
        path, precise = facts.vectors.check(folder), None
        try:
            index, mapped = view(path, facts.count, dim, dtype)
            if facts.precise:
                path = facts.precise.check(folder)
                precise = map_array(path)
        except (OSError, ValueError, RuntimeError) as error:
            raise VdistillError(f"{path} is damaged: {error}", hint=remedy(folder)) from error
        return cls(facts, index, precise, mapped, dtype)

    @cached_property
    def _by_key(self) -> Index:
        """From the same mapping: the file itself may be gone, when a newer index was published."""
        index = usearch_index(self.index.ndim, self.dtype)
        index.view(self.mapped)
        return index

    def search(self, vector: np.ndarray, count: int, exact: bool, _floor: float) -> tuple[np.ndarray, np.ndarray]:
        """Keys and similarities (≤ count,) of the nearest to (dim,), best first.

        A shard without a graph is always searched in full.
        """
        count = min(count, self.facts.count)
        found: Any = self.index.search(vector, count, exact=exact or not self.facts.graph or count > FLAT)
        return found.keys, 1 - found.distances

    def keys(self, found: np.ndarray) -> np.ndarray:
        """The keys of what `search` found, which are keys already."""
        return found

    def widen(self, width: int) -> None:
        """Set how many candidates are kept while the graph is walked."""
        self.index.expansion_search = width

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


def usearch_index(dim: int, dtype: str, **options: Any) -> Index:
    """A USearch index; the one place that imports it.

    Its Linux wheel (2.26) brings a C++ runtime of its own, in which ONNX Runtime (1.31) crashes when it is imported
    second. So ONNX Runtime goes first.
    """
    import onnxruntime  # noqa: F401
    from usearch.index import Index

    return Index(ndim=dim, metric=METRIC_OF[dtype], dtype=dtype, expansion_search=WIDTH, **options)


def view(path: Place, count: int, dim: int, dtype: str) -> tuple[Index, mmap.mmap]:
    """Map a file of `count` vectors, for searching without lookups by key, which would read the whole file.

    Raises ValueError for another file, which USearch would not notice.
    """
    index, mapped = usearch_index(dim, dtype, enable_key_lookups=False), map_file(path)
    header = index.metadata(mapped) or {}
    found = header.get("count_present"), header.get("dimensions"), header.get("kind_scalar")
    if found != (count, index.ndim, index.dtype):
        raise ValueError(f"it does not hold {count} vectors of this index")
    index.view(mapped)
    return index, mapped


def map_array(path: Place) -> np.ndarray:
    """An array of a `.npy` file in memory, read only. Raises ValueError for another file."""
    if isinstance(path, Path):
        found: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        return found
    mapped = path.map()
    head = io.BytesIO(mapped[:_NPY_HEAD])
    if np.lib.format.read_magic(head) != (1, 0):
        raise ValueError("it is no array")
    shape, _, dtype = np.lib.format.read_array_header_1_0(head)
    if dtype.hasobject or len(shape) != 1:
        raise ValueError("it is no array of vectors")
    return np.frombuffer(mapped, dtype, shape[0], head.tell())


def map_file(path: Place) -> mmap.mmap:
    """A file in memory, read only. Raises ValueError for an empty one."""
    if not isinstance(path, Path):
        return path.map()
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
