"""The table beside vectors in lists: where the lists' centres lie, which rows they have, and which key a row has."""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vdistill.arrays import Floats, Ints
from vdistill.workspace import replacing

AXES = 64  # enough to tell which centres are near; comparing all their numbers would cost more than it finds
_MAGIC = b"vdlists1"
_HEAD = struct.Struct("<8sQQQ")  # the numbers of vectors, lists and dimensions


class Fit(NamedTuple):
    """A vector's similarity to another is about `slope` times that of its list's centre, give or take `noise`.

    doubt: a list is read unless so many times the noise would not make it good enough.
    """

    slope: float
    noise: float
    doubt: float


class Centres(NamedTuple):
    """axes: (dim, a) unit vectors, the directions in which the centres differ most.  along: (lists, a) the centres."""

    axes: np.ndarray
    along: np.ndarray

    @classmethod
    def of(cls, centres: np.ndarray) -> Centres:
        """centres: (lists, dim)."""
        axes = np.linalg.eigh(centres.T @ centres)[1][:, -AXES:]
        return cls(axes, centres @ axes)

    @property
    def compared(self) -> np.ndarray:
        """(lists, dim) what of the centres lies along the axes."""
        return np.asarray(self.along @ self.axes.T)


@dataclass(frozen=True)
class ListTable:
    """starts: (lists + 1,) the first row of each list, and the number of rows.  keys: (n,) by row.

    known: (n,) the same keys, ascending.  rows: (n,) the row of each of `known`.
    axes: (dim · a,) the directions in which the centres differ most; centres: (a · lists,) theirs along these axes.
    fit: (3,) the numbers of a Fit.
    """

    starts: Ints
    axes: Floats
    centres: Floats
    fit: Floats
    keys: Ints
    known: Ints
    rows: Ints

    @classmethod
    def of(cls, keys: np.ndarray, sizes: np.ndarray, centres: Centres, fit: Fit) -> ListTable:
        """keys: (n,) by row.  sizes: (lists,) how many rows each list has."""
        rows = np.argsort(keys)
        starts = np.concatenate([[0], np.cumsum(sizes)])
        return cls(starts, centres.axes.ravel(), centres.along.T.ravel(), np.array(fit), keys, keys[rows], rows)

    @classmethod
    def read(cls, data: mmap.mmap, count: int, dim: int) -> ListTable:
        """The table of `count` vectors in a mapped file. Raises ValueError for another file."""
        magic, *sizes = _HEAD.unpack_from(data) if len(data) >= _HEAD.size else (b"", 0, 0, 0)
        kinds = _kinds(count, int(sizes[1]), dim)
        ends = np.cumsum([_HEAD.size, *(np.dtype(kind).itemsize * size for kind, size in kinds)]).tolist()
        if magic != _MAGIC or (sizes[0], sizes[2]) != (count, dim) or len(data) != ends[-1]:
            raise ValueError(f"it does not hold the lists of {count} vectors")
        return cls(*(np.frombuffer(data, kind, size, at) for (kind, size), at in zip(kinds, ends, strict=False)))

    @property
    def bytes_of_centres(self) -> int:
        """How far into the file reaches what every search reads."""
        return _HEAD.size + self.starts.nbytes + self.axes.nbytes + self.centres.nbytes + self.fit.nbytes

    def write(self, path: Path, dim: int) -> None:
        """Write the table of vectors of `dim` numbers. Raises OSError where the disk refuses."""
        arrays = (self.starts, self.axes, self.centres, self.fit, self.keys, self.known, self.rows)
        count, lists = len(self.keys), len(self.starts) - 1
        with replacing(path) as aside, aside.open("wb") as file:
            file.write(_HEAD.pack(_MAGIC, count, lists, dim))
            for array, (kind, _) in zip(arrays, _kinds(count, lists, dim), strict=True):
                file.write(array.astype(kind).tobytes())


def _kinds(count: int, lists: int, dim: int) -> list[tuple[str, int]]:
    """Type and length of each array in the file."""
    axes = min(dim, AXES)
    centres = [("<i8", lists + 1), ("<f4", dim * axes), ("<f4", axes * lists), ("<f4", 3)]
    return [*centres, ("<u8", count), ("<u8", count), ("<u4", count)]
