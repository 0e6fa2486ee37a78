"""What an audit's answers tell: reliability, and the information a call carries.

An answer is a vector of evidence, one number a picture: its centred log-probabilities, or of a bare answer 1 for the
picture taken, or its places in a ranking; what each slot gets for itself is taken out. *Reliability* is the correlation
of the evidence of the same pictures shown in two orders (test–retest reliability); for bare answers that is their
agreement beyond chance.
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
class Seen:
    """The answers of one unit, as evidence (k,) by the pictures of its first call."""

    first: Floats
    turned: Floats
    other: Floats
    flipped: bool


def evidence(answer: Answer) -> Floats:
    """(k,) what an answer says for each slot; the mean is 0."""
    if answer.order is not None:
        values = np.zeros(len(answer.order))
        values[list(answer.order)] = -np.arange(len(answer.order))
    else:
        values = np.asarray(answer.probabilities or ())
        if is_soft(answer):
            values = np.log(np.maximum(values, values.max() * np.exp(-LOG_CLIP)))
    return np.asarray(values - values.mean())


def position_effects(twice: Sequence[tuple[Floats, Floats, Sequence[int]]], size: int) -> Floats:
    """(size,) what each slot gets for itself, mean 0: least squares on the same pictures in two slots.

    twice: the evidence in the first order, that in the second, and the first slot of each picture of the second.
    """
    positions = np.eye(size)
    rows = [positions[turn[position]] - positions[position] for _, _, turn in twice for position in range(size)]
    differences = [
        first[turn[position]] - second[position] for first, second, turn in twice for position in range(size)
    ]
    effects = np.linalg.lstsq(np.array(rows), np.array(differences), rcond=None)[0]
    return np.asarray(effects - effects.mean())


def winner(answer: Answer) -> int:
    """The slot that is preferred."""
    if answer.order is not None:
        return answer.order[0]
    return int(np.argmax(answer.probabilities or ()))


def is_soft(answer: Answer) -> bool:
    """Whether the answer tells how sure it is."""
    return answer.probabilities is not None and max(answer.probabilities) < 1.0


def correlation(left: Sequence[Floats], right: Sequence[Floats]) -> float:
    """Of all the numbers of the rows together; the rows are centred. 0 where one side never varies."""
    x, y = np.concatenate(list(left)), np.concatenate(list(right))
    scale = float(np.sqrt((x @ x) * (y @ y)))
    return float(x @ y) / scale if scale > 1e-9 else 0.0


def reliability(seen: Sequence[Seen]) -> float:
    """The correlation between two orders of the same pictures."""
    return correlation([one.first for one in seen], [one.turned for one in seen])


def deafness(seen: Sequence[Seen]) -> float:
    """The correlation between two queries on the same pictures in the same order."""
    return correlation([one.first for one in seen], [one.other for one in seen])


def query_sensitivity(seen: Sequence[Seen]) -> float:
    """By how much answers to the same query are more alike than answers to different ones."""
    return reliability(seen) - deafness(seen)


def interval(seen: Sequence[Seen], statistic: Callable[[Sequence[Seen]], float], seed: int) -> tuple[float, float]:
    """95 % bootstrap interval of a statistic over units."""
    rng = np.random.default_rng(seed)
    drawn = [[seen[i] for i in rng.integers(0, len(seen), len(seen))] for _ in range(RESAMPLES)]
    low, high = np.percentile([statistic(part) for part in drawn], [2.5, 97.5])
    return float(low), float(high)


def bits(reliable: float, size: int, *, soft: bool) -> float:
    """The information in one call on `size` pictures.

    Soft answers and rankings: size − 1 differences through a Gaussian channel, of signal-to-noise ratio r / (1 − r).
    Bare answers: the mutual information of a Plackett–Luce choice whose agreement with itself is the one observed.
    """
    reliable = min(max(reliable, 0.0), _HIGHEST)
    if soft:
        return (size - 1) / 2 * float(np.log2(1 + reliable / (1 - reliable)))
    scales, agreements, informations = _hard_choices(size)
    scale = float(np.interp(reliable, agreements, scales))
    return float(np.interp(scale, scales, informations))


def _hard_choices(size: int) -> tuple[Floats, Floats, Floats]:
    """Scales of normal utilities; at each the agreement beyond chance of two choices, and the bits of one."""
    rng = np.random.default_rng(0)
    utilities = rng.normal(size=(DRAWS, size))
    scales = np.linspace(0, 12, 49)
    logits = scales[:, None, None] * utilities
    chances = np.exp(logits - logits.max(axis=-1, keepdims=True))
    chances /= chances.sum(axis=-1, keepdims=True)
    agreement = ((chances**2).sum(axis=-1).mean(axis=-1) - 1 / size) / (1 - 1 / size)
    entropy = -(chances * np.log2(np.maximum(chances, 1e-300))).sum(axis=-1).mean(axis=-1)
    return scales, np.maximum.accumulate(agreement), np.log2(size) - entropy
