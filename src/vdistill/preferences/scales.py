"""One scale for the answers of all teachers: a soft answer has the scale of its teacher's temperature.

The variances of each soft teacher's utilities and noise are read off a fit to its soft answers alone. Few answers tell
little of a variance: it is drawn towards what hard answers have, by as much as DOUBT numbers would. All are
then brought to the scale of the store, to which every answer contributes; so no answer decides for the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vdistill.arrays import Floats
from vdistill.preferences import newton
from vdistill.preferences.choices import Choices, is_soft, read
from vdistill.preferences.newton import Mode
from vdistill.records import Judgment

PRIOR_VARIANCE, NOISE_VARIANCE = 6.0, 1.0  # of a utility that hard answers tell of, and before any is known, in logits²
DOUBT = 30.0  # log-probabilities, about ten answers among four images


@dataclass(frozen=True, slots=True)
class Scaled:
    """Choices on one scale.

    prior: the variance of a utility there, in logits². temperature: of each teacher, what one logit is in its soft
    answers; scale (m,) the same of each row, 1 of hard ones. noise: (m,) variance of a soft row's log-probabilities.
    start: utilities and biases to start a fit from.
    """

    choices: Choices
    prior: float
    temperature: dict[str, float]
    scale: Floats
    noise: Floats
    start: Mode | None


@dataclass(frozen=True, slots=True)
class _Variances:
    """Of one teacher's soft answers, how many numbers they hold, and the fit to them alone."""

    utility: float = PRIOR_VARIANCE
    noise: float = NOISE_VARIANCE
    numbers: float = 0.0
    mode: Mode | None = None


def scaled(judgments: Sequence[Judgment]) -> Scaled:
    """The choices of these judgments, each soft row divided by its teacher's scale."""
    choices = read(judgments)
    rows = len(choices.soft)
    found = {name: _variances(judgments, choices, name) for name in choices.teachers}
    hard = float((~choices.soft).sum())
    prior = _common([*found.values(), _Variances(numbers=hard)])
    temperature = {name: float(np.sqrt(one.utility / prior)) if one.numbers else 1.0 for name, one in found.items()}
    scale, noise = np.ones(rows), np.ones(rows)
    for place, (name, one) in enumerate(found.items()):
        own = choices.soft & (choices.teacher == place)
        scale[own] = temperature[name]
        noise[own] = one.noise / temperature[name] ** 2
    start = next(iter(found.values())).mode if len(found) == 1 and not hard else None
    return Scaled(replace(choices, target=choices.target / scale[:, None]), prior, temperature, scale, noise, start)


def _common(groups: Sequence[_Variances]) -> float:
    """The geometric mean of their utilities' variances, each counted by its numbers."""
    total = sum(one.numbers for one in groups)
    logs = sum(one.numbers * np.log(one.utility) for one in groups)
    return float(np.exp(logs / total)) if total else PRIOR_VARIANCE


def _variances(judgments: Sequence[Judgment], choices: Choices, teacher: str) -> _Variances:
    own = [one for one in judgments if one.teacher == teacher and is_soft(one.answer)]
    if not own:
        return _Variances()
    alone = choices if len(own) == len(judgments) else read(own)
    mode = newton.solve(alone, PRIOR_VARIANCE, np.full(len(alone.soft), NOISE_VARIANCE))
    utility, noise = newton.variances(alone, mode)
    numbers = float((alone.shown.sum(axis=1) - 1).sum())
    doubt = DOUBT / (DOUBT + numbers)
    utility, noise = utility ** (1 - doubt) * PRIOR_VARIANCE**doubt, noise ** (1 - doubt) * NOISE_VARIANCE**doubt
    return _Variances(utility, noise, numbers, mode if alone is choices else None)
