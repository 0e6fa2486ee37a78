"""Scores of single images as an answer: comparable over calls, and soft labels within one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.special import log_softmax, logsumexp

from vdistill.records import Answer, Failure, Question

_MOST = 1e-7  # nearer to 0 or 1 a probability is rounded


def logit(probability: float) -> float:
    """The log-odds of a relevance in [0, 1]."""
    bounded = min(max(probability, _MOST), 1 - _MOST)
    return math.log(bounded / (1 - bounded))


def scored(question: Question, scores: Sequence[float], tokens: int = 0, usd: float = 0.0) -> Answer | Failure:
    """The answer to a question about images with these scores, in logits."""
    if not all(math.isfinite(score) for score in scores):
        return Failure("the model's scores are not finite", tokens, usd)
    if question.ask == "rank":
        order = sorted(range(len(scores)), key=lambda position: -scores[position])
        return Answer(order=tuple(order), tokens=tokens, cost_usd=usd)
    chances = tuple(math.exp(value) for value in log_softmax(scores).tolist())
    return Answer(chances, tokens=tokens, cost_usd=usd, level=float(logsumexp(scores)))
