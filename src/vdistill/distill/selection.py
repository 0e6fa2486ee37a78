"""Which epoch's weights are kept: of none that is worse than the backbone (epoch 0), or forgets too much."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from vdistill.distill.checkpoint import State
from vdistill.distill.retention import MOST_LOST
from vdistill.distill.validation import Scores

RUIN = 0.25  # a training that has lost this much does not recover: it starts over
EARLY = 0.2  # of the epochs: until then, and as long as nothing was kept, it may start over …
SLOWER = 1 / 3  # … at this share of the learning rate …
RESTARTS = 4  # … this many times


def keep(state: State, scores: Scores, epoch: int) -> bool:
    """Record the scores of an epoch in `state`; whether its weights are to be kept.

    They are unless an earlier epoch (the backbone is one) was better on the same queries by more than chance, or too
    much was forgotten. The later epoch has the lower learning rate: validation queries are few, and their noise alone
    must not bring an early one back.
    """
    if scores.lost is None or scores.lost <= MOST_LOST:
        state.peak = max(state.peak, scores.ndcg, key=_mean)
        if not _clearly_below(scores.ndcg, state.peak):
            state.kept, state.stale, state.scores = epoch, 0, scores.ndcg
            return True
    state.stale += 1
    return False


def ruined(state: State, scores: Scores, epochs: int) -> bool:
    """Whether so much is forgotten so early that training must start over with a smaller learning rate."""
    if scores.lost is None or scores.lost <= RUIN or len(state.restarts) >= RESTARTS:
        return False
    return state.kept == 0 or state.epoch <= EARLY * epochs


def rate(lr: float, state: State) -> float:
    """The peak learning rate after the restarts so far."""
    return lr * SLOWER ** len(state.restarts)


def schedule(done: int, total: int) -> float:
    """The share of the peak learning rate: a tenth of the steps to warm up, then half a cosine down to a hundredth."""
    warm = max(1, total // 10)
    if done < warm:
        return (done + 1) / warm
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (done - warm) / max(1, total - warm)))


def _clearly_below(ndcg: Sequence[float], peak: Sequence[float]) -> bool:
    behind = np.array(peak) - np.array(ndcg)
    return len(behind) > 1 and bool(behind.mean() > behind.std(ddof=1) / math.sqrt(len(behind)))


def _mean(ndcg: Sequence[float]) -> float:
    return float(np.mean(ndcg)) if ndcg else 0.0
