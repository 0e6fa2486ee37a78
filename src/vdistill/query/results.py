"""What counts as one result: an image, or a product, which the best of its images stands for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vdistill.arrays import Floats, distinct
from vdistill.bundle.products import Products

_IMAGES = 4  # of a product, when nothing is known yet: fewer of them mean one more search


@dataclass(frozen=True)
class Results:
    """How images become results, which have numbers.  products: None where each image is a result of its own."""

    products: Products | None

    def images(self, k: int) -> int:
        """About how many images hold `k` results."""
        return k if self.products is None else _IMAGES * k

    def covered(self, keys: np.ndarray, k: int) -> int | None:
        """How many of the images `keys` (n,), best first, hold `k` results; None where all of them hold fewer."""
        if self.products is None:
            return k if len(keys) >= k else None
        part = self.images(k)
        while True:  # a product of many images may fill any number of places
            first, _ = distinct(self.products.numbers(keys[:part]))
            if len(first) >= k:
                return int(np.sort(first)[k - 1]) + 1
            if part >= len(keys):
                return None
            part *= 4

    def leading(self, keys: np.ndarray, scores: Floats, k: int) -> tuple[np.ndarray, np.ndarray, Floats]:
        """The numbers, keys and scores of the images that may stand for one of the `k` best results, in any order.

        keys, scores: (n,). Of a product those with its highest score, and all that tie with the last of the `k`.
        """
        if self.products is None or not len(keys):
            if len(keys) > k:
                last = np.partition(scores, len(scores) - k)[len(scores) - k]
                keys, scores = keys[scores >= last], scores[scores >= last]
            return keys, keys, scores
        order = np.argsort(-scores, kind="stable")
        keys, scores = keys[order], scores[order]
        if (held := self.covered(keys, k)) is not None:
            keys, scores = keys[scores >= scores[held - 1]], scores[scores >= scores[held - 1]]
        numbers = self.products.numbers(keys)
        first, place = distinct(numbers)
        best = scores == scores[first][place]
        return numbers[best], keys[best], scores[best]

    def numbers(self, keys: np.ndarray) -> list[int]:
        """The results that these images belong to, each once, in the order of the images."""
        numbers = keys if self.products is None else self.products.numbers(keys)
        return list(dict.fromkeys(numbers.tolist()))

    def keys(self, numbers: Iterable[int]) -> np.ndarray:
        """All images of these results."""
        return np.array([*numbers], np.uint64) if self.products is None else self.products.images(numbers)
