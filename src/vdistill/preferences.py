"""Judgments become utilities: a Plackett–Luce fit with a Gaussian prior and position-bias parameters.

Every answer is one or more *choices*: from the images in some slots, one is taken. A forced choice with probabilities
is one soft choice; a ranking of k images is k − 1 hard ones (the best of all, the best of the rest, …). The utility u
of an item for a query and the bias b of a slot (one vector for each number of images shown) explain them:

    P(slot s) ∝ exp(u[item in s] + b[s])

Sources: Bradley & Terry 1952; Plackett 1975; the posterior mode is found by L-BFGS over all queries at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vdistill.records import Judgment

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PRIOR_VARIANCE = 6.0  # of a utility, in logits²
BIAS_VARIANCE = 1.0
# A distribution over the images says more than a bare pick: as much as this many picks drawn from it.
SOFT_WEIGHT = 6.0


@dataclass(frozen=True, slots=True)
class Utilities:
    """What is known of one query: `mean` and `stderr` (n,) in logits, for `items` (n).

    Choices tell differences alone, so `stderr` is that of the distance from the mean of the query's items.
    """

    items: tuple[str, ...]
    mean: Floats
    stderr: Floats

    def wins(self) -> Floats:
        """(n, n): the probability that item i is preferred to item j."""
        return np.asarray(1.0 / (1.0 + np.exp(self.mean[None, :] - self.mean[:, None])))


@dataclass(frozen=True)
class Choices:
    """All choices as arrays; the unused places of a row are masked out by `shown`.

    variable: (m, k) index of the (query, item) pair in each slot.
    slot:     (m, k) index of the (images shown, slot) pair.
    shown:    (m, k) bool.
    target:   (m, k) probabilities, each row summing to 1.
    weight:   (m,) how many hard picks a row counts for.
    """

    variable: Ints
    slot: Ints
    shown: NDArray[np.bool_]
    target: Floats
    weight: Floats


@dataclass(frozen=True)
class Fitted:
    """The posterior mode of all utilities and slot biases."""

    queries: tuple[str, ...]
    bias: dict[int, Floats]
    choices: Choices
    _items: dict[str, tuple[str, ...]]
    _offsets: dict[str, int]
    _mean: Floats
    _bias_flat: Floats

    def means(self, query: str) -> tuple[tuple[str, ...], Floats]:
        """The judged items of one query and their utilities (n,), without the cost of standard errors."""
        start, items = self._offsets[query], self._items[query]
        return items, self._mean[start : start + len(items)]

    def of(self, query: str) -> Utilities:
        """The utilities of one query with their standard errors (from the curvature at the mode)."""
        start, items = self._offsets[query], self._items[query]
        stop = start + len(items)
        precision = np.eye(len(items)) / PRIOR_VARIANCE + self._curvature(start, stop)
        covariance = np.linalg.inv(precision)
        covariance -= covariance.mean(axis=0) + covariance.mean(axis=1)[:, None] - covariance.mean()
        return Utilities(items, self._mean[start:stop], np.sqrt(np.diag(covariance)))

    def _curvature(self, start: int, stop: int) -> Floats:
        """(n, n) second derivatives of the negative log-likelihood in the utilities of one query."""
        choices = self.choices
        rows = self._rows_of_query(start)
        p = _softmax(choices, self._mean, self._bias_flat)[rows]
        local = np.where(choices.shown[rows], choices.variable[rows] - start, 0)
        block = choices.weight[rows, None, None] * (p[:, :, None] * np.eye(p.shape[1]) - p[:, :, None] * p[:, None, :])
        matrix = np.zeros((stop - start, stop - start))
        np.add.at(matrix, (local[:, :, None], local[:, None, :]), block)
        return matrix

    def _rows_of_query(self, start: int) -> Ints:
        order, starts = self._row_index
        left, right = np.searchsorted(starts, start), np.searchsorted(starts, start, side="right")
        return order[left:right]

    @cached_property
    def _row_index(self) -> tuple[Ints, Ints]:
        """The choices sorted by the offset of their query, and those offsets."""
        offsets = np.fromiter(self._offsets.values(), np.int64)
        owner = offsets[np.searchsorted(offsets, self.choices.variable[:, 0], side="right") - 1]
        order = np.argsort(owner, kind="stable")
        return order, owner[order]


def fit(judgments: Sequence[Judgment]) -> Fitted:
    """Fit the utilities of every (query, item) pair that was judged, and the bias of every slot."""
    from scipy.optimize import minimize

    items, offsets = _variables(judgments)
    slots = _slot_offsets(judgments)
    choices = _choices(judgments, items, offsets, slots)
    count = sum(map(len, items.values()))
    width = sum(slots)  # number of slot parameters: one vector for each number of images shown

    def objective(x: Floats) -> tuple[float, Floats]:
        return _negative_log_posterior(choices, x[:count], x[count:])

    result = minimize(objective, np.zeros(count + width), jac=True, method="L-BFGS-B",
                      options={"maxiter": 300, "ftol": 1e-10, "gtol": 1e-5})  # fmt: skip
    mean, bias = result.x[:count], result.x[count:]
    return Fitted(
        queries=tuple(items),
        bias={size: bias[start : start + size] for size, start in _starts(slots).items()},
        choices=choices,
        _items=items,
        _offsets=offsets,
        _mean=mean,
        _bias_flat=bias,
    )


def picks(judgment: Judgment) -> Iterable[tuple[tuple[int, ...], tuple[float, ...], float]]:
    """The choices of one judgment: (slots to choose from, probabilities, weight)."""
    answer = judgment.answer
    if answer.probabilities is not None:
        slots = tuple(range(len(judgment.items)))
        yield slots, answer.probabilities, 1.0 if max(answer.probabilities) == 1.0 else SOFT_WEIGHT
        return
    order = answer.order or ()
    for place in range(len(order) - 1):
        yield order[place:], (1.0, *(0.0 for _ in order[place + 1 :])), 1.0


def _variables(judgments: Sequence[Judgment]) -> tuple[dict[str, tuple[str, ...]], dict[str, int]]:
    """The judged items of each query, in the order of their ids, and where each query's variables start."""
    seen: dict[str, set[str]] = {}
    for judgment in judgments:
        seen.setdefault(judgment.query, set()).update(judgment.items)
    items = {query: tuple(sorted(found)) for query, found in seen.items()}
    offsets, start = {}, 0
    for query, found in items.items():
        offsets[query] = start
        start += len(found)
    return items, offsets


