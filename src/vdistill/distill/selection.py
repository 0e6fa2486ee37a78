"""Which weights are kept. The backbone is epoch 0: what is worse than it, or forgets too much, is no candidate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from vdistill.distill.checkpoint import State
from vdistill.distill.retention import MOST_LOST
from vdistill.distill.validation import Scores

RUIN = 0.25  # lost by then, a training does not come back: it starts over
EARLY = 0.2  # of the epochs: until then, and as long as nothing was kept, it may start over …
SLOWER = 1 / 3  # … at this share of the learning rate …
RESTARTS = 4  # … so often: then the rate is an eightieth


def keep(state: State, scores: Scores, epoch: int) -> bool:
    """Take note of the marks of an epoch; whether its weights are to be kept.

    They are unless an earlier epoch (the backbone is one) was better by more than chance, the same queries compared,
    or too much was forgotten. The later epoch has the lower learning rate: validation queries are few, and their noise
    alone must not bring an early one back.
    """
    if scores.lost is None or scores.lost <= MOST_LOST:
        state.peak = max(state.peak, scores.ndcg, key=_mean)
        if not _clearly_below(scores.ndcg, state.peak):
            state.kept, state.stale, state.scores = epoch, 0, scores.ndcg
            return True
    state.stale += 1
    return False


def ruined(state: State, scores: Scores, epochs: int) -> bool:
    """Whether so much is forgotten so early that a smaller learning rate must be tried from the start."""
    if scores.lost is None or scores.lost <= RUIN or len(state.restarts) >= RESTARTS:
        return False
    return state.kept == 0 or state.epoch <= EARLY * epochs


def rate(lr: float, state: State) -> float:
    """The peak learning rate after the restarts so far."""
    return lr * SLOWER ** len(state.restarts)


def _clearly_below(ndcg: Sequence[float], peak: Sequence[float]) -> bool:
    behind = np.array(peak) - np.array(ndcg)
    return len(behind) > 1 and bool(behind.mean() > behind.std(ddof=1) / math.sqrt(len(behind)))


def _mean(ndcg: Sequence[float]) -> float:
    return float(np.mean(ndcg)) if ndcg else 0.0
