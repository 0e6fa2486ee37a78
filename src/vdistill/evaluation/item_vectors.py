"""Item vectors that are too many for memory: in a temporary file, from which scores are computed in blocks."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, TypeAlias

import numpy as np

from vdistill.arrays import Floats
from vdistill.errors import VdistillError

IN_MEMORY = 1 << 17  # vectors; of 512 dimensions they take 256 MiB
SCORE_BYTES = 1 << 29  # of the scores that are computed at once
_ITEMS = 1 << 15  # vectors read at once
_MOST, _LEAST = 256, 32  # queries scored at once


@dataclass(frozen=True)
class VectorFile:
    """Unit vectors of this shape (n, d), float32, in a file that is gone when it is closed."""

    file: IO[bytes]
    shape: tuple[int, int]

    def blocks(self) -> Iterator[tuple[slice, Floats]]:
        """The vectors in parts, with their rows. Each part is overwritten by the next one."""
        count, dim = self.shape
        self.file.seek(0)
        buffer = np.empty((_ITEMS, dim), np.float32)
        for start in range(0, count, _ITEMS):
            part = buffer[: min(_ITEMS, count - start)]
            if self.file.readinto(part.data.cast("B")) != part.nbytes:  # type: ignore[attr-defined]
                raise OSError("the temporary file of vectors has become shorter")
            yield slice(start, start + len(part)), part


Vectors: TypeAlias = Floats | VectorFile


@contextlib.contextmanager
def vectors_of(ids: Sequence[str], read: Callable[[Sequence[str]], Floats]) -> Iterator[Vectors]:
    """The vectors (n, d) of these items: an array, or, where they are many, a temporary file until the end.

    read: unit vectors of some of them. Raises VdistillError where there is no room for the file.
    """
    if len(ids) <= IN_MEMORY:
        yield read(ids)
        return
    with tempfile.TemporaryFile(buffering=0) as file:
        dim = 0
        try:
            for start in range(0, len(ids), _ITEMS):
                part = np.ascontiguousarray(read(ids[start : start + _ITEMS]), np.float32)
                dim = part.shape[1]
                _write(file, part)
        except OSError as error:
            raise VdistillError(
                f"cannot write {len(ids):,} vectors to a temporary file: {error.strerror or error}",
                hint=f"free some space in {tempfile.gettempdir()}, or set TMPDIR to a folder that has it",
            ) from error
        yield VectorFile(file, (len(ids), dim))


def score_blocks(texts: Floats, items: Vectors) -> Iterator[Floats]:
    """The cosine similarities of texts (q, d) and items (n, d), in blocks (b, n) of texts.

    Each block is overwritten by the next one.
    """
    count = items.shape[0]
    size = max(min(SCORE_BYTES // (4 * max(count, 1)), _MOST), _LEAST)
    found = np.empty((min(size, len(texts)), count), np.result_type(texts, np.float32))
    for start in range(0, len(texts), size):
        some = texts[start : start + size]
        scores = found[: len(some)]
        if isinstance(items, VectorFile):
            for rows, part in items.blocks():
                np.matmul(some, part.T, out=scores[:, rows])
        else:
            np.matmul(some, items.T, out=scores)
        yield scores


def scores_of(texts: Floats, items: Vectors) -> Iterator[Floats]:
    """The cosine similarities (n,) of each text; each is overwritten later."""
    for block in score_blocks(texts, items):
        yield from block


def _write(file: IO[bytes], part: Floats) -> None:
    left = part.data.cast("B")
    while left:  # an unbuffered file may take less than it is given
        left = left[file.write(left) :]
