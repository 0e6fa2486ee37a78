"""What an audit's answers tell: reliability, query sensitivity, and the information in a call.

An answer is a vector of evidence, one number per image: the log-probabilities, or 1 for the image that a hard answer
takes, or the places in a ranking; centred, and without the effect of the positions. *Reliability* is the correlation of
the evidence on the same images in two orders (test–retest reliability); for hard answers that is their agreement beyond
chance. *Query sensitivity* is by how much less the evidence on the same images correlates between two queries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vdistill.arrays import Floats
from vdistill.preferences.choices import LOG_CLIP
from vdistill.records import Answer

RESAMPLES, DRAWS = 2000, 4000
_HIGHEST = 0.999  # reliability: a teacher that never errs would tell infinitely much


@dataclass(frozen=True, slots=True)
class UnitEvidence:
    """The answers of one unit as evidence (k,), in the order of its first call.

    flipped: whether the other order brought another winner.
    """

    first: Floats
    turned: Floats
    other: Floats
    flipped: bool


def evidence(answer: Answer) -> Floats:
    """(k,) what an answer says for the image at each position; the mean is 0."""
    if answer.order is not None:
        values = np.zeros(len(answer.order))
        values[list(answer.order)] = -np.arange(len(answer.order))
    else:
        values = np.asarray(answer.probabilities or ())
        if answer.soft:
            values = np.log(np.maximum(values, values.max() * np.exp(-LOG_CLIP)))
    return np.asarray(values - values.mean())


def position_effects(twice: Sequence[tuple[Floats, Floats, Sequence[int]]], size: int) -> Floats:
    """(size,) the evidence that each position gets whatever is shown there, mean 0; by least squares.

    twice: the evidence in the first order, in the second, and the position in the first of each position of the second.
    """
    positions = np.eye(size)
    rows = np.concatenate([positions[list(turn)] - positions for _, _, turn in twice])
    differences = np.concatenate([first[list(turn)] - second for first, second, turn in twice])
    effects = np.linalg.lstsq(rows, differences, rcond=None)[0]
    return np.asarray(effects - effects.mean())


def correlation(left: Sequence[Floats], right: Sequence[Floats]) -> float:
    """The correlation over the numbers of all rows, which are centred; 0 where one side never varies."""
    x, y = np.concatenate(list(left)), np.concatenate(list(right))
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale > 1e-9 else 0.0


def reliability(units: Sequence[UnitEvidence]) -> float:
    """The correlation between two orders of the same images."""
    return correlation([one.first for one in units], [one.turned for one in units])


def query_sensitivity(units: Sequence[UnitEvidence]) -> float:
    """By how much answers to the same query are more alike than answers to different ones."""
    return reliability(units) - correlation([one.first for one in units], [one.other for one in units])


def with_interval(
    units: Sequence[UnitEvidence], statistic: Callable[[Sequence[UnitEvidence]], float], seed: int
) -> tuple[float, float, float]:
    """A statistic and its 95 % bootstrap interval over units."""
    rng = np.random.default_rng(seed)
    drawn = [[units[i] for i in rng.integers(0, len(units), len(units))] for _ in range(RESAMPLES)]
    low, high = np.percentile([statistic(part) for part in drawn], [2.5, 97.5])
    return statistic(units), float(low), float(high)


def bits(reliable: float, size: int, *, soft: bool) -> float:
    """The information in one call on `size` images.

    Soft answers and rankings: size − 1 differences through a Gaussian channel, of signal-to-noise ratio r / (1 − r).
    Hard answers: the mutual information of a Plackett–Luce choice whose agreement with itself is the one observed.
    """
    reliable = min(max(reliable, 0.0), _HIGHEST)
    if soft:
        return (size - 1) / 2 * float(np.log2(1 + reliable / (1 - reliable)))
    scales, agreements, informations = _hard_choices(size)
    scale = float(np.interp(reliable, agreements, scales))
    return float(np.interp(scale, scales, informations))


def _hard_choices(size: int) -> tuple[Floats, Floats, Floats]:
    """Scales of normal utilities; at each the agreement beyond chance of two choices, and the bits of one choice."""
    rng = np.random.default_rng(0)
    utilities = rng.normal(size=(DRAWS, size))
    scales = np.linspace(0, 12, 49)
    logits = scales[:, None, None] * utilities
    chances = np.exp(logits - logits.max(axis=-1, keepdims=True))
    chances /= chances.sum(axis=-1, keepdims=True)
    agreement = ((chances**2).sum(axis=-1).mean(axis=-1) - 1 / size) / (1 - 1 / size)
    entropy = -(chances * np.log2(np.maximum(chances, 1e-300))).sum(axis=-1).mean(axis=-1)
    return scales, np.maximum.accumulate(agreement), np.log2(size) - entropy
