"""Centres of a set of vectors, and the one that each vector is nearest to: k-means in two steps.

Regions first, then the centres of each region. A vector is compared with the centres of its nearest regions alone, so
the work grows with the square root of the number of centres, and hardly a vector gets another centre.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_SAMPLE = 16  # vectors per centre that k-means sees
_ROUNDS = 8
_REGIONS = 4  # that a vector is compared with the centres of
_BLOCK = 16_384  # vectors compared at once


@dataclass(frozen=True)
class Partition:
    """regions: (r, dim) unit vectors.  centres: of each region, (c, dim) unit vectors; at least one."""

    regions: np.ndarray
    centres: tuple[np.ndarray, ...]

    @classmethod
    def of(cls, sample: np.ndarray, count: int) -> Partition:
        """About `count` centres of unit vectors (n, dim), float32, of which `sampled` chose enough."""
        rng = np.random.default_rng(0)
        regions = _means(sample, max(1, round(count**0.5)), rng)
        nearest = _nearest(sample, regions)
        share = count / len(sample)
        return cls(regions, tuple(
            _means(part, max(1, round(share * len(part))), rng) if len(part) else regions[number : number + 1]
            for number, part in enumerate(sample[nearest == number] for number in range(len(regions)))
        ))  # fmt: skip

    def nearest(self, vectors: np.ndarray) -> np.ndarray:
        """(n,) the number of the nearest centre, counted through all regions, of each of (n, dim)."""
        found = np.empty(len(vectors), np.int64)
        for start in range(0, len(vectors), _BLOCK):
            found[start : start + _BLOCK] = self._nearest(vectors[start : start + _BLOCK])
        return found

    def _nearest(self, vectors: np.ndarray) -> np.ndarray:
        best, found = np.full(len(vectors), -np.inf, np.float32), np.zeros(len(vectors), np.int64)
        few = min(_REGIONS, len(self.regions))
        regions = np.argpartition(-(vectors @ self.regions.T), few - 1, axis=1)[:, :few].ravel()
        order, rows = np.argsort(regions, kind="stable"), np.repeat(np.arange(len(vectors)), few)
        ends = np.searchsorted(regions[order], np.arange(len(self.regions) + 1))
        first = 0
        for number, centres in enumerate(self.centres):
            here = rows[order[ends[number] : ends[number + 1]]]
            scores = vectors[here] @ centres.T
            place = scores.argmax(axis=1)
            score = scores[np.arange(len(here)), place]
            better = score > best[here]
            best[here[better]], found[here[better]] = score[better], first + place[better]
            first += len(centres)
        return found


def sampled(total: int, count: int) -> np.ndarray:
    """Which of `total` vectors k-means should see for `count` centres, ascending."""
    rng = np.random.default_rng(0)
    return np.sort(rng.choice(total, min(total, _SAMPLE * count), replace=False))


def _means(vectors: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(≤ count, dim) centres by spherical k-means; a centre without a vector becomes one that is drawn anew."""
    centres = vectors[rng.choice(len(vectors), min(count, len(vectors)), replace=False)]
    for _ in range(_ROUNDS if count < len(vectors) else 0):
        nearest = _nearest(vectors, centres)
        order, sizes = np.argsort(nearest, kind="stable"), np.bincount(nearest, minlength=len(centres))
        used = sizes > 0
        starts = (np.cumsum(sizes) - sizes)[used]
        centres = vectors[rng.integers(0, len(vectors), len(centres))]
        for place, start, end in zip(np.flatnonzero(used), starts, [*starts[1:], len(order)], strict=True):
            total = vectors[order[start:end]].sum(axis=0)
            length = float(np.linalg.norm(total))
            if length > 0:  # opposite vectors cancel out
                centres[place] = total / length
    return centres


def _nearest(vectors: np.ndarray, centres: np.ndarray) -> np.ndarray:
    parts: Iterator[np.ndarray] = (vectors[start : start + _BLOCK] for start in range(0, len(vectors), _BLOCK))
    return np.concatenate([(part @ centres.T).argmax(axis=1) for part in parts])
