"""Vectors in lists: those of one centre lie together in the file, and a search reads the lists near the query alone.

Beside the USearch file of the vectors is a table of the centres, of which rows are a list, and of which key a row has.
What lies together is read at the full speed of memory, or from a disk in few pieces: a thousand vectors are compared in
the time in which a walk through a graph of all vectors compares a few hundred.
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vdistill.arrays import Floats
from vdistill.bundle.list_table import ListTable
from vdistill.bundle.manifest import ShardFacts, remedy
from vdistill.bundle.pack import Place
from vdistill.bundle.precision import STORED, restored, similarities, stored
from vdistill.bundle.shards import WIDTH, map_array, map_file
from vdistill.bundle.vectors import unit
from vdistill.errors import VdistillError

LEAST, ENOUGH = 8, 1000  # lists and vectors that are read first
_MOST = 20_000  # vectors that are read for few results
_PER_RESULT = 16  # vectors that are read at least for each result wanted
_GAP = 32  # vectors that are read as fast as a new span is begun
_BLOCK = 65_536  # vectors that a full scan compares at once


@dataclass
class ListShard:
    """An open file of vectors in lists. One thread at a time may search it.

    rows: (n, dim) as stored.  precise: rows of (key, vector) by key, beside i8.  mapped: the file of the vectors.
    width: how many lists are read, as a multiple of what is read by default, which counts as shards.WIDTH.
    """

    facts: ShardFacts
    dtype: str
    rows: np.ndarray
    precise: np.ndarray | None
    table: ListTable
    mapped: mmap.mmap
    width: int = WIDTH

    def __post_init__(self) -> None:
        lists = len(self.table.starts) - 1
        self._sizes = np.diff(self.table.starts)
        self._asked = np.zeros(lists, bool)  # lists that the system was told to read
        self._axes = self.table.axes.reshape(self.rows.shape[1], -1)
        self._centres = self.table.centres.reshape(-1, lists)

    @classmethod
    def open(cls, folder: Place, facts: ShardFacts, dim: int, dtype: str) -> ListShard:
        """Map the files. Raises VdistillError where they are not what was written."""
        assert facts.lists is not None
        path, precise = facts.vectors.check(folder), None
        try:
            mapped = map_file(path)
            rows = _matrix(mapped, facts.count, dim, dtype)
            path = facts.lists.check(folder)
            mapped_table = map_file(path)
            table = ListTable.read(mapped_table, facts.count, dim)
            if facts.precise:
                path = facts.precise.check(folder)
                precise = map_array(path)
        except (OSError, ValueError, RuntimeError) as error:
            raise VdistillError(f"{path} is damaged: {error}", hint=remedy(folder)) from error
        for file in (mapped, mapped_table):
            _advise(file, "MADV_RANDOM", 0, len(file))  # what to read ahead is known here
        _advise(mapped_table, "MADV_WILLNEED", 0, table.bytes_of_centres)
        return cls(facts, dtype, rows, precise, table, mapped)

    def search(self, vector: np.ndarray, count: int, exact: bool, floor: float) -> tuple[np.ndarray, np.ndarray]:
        """Rows and cosines (≤ count,) of the nearest to (dim,), best first.

        floor: the `middle` of what other files hold; what is not so near need not be found.
        """
        count = min(count, len(self.rows))
        if exact or _PER_RESULT * count >= len(self.rows):
            spans = self._blocks()
            scores = self._compared(vector, spans)
        else:
            spans, scores = self._near(vector, count, floor)
        best = np.argpartition(scores, len(scores) - count)[len(scores) - count :]
        starts, ends = np.array(spans).T
        before = np.cumsum(ends - starts) - (ends - starts)
        place = np.searchsorted(before, best, side="right") - 1
        found = starts[place] + best - before[place]
        cosines = unit(self._restored(found)) @ vector
        order = np.argsort(-cosines, kind="stable")
        return found[order], cosines[order]

    def keys(self, rows: np.ndarray) -> np.ndarray:
        """The keys of what `search` found."""
        return np.asarray(self.table.keys[rows])

    def widen(self, width: int) -> None:
        """Set how many lists are read; shards.WIDTH is the default."""
        self.width = width

    def holds(self, keys: np.ndarray) -> np.ndarray:
        """Which of these keys have their vector here."""
        known = self.table.known
        return np.asarray(known[np.minimum(np.searchsorted(known, keys), len(known) - 1)] == keys)

    def vectors(self, keys: np.ndarray) -> np.ndarray:
        """(n, dim) float32, of keys that are all here."""
        return self._restored(self.table.rows[np.searchsorted(self.table.known, keys)])

    def close(self) -> None:
        """Release the files."""
        with contextlib.suppress(BufferError):  # arrays still need it: it goes with them
            self.mapped.close()

    def _restored(self, rows: np.ndarray) -> np.ndarray:
        if self.precise is not None:
            places = np.searchsorted(self.precise["key"], self.table.keys[rows])
            return np.asarray(self.precise["vector"][places], np.float32)
        return restored(self.rows[rows], self.dtype)

    def _near(self, vector: np.ndarray, count: int, floor: float) -> tuple[list[tuple[int, int]], Floats]:
        """The rows of the lists that are read, at least `count` of them, and their similarities."""
        likely, wanted = vector @ self._axes @ self._centres, _PER_RESULT * count
        lists = self._first(likely, max(wanted, ENOUGH * self.width // WIDTH))
        spans = self._spans(lists)
        scores = self._compared(vector, spans)
        reached = max(middle(scores, count), floor)
        slope, noise, doubt = self.table.fit.tolist()
        likely[lists] = -np.inf
        more = np.flatnonzero(likely * slope + (doubt + np.log2(self.width / WIDTH) / 2) * noise >= reached)
        if len(more):
            more = more[np.argsort(-likely[more])]
            read = len(scores) + np.cumsum(self._sizes[more])
            more = more[: max(1, int(np.searchsorted(read, max(_MOST, wanted))))]
            spans = self._spans(np.concatenate([lists, more]))
            scores = self._compared(vector, spans)
        return spans, scores

    def _first(self, likely: np.ndarray, wanted: int) -> np.ndarray:
        """The lists that are nearest by their centres, with at least `wanted` vectors."""
        best, mean = likely.max(), likely.mean()
        for limit in (best - 0.6 * (best - mean), mean, -np.inf):  # mostly the first: to sort all takes long
            lists = np.flatnonzero(likely >= limit)
            lists = lists[np.argsort(-likely[lists])]
            chosen = max(int(np.searchsorted(np.cumsum(self._sizes[lists]), wanted)) + 1, LEAST)
            if chosen <= len(lists):
                break
        return lists[:chosen]

    def _compared(self, vector: np.ndarray, spans: Sequence[tuple[int, int]]) -> Floats:
        """Similarities of all rows of the spans, one after the other."""
        query = stored(vector[None], self.dtype)
        return np.concatenate([similarities(query, self.rows[start:end], self.dtype) for start, end in spans])

    def _spans(self, lists: np.ndarray) -> list[tuple[int, int]]:
        """(first, end) rows of these lists, ascending; those with few rows between them are one, with these."""
        lists = np.sort(lists)
        starts, ends = self.table.starts[lists].tolist(), self.table.starts[lists + 1].tolist()
        spans: list[tuple[int, int]] = []
        for start, end in zip(starts, ends, strict=True):
            if spans and start - spans[-1][1] <= _GAP:
                spans[-1] = (spans[-1][0], end)
            elif end > start:
                spans.append((start, end))
        if not self._asked[lists].all():
            self._asked[lists] = True
            self._ask(spans)
        return spans

    def _blocks(self) -> list[tuple[int, int]]:
        """All rows, in blocks."""
        count = len(self.rows)
        spans = [(start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK)]
        if not self._asked.all():
            self._asked[:] = True
            self._ask(spans)
        return spans

    def _ask(self, spans: list[tuple[int, int]]) -> None:
        """Let the system read all of these rows at once, rather than page by page as they are needed."""
        width = self.rows.strides[0]
        for start, end in spans:
            first = (8 + start * width) // mmap.PAGESIZE * mmap.PAGESIZE
            _advise(self.mapped, "MADV_WILLNEED", first, 8 + end * width - first)


def middle(scores: Floats, count: int) -> float:
    """The similarity that half of the `count` best have; below all where there are fewer."""
    place = len(scores) - (count + 1) // 2
    return float(np.partition(scores, place)[place]) if place >= 0 else -np.inf


def _matrix(mapped: mmap.mmap, count: int, dim: int, dtype: str) -> np.ndarray:
    """(count, dim) the vectors in a USearch file, which begins with them. Raises ValueError for another file."""
    size = STORED[dtype].itemsize * dim
    head = np.frombuffer(mapped, "<u4", 2).tolist() if len(mapped) > 8 else []
    end = 8 + count * size
    if head != [count, size] or mapped[end : end + 7] != b"usearch":
        raise ValueError(f"it does not hold {count} vectors of this index")
    return np.frombuffer(mapped, STORED[dtype], count * dim, 8).reshape(count, dim)


def _advise(mapped: mmap.mmap, advice: str, start: int, length: int) -> None:
    """Tell the system how a file will be read, where it can be told."""
    if hasattr(mmap, advice):
        mapped.madvise(getattr(mmap, advice), start, length)
