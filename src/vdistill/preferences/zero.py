"""The zero of a query's scale: the utility of "none of these", from the answers that could say it.

Which image is taken, if one is, says nothing about the zero (Luce's choice axiom), so utilities and biases are those of
the fit. Given them, an answer about images of the utilities u in the positions s says, with a the teacher's scale,

    P(none) = σ(a z − L),    L = log Σ exp(a u[item in s] + b[s])

A soft answer measures z as (log-odds of P(none) + L) / a. A hard one says on which side of L it lies; a ranking says so
for what is left behind each image that stands before none, and for what stands behind it. A teacher that scores each
image by itself has a zero of its own, even odds: z is where its scores are 0. People may always say none on their page.

"None of these" comes last in each question, so a liking for the last option, if a teacher has one, is part of its zero.
z has a wide normal prior around the mean of the query's utilities. Sources: Luce 1959; Plackett 1975.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vdistill.arrays import Floats, sigmoid
from vdistill.database.people import may_reject
from vdistill.preferences.choices import LOG_CLIP
from vdistill.preferences.fitted import Fitted, fit
from vdistill.records import Judgment, Rejection

WIDE = 25.0  # prior variance of a zero, in logits²: several times that of a utility
_STEPS = 50


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a teacher accepts for one query: for `items` (n,) the probabilities (n,) to be preferred to none of them."""

    items: tuple[str, ...]
    probability: Floats
    zero: float


@dataclass
class _Evidence:
    """What is said of one zero. measured: (z, precision) each.  sides: (a, L, whether none was said) each."""

    measured: list[tuple[float, float]] = field(default_factory=list)
    sides: list[tuple[float, float, bool]] = field(default_factory=list)


def acceptance(judgments: Sequence[Judgment], rejections: Sequence[Rejection] = ()) -> dict[str, Accepted]:
    """For each query whose answers could be "none of these", what is accepted of the items that were shown.

    An item that stands in rejections alone has the mean utility of its query.
    """
    fitted, items = fit(judgments), defaultdict[str, dict[str, float]](dict)
    for query in fitted.queries:
        keys, utilities = fitted.means(query)
        items[query] = dict(zip(keys, utilities.tolist(), strict=True))
    for one in rejections:
        for item in one.items:
            items[one.query].setdefault(item, 0.0)
    found = {}
    for query, zero in zeros(fitted, items, judgments, rejections).items():
        keys = tuple(sorted(items[query]))
        utilities = np.array([items[query][key] for key in keys])
        found[query] = Accepted(keys, sigmoid(utilities - zero), zero)
    return found


def zeros(
    fitted: Fitted,
    utilities: Mapping[str, Mapping[str, float]],
    judgments: Sequence[Judgment],
    rejections: Sequence[Rejection] = (),
) -> dict[str, float]:
    """The zero of each query about which any answer could be "none of these", on the scale of the utilities.

    utilities: by query and item.
    """
    evidence, bias = defaultdict[str, _Evidence](_Evidence), fitted.bias
    given: list[Judgment | Rejection] = [*judgments, *rejections]
    for said in given:
        scale = fitted.temperature(said.teacher)
        known = scale * np.array([utilities[said.query][item] for item in said.items])
        if isinstance(said, Rejection):
            level = _log_sum_exp(known + bias.get((said.teacher, len(known)), 0.0))
            evidence[said.query].sides.append((scale, level, True))
            continue
        if said.answer.level is not None:
            evidence[said.query].measured += _pointwise(said, known, scale)
            continue
        known = known + bias[said.teacher, len(known)]
        none = 0.0 if may_reject(said.teacher, said.prompt) else said.answer.none
        if said.answer.accepted is not None:
            evidence[said.query].sides += _ranked(said, known, scale)
        elif none is not None and said.answer.soft:
            odds = math.log(max(none, 1e-12)) - math.log(max(1 - none, 1e-12))
            odds = min(max(odds, -2 * LOG_CLIP), 2 * LOG_CLIP)
            evidence[said.query].measured.append(((odds + _log_sum_exp(known)) / scale, scale**2))
        elif none is not None:
            evidence[said.query].sides.append((scale, _log_sum_exp(known), none > 0.5))
    return {query: _mode(one) for query, one in evidence.items()}


def _log_sum_exp(values: Floats) -> float:
    return float(np.logaddexp.reduce(values))


def _pointwise(said: Judgment, known: Floats, scale: float) -> Iterator[tuple[float, float]]:
    """Each score, a log-odds, is how far its item lies above the zero."""
    level = said.answer.level or 0.0
    for utility, chance in zip(known, said.answer.probabilities or (), strict=False):
        yield (float(utility) - math.log(max(chance, 1e-9)) - level) / scale, scale**2


def _ranked(said: Judgment, known: Floats, scale: float) -> Iterator[tuple[float, float, bool]]:
    """What was left each time an image was put before none; and none itself, where anything stands behind it."""
    order, accepted = list(said.answer.order or ()), said.answer.accepted or 0
    for place in range(min(accepted + 1, len(order))):
        yield scale, _log_sum_exp(known[order[place:]]), place == accepted


def _mode(evidence: _Evidence) -> float:
    """The zero of the highest posterior, by Newton's method on a convex loss."""
    values, precision = np.array(evidence.measured or [(0.0, 0.0)]).T
    scale, level, none = np.array(evidence.sides or [(0.0, 0.0, False)], np.float64).T
    zero = float(precision @ values / (precision.sum() + 1 / WIDE))
    for _ in range(_STEPS):
        chance = sigmoid(scale * zero - level)
        slope = precision @ (zero - values) + zero / WIDE + scale @ (chance - none)
        curvature = precision.sum() + 1 / WIDE + scale**2 @ (chance * (1 - chance))
        step = float(np.clip(slope / curvature, -2, 2))
        zero -= step
        if abs(step) < 1e-9:
            break
    return zero
