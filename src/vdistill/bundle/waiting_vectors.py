"""Vectors that wait to be written, in a file without a name: memory is for those that are being written."""

from __future__ import annotations

import hashlib
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vdistill.bundle.precision import STORED, restored, stored


class WaitingVectors:
    """Vectors with their keys, in the order in which they come. `close` removes the file."""

    def __init__(self, folder: Path, dim: int, dtype: str) -> None:
        self._dim, self._dtype = dim, "f16" if dtype == "i8" else dtype
        self._width = STORED[self._dtype].itemsize * dim
        self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - until `close`
        weakref.finalize(self, self._file.close)  # also where a build fails
        self._keys: list[np.ndarray] = []
        self._count = 0
        self._content = hashlib.blake2b(f"lists 1 {dtype} {dim}".encode(), digest_size=16)

    def __len__(self) -> int:
        return self._count

    @property
    def digest(self) -> str:
        """Hash of all keys and vectors."""
        return self._content.hexdigest()

    @property
    def keys(self) -> np.ndarray:
        """(n,) in the order in which they came."""
        if len(self._keys) > 1:
            self._keys = [np.concatenate(self._keys)]
        return self._keys[0]

    def add(self, keys: np.ndarray, vectors: np.ndarray) -> None:
        """Keep (n, dim) vectors, as precise as they will be stored. Raises OSError where the disk refuses."""
        self._file.seek(0, 2)
        data = memoryview(stored(vectors, self._dtype).tobytes())
        self._content.update(keys.tobytes())
        self._content.update(data)
        while data:
            data = data[self._file.write(data) or 0 :]
        self._keys.append(keys)
        self._count += len(keys)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """(n, dim) float32, of these rows."""
        parts = []
        for start, end in _runs(rows):
            self._file.seek(start * self._width)
            parts.append(self._file.read((end - start) * self._width))
        vectors = np.frombuffer(b"".join(parts), STORED[self._dtype]).reshape(len(rows), self._dim)
        return restored(vectors, self._dtype)

    def close(self) -> None:
        """Remove the file."""
        self._file.close()


def _runs(rows: np.ndarray) -> Iterator[tuple[int, int]]:
    """(first, end) of each run of rows that follow one another."""
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    starts, ends = rows[np.concatenate([[0], breaks])], rows[np.concatenate([breaks - 1, [len(rows) - 1]])] + 1
    return zip(starts.tolist(), ends.tolist(), strict=True)
