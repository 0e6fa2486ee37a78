"""Rankings beyond similarity: of words and vectors together, and of results that differ from one another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SMOOTHING = 60  # of reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009)


def fused(rankings: Sequence[Sequence[str]]) -> list[str]:
    """Reciprocal rank fusion: all ids of the rankings, those that rank high in several first; ties by id."""
    scores: dict[str, float] = {}
    for ranking in rankings:
        for rank, id_ in enumerate(ranking, start=1):
            scores[id_] = scores.get(id_, 0.0) + 1 / (SMOOTHING + rank)
    return sorted(scores, key=lambda id_: (-scores[id_], id_))


def diversified(relevance: np.ndarray, vectors: np.ndarray, count: int, diversity: float) -> list[int]:
    """Maximal marginal relevance (Carbonell and Goldstein, SIGIR 1998): positions of `count` candidates, best first.

    relevance: (n,), higher is better.  vectors: (n, dim) unit vectors.  diversity: from 0, relevance alone, to 1.
    Each choice weighs its relevance against its similarity to the nearest one chosen before; both are scaled to [0, 1]
    over the candidates, since a text is never as near to an image as two images are to each other.
    """
    similar = vectors @ vectors.T
    similar = _scaled(similar, similar[~np.eye(len(similar), dtype=bool)])
    relevant = _scaled(relevance, relevance)
    nearest = np.zeros(len(relevance))
    chosen: list[int] = []
    left = np.ones(len(relevance), bool)
    while len(chosen) < min(count, len(relevance)):
        value = np.where(left, (1 - diversity) * relevant - diversity * nearest, -np.inf)
        best = int(np.argmax(value))
        chosen.append(best)
        left[best] = False
        nearest = np.maximum(nearest, similar[best])
    return chosen


def _scaled(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    low, high = (float(among.min()), float(among.max())) if len(among) else (0.0, 0.0)
    return np.asarray((values - low) / (high - low) if high > low else np.zeros_like(values))
