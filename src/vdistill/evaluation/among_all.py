"""The metrics of a query for which every item is a candidate: those of `metrics`, from counts over the candidates.

Almost all candidates have gain 0, so ranks and pairs follow from how many score above and below each relevant one.
Nothing as long as the catalog is sorted, and no array of gains is made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from vdistill.arrays import Bools, Floats, Ints
from vdistill.evaluation import metrics
from vdistill.evaluation.metrics import DEPTH, WINNER_DEPTHS

FEW = 64  # relevant candidates: each is counted for in passes over all scores, and of more it is faster to sort
SORTED = 1 << 17  # candidates; up to here ties are counted by sorting the scores
_BITS = 18  # for more, by their hashes
_BINS = 1 << _BITS


@dataclass(frozen=True, slots=True)
class Places:
    """Where the relevant candidates (m,) of a query are in a model's ranking of all n.

    gains: above 0.  scores: by the model.  above, below: how many candidates score higher and lower.  ranks: from 1.
    """

    gains: Floats
    scores: Floats
    above: Ints
    below: Ints
    ranks: Ints

    @classmethod
    def of(cls, scores: Floats, rows: Ints, gains: Floats) -> Places:
        """scores: (n,) of all candidates.  rows, gains: (m,) of the relevant ones; of equal scores the earlier wins."""
        own = scores[rows]
        above = np.array([np.count_nonzero(scores > one) for one in own], np.intp)
        below = len(scores) - np.array([np.count_nonzero(scores >= one) for one in own], np.intp)
        level = len(scores) - above - below
        before = [
            np.count_nonzero(scores[:row] == one) if alike > 1 else 0
            for row, one, alike in zip(rows.tolist(), own, level, strict=True)
        ]
        return cls(gains, own, above, below, above + np.array(before, np.intp) + 1)

    @property
    def winners(self) -> Bools:
        """Those of the highest gain."""
        return np.asarray(self.gains == self.gains.max())


def grades(scores: Floats, rows: Ints, gains: Floats) -> dict[str, float]:
    """The value of each of `metrics.OF_RANKINGS` for one query.

    scores: (n,) of the model, at least two.  rows: (m,) candidates that were judged, ascending, at least one of them
    relevant; all others have gain 0.  gains: (m,) ≥ 0. They are the utilities as well.
    """
    relevant = gains > 0
    rows, gains = rows[relevant], gains[relevant]
    places = Places.of(scores, rows, gains)
    first = metrics.top(scores, DEPTH)
    found = (first[:, None] == rows).astype(np.float64) @ gains
    alike = _agreement(places, scores)
    return {
        "ndcg@10": metrics.dcg(found) / metrics.dcg(_ideal(gains, len(scores))),
        "recall@10": float(np.count_nonzero(found) / len(rows)),
        "mrr": _reciprocal_rank(places),
        "mpr": _percentile_rank(places, scores),
        **{f"winner@{k}": _winner_at(places, k) for k in WINNER_DEPTHS},
        "kendall_tau": alike.tau,
        "pairwise_accuracy": alike.pairwise,
    }


def _ideal(gains: Floats, count: int) -> Floats:
    """The gains of the best `DEPTH` of all candidates."""
    best = np.zeros(min(DEPTH, count))
    highest = np.sort(gains)[::-1][: len(best)]
    best[: len(highest)] = highest
    return best


def _reciprocal_rank(places: Places) -> float:
    best = int(np.argmax(places.scores))  # of equal ones the earlier
    return float(1 / places.ranks[best]) if places.scores[best] > -np.inf else 0.0


def _percentile_rank(places: Places, scores: Floats) -> float:
    count, winners = len(scores), places.winners
    ranks, found = places.ranks[winners].astype(np.float64), places.scores[winners] > -np.inf
    if not found.all():
        ranks[~found] = (np.count_nonzero(scores > -np.inf) + 1 + count) / 2
    return float(np.mean((count - ranks) / (count - 1)))


def _winner_at(places: Places, k: int) -> float:
    winners = places.winners
    return float(np.mean((places.ranks[winners] <= k) & (places.scores[winners] > -np.inf)))


def _agreement(places: Places, scores: Floats) -> metrics.Agreement:
    """As `metrics.agreement`. A pair of relevant candidates is above and below at once, and counted by itself."""
    count, relevant = len(scores), len(places.gains)
    upper = np.triu_indices(relevant, 1)
    told = np.sign(np.subtract.outer(places.gains, places.gains))[upper]
    by_model = (places.scores[:, None] > places.scores).astype(np.int64)  # no difference of two that are −∞
    right = int(((by_model - by_model.T)[upper] * told).sum()) + int((places.below - places.above).sum())
    pairs = count * (count - 1) // 2
    by_teacher = relevant * (count - relevant) + int(np.count_nonzero(told))
    tied = tied_pairs(scores)
    if by_teacher == 0:
        return metrics.Agreement(math.nan, math.nan)
    if pairs - tied == 0:
        return metrics.Agreement(0.0, 0.5)
    tau = right / math.sqrt(pairs - tied) / math.sqrt(by_teacher)
    return metrics.Agreement(float(np.clip(tau, -1, 1)), 0.5 + 0.5 * right / by_teacher)


def tied_pairs(scores: Floats) -> float:
    """How many pairs of (n,) scores are equal: exactly up to `SORTED` scores, beyond that nearly.

    Then equal scores are those that share one of `_BINS` hashes, less the pairs that share one by chance. That is
    wrong by about n / 700 pairs, which changes a τ by less than 1e-9; where a bin is so full that chance could count
    for more, as with many copies of one image, the scores are sorted.
    """
    if len(scores) <= SORTED:
        return metrics.tied_pairs(scores)
    there = scores if scores.min() > -np.inf else scores[scores > -np.inf]
    lost = len(scores) - len(there)  # what a search engine did not find is one group
    sizes = np.bincount(_hashes(there), minlength=_BINS)
    if sizes.max() > FEW + 4 * len(there) // _BINS:
        return metrics.tied_pairs(scores)
    by_chance = len(there) * (len(there) - 1) / 2 / _BINS
    alike = (float(sizes @ sizes) - len(there)) / 2
    return max(alike - by_chance, 0.0) / (1 - 1 / _BINS) + lost * (lost - 1) / 2


def _hashes(values: Floats) -> Ints:
    """(n,) numbers below `_BINS`, the same for equal values."""
    values = values + values.dtype.type(0)  # there are two zeros
    if values.dtype != np.float32:
        wide = values.astype(np.float64).view(np.uint64)
        bits = (wide ^ (wide >> np.uint64(29))).astype(np.uint32)
    else:
        bits = values.view(np.uint32)
    bits = bits ^ (bits >> np.uint32(16))  # the finalizer of MurmurHash3, shortened
    bits *= np.uint32(0x85EBCA6B)
    bits ^= bits >> np.uint32(13)
    bits *= np.uint32(0xC2B2AE35)
    bits >>= np.uint32(32 - _BITS)
    return bits
