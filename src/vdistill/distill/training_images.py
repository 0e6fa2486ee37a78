"""The training pictures as model inputs: decoded on threads, kept in memory as far as a bound allows."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from vdistill.images import Preprocessing, load

KEEP_BYTES = 2 * 1024**3

Arrays = dict[str, np.ndarray]


class TrainingImages:
    """Preprocessed pictures by number; what fits into `keep_bytes` is decoded once."""

    def __init__(self, paths: Sequence[Path], prepare: Preprocessing, keep_bytes: int = KEEP_BYTES) -> None:
        self._paths = paths
        self._prepare = prepare
        self._left = keep_bytes
        self._kept: dict[int, Arrays] = {}

    def __len__(self) -> int:
        return len(self._paths)

    def batch(self, numbers: Sequence[int]) -> Arrays:
        """The model inputs of these pictures. Raises ImageError for one that cannot be read."""
        with ThreadPoolExecutor() as executor:
            return self._prepare.stack(list(executor.map(self._one, numbers)))

    def _one(self, number: int) -> Arrays:
        if number in self._kept:
            return self._kept[number]
        arrays = self._prepare.compact(load(self._paths[number], self._prepare.target))
        size = sum(array.nbytes for array in arrays.values())
        if size <= self._left:
            self._left -= size
            self._kept[number] = arrays
        return arrays