def _slot_offsets(judgments: Sequence[Judgment]) -> list[int]:
    """The numbers of images shown, smallest first."""
    return sorted({len(judgment.items) for judgment in judgments})


def _starts(sizes: Sequence[int]) -> dict[int, int]:
    return {size: sum(sizes[:place]) for place, size in enumerate(sizes)}


def _choices(
    judgments: Sequence[Judgment], items: dict[str, tuple[str, ...]], offsets: dict[str, int], sizes: Sequence[int]
) -> Choices:
    starts = _starts(sizes)
    places = {query: {item: offsets[query] + i for i, item in enumerate(found)} for query, found in items.items()}
    rows = [(judgment, *pick) for judgment in judgments for pick in picks(judgment)]
    width = max(sizes, default=1)
    variable = np.zeros((len(rows), width), np.int64)
    slot = np.zeros((len(rows), width), np.int64)
    shown = np.zeros((len(rows), width), bool)
    target = np.zeros((len(rows), width))
    weight = np.zeros(len(rows))
    for row, (judgment, slots, probabilities, pull) in enumerate(rows):
        place = places[judgment.query]
        used = len(slots)
        variable[row, :used] = [place[judgment.items[s]] for s in slots]
        slot[row, :used] = [starts[len(judgment.items)] + s for s in slots]
        shown[row, :used] = True
        target[row, :used] = probabilities
        weight[row] = pull
    return Choices(variable, slot, shown, target, weight)


def _logits(choices: Choices, mean: Floats, bias: Floats) -> Floats:
    return np.where(choices.shown, mean[choices.variable] + bias[choices.slot], -np.inf)


def _softmax(choices: Choices, mean: Floats, bias: Floats) -> Floats:
    logits = _logits(choices, mean, bias)
    exponent = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(exponent / exponent.sum(axis=1, keepdims=True))


def _negative_log_posterior(choices: Choices, mean: Floats, bias: Floats) -> tuple[float, Floats]:
    """The objective and its gradient with respect to (mean, bias)."""
    p = _softmax(choices, mean, bias)
    loss = -(choices.weight * (choices.target * np.log(np.maximum(p, 1e-300))).sum(axis=1)).sum()
    loss += (mean**2).sum() / (2 * PRIOR_VARIANCE) + (bias**2).sum() / (2 * BIAS_VARIANCE)
    residual = np.where(choices.shown, choices.weight[:, None] * (p - choices.target), 0.0).ravel()
    to_mean = np.bincount(choices.variable.ravel(), residual, minlength=len(mean)) + mean / PRIOR_VARIANCE
    to_bias = np.bincount(choices.slot.ravel(), residual, minlength=len(bias)) + bias / BIAS_VARIANCE
    return float(loss), np.concatenate([to_mean, to_bias])
