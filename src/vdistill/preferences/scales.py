"""One scale for the answers of all teachers: a soft answer has the scale of its teacher's temperature.

The variances of each soft teacher's utilities and noise are read off a fit to its soft answers alone. Few answers say
little about a variance: it is drawn towards what hard answers have, by as much as DOUBT numbers would. All are then
brought to the scale of the store, to which every answer contributes, so that no answer decides for the others. Where
several teachers judged the same, how noisy each is (`noise.py`) weighs its answers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from vdistill.arrays import Floats
from vdistill.preferences import noise as noises
from vdistill.preferences.choices import Choices, centred, is_soft, read
from vdistill.preferences.evidence import noisy
from vdistill.preferences.posterior import Posterior
from vdistill.records import Judgment

PRIOR_VARIANCE, NOISE_VARIANCE = 6.0, 1.0  # in logits²: of a utility for hard answers, and of noise before it is known
COMMON = 12  # questions that all were asked, from which noises are measured by them alone
DOUBT = 30.0  # log-probabilities, about ten answers among four images


@dataclass(frozen=True, slots=True)
class Scaled:
    """The posterior of choices on one scale.

    temperature: of each teacher, what one logit is in its answers. noise: of each, compared with what would be assumed
    of it alone. start: a point to start the search for the mode from.
    """

    posterior: Posterior
    temperature: dict[str, float]
    noise: dict[str, float]
    start: Floats | None


@dataclass(frozen=True, slots=True)
class _Variances:
    """Of one teacher's soft answers, how many numbers they hold, and the mode of a fit to them alone."""

    utility: float = PRIOR_VARIANCE
    noise: float = NOISE_VARIANCE
    numbers: float = 0.0
    mode: Floats | None = None


def scaled(judgments: Sequence[Judgment], *, weigh: bool = True) -> Scaled:
    """The choices of these judgments, each soft row divided by its teacher's temperature.

    weigh: teachers by their noise.
    """
    common = common_questions(judgments) if weigh else []
    choices = read(judgments)
    if common and len({one.answer.level is None for one in judgments}) > 1:
        return _weighed_on(choices, _of_common(tuple(common)))
    found = {name: _variances(judgments, choices, name) for name in choices.teachers}
    hard = float((~choices.soft).sum())
    prior = _common([*found.values(), _Variances(numbers=hard)])
    temperature = {name: float(np.sqrt(one.utility / prior)) if one.numbers else 1.0 for name, one in found.items()}
    scale = np.array([temperature[name] for name in choices.teachers])[choices.teacher]
    noise = np.array([found[name].noise for name in choices.teachers])[choices.teacher] / scale**2
    start = next(iter(found.values())).mode if len(found) == 1 and not hard else None
    posterior = Posterior(_divided(choices, temperature), prior, noise)
    if not weigh:
        return Scaled(posterior, temperature, dict.fromkeys(choices.teachers, 1.0), start)
    if not common:
        return _weighed(posterior, noises.measured(choices, prior, noise), temperature, start)
    return _weighed(posterior, _of_common(tuple(common)).weights, temperature, start)


@dataclass(frozen=True, slots=True)
class _Common:
    """What the questions that all were asked tell: their choices unweighed, and the noise and scale of each teacher."""

    given: Scaled
    weights: tuple[Floats, Floats]

    def noise(self, choices: Choices) -> Floats:
        """(m,) what the teachers of these choices showed in the common ones, each beside its own answers."""
        known = self.given.posterior
        rows = [int(np.argmax(known.choices.teacher == number)) for number in range(len(known.choices.teachers))]
        return known.noise[rows][choices.teacher]


@lru_cache(maxsize=16)  # the rounds of a plan have the same ones again and again
def _of_common(judgments: tuple[Judgment, ...]) -> _Common:
    """What these answers, of all teachers to the same questions, tell.

    Scores say nothing twice. Who compares the same images again and says the same again would be believed for it, so
    beside scores each image counts once for every soft teacher: in the questions that were scored as they were
    compared. What its answers waver by is read off all of them; of one who only chooses, the evidence alone tells it.
    """
    given = scaled(judgments, weigh=False)
    choices, noise = given.posterior.choices, given.posterior.noise
    scored = {(one.query, frozenset(one.items)) for one in judgments if one.answer.level is not None}
    once = [one for one in judgments if (one.query, frozenset(one.items)) in scored or not is_soft(one.answer)]
    if len(scored) >= COMMON and len(once) < len(judgments):
        choices = _divided(read(once), given.temperature)
        noise = _Common(given, (noise, noise)).noise(choices)
    return _Common(given, noises.measured(choices, given.posterior.prior, noise, thorough=True))


def _weighed_on(choices: Choices, common: _Common) -> Scaled:
    """Choices on the scales of the common ones.

    What is compared later is chosen by answers and spreads less, so it would tell other scales beside the same scores.
    """
    given = common.given
    posterior = Posterior(_divided(choices, given.temperature), given.posterior.prior, common.noise(choices))
    return _weighed(posterior, common.weights, given.temperature, None)


def _divided(choices: Choices, temperature: Mapping[str, float]) -> Choices:
    """The choices, each soft row divided by its teacher's temperature."""
    scale = np.array([temperature[name] for name in choices.teachers])[choices.teacher]
    return replace(choices, target=np.where(choices.soft, 1 / scale, 1.0)[:, None] * choices.target)


def common_questions(judgments: Sequence[Judgment]) -> list[Judgment]:
    """The answers to questions that all teachers were asked, in one order, where there are enough of them.

    Two teachers who disagree do not tell which of them errs: a third does, and what only two judged would drown it.
    Who scores images by themselves was asked about the same images, too, where others compared them a second time; what
    is compared more often was chosen by answers.
    """
    asked: dict[tuple[str, frozenset[str]], set[str]] = defaultdict(set)  # earlier ones first
    for one in judgments:
        asked[one.query, frozenset(one.items)].add(one.teacher)
    teachers = {one.teacher for one in judgments}
    of_all = {question for question, who in asked.items() if len(who) == len(teachers)}
    scoring = {one.teacher for one in judgments if one.answer.level is not None}
    if 0 < len(scoring) < len(teachers):
        looks = Counter((query, item) for query, items in of_all for item in items)
        for (query, items), who in asked.items():
            again = {looks[query, item] for item in items} == {1}
            if again and (query, items) not in of_all and len(who | scoring) == len(teachers):
                of_all.add((query, items))
                looks.update((query, item) for item in items)
    if len(teachers) < 2 or len(of_all) < COMMON:
        return []
    common = [one for one in judgments if (one.query, frozenset(one.items)) in of_all]
    return sorted(common, key=lambda one: (one.query, one.items, one.teacher))


def _weighed(
    posterior: Posterior, weights: tuple[Floats, Floats], temperature: dict[str, float], start: Floats | None
) -> Scaled:
    """The posterior with noises and scales, `weights`, of its teachers."""
    choices, (noise, scale) = posterior.choices, weights
    named = dict(zip(choices.teachers, noise.tolist(), strict=True))
    if (noise == 1).all() and (scale == 1).all():
        return Scaled(posterior, temperature, named, start)
    soft = {choices.teachers[number] for number in np.unique(choices.teacher[choices.soft])}
    wide = dict(zip(choices.teachers, scale.tolist(), strict=True))
    temperature = {name: one * wide[name] if name in soft else one / named[name] for name, one in temperature.items()}
    weighed = noisy(posterior, noise[choices.teacher], scale[choices.teacher])
    return Scaled(weighed, temperature, named, start)


def _common(groups: Sequence[_Variances]) -> float:
    """The geometric mean of their utilities' variances, each weighted by its numbers."""
    total = sum(one.numbers for one in groups)
    logs = sum(one.numbers * np.log(one.utility) for one in groups)
    return float(np.exp(logs / total)) if total else PRIOR_VARIANCE


def _variances(judgments: Sequence[Judgment], choices: Choices, teacher: str) -> _Variances:
    own = [one for one in judgments if one.teacher == teacher and is_soft(one.answer)]
    if not own:
        return _Variances()
    alone = choices if len(own) == len(judgments) else read(own)
    posterior = Posterior(alone, PRIOR_VARIANCE, np.full(len(alone.soft), NOISE_VARIANCE))
    mode = posterior.mode()
    numbers = float((alone.shown.sum(axis=1) - 1).sum())  # a row of k centred numbers holds k − 1
    utility, noise = _measured(alone, numbers, alone.target - centred(posterior.linear(mode), alone.shown))
    doubt = DOUBT / (DOUBT + numbers)
    utility, noise = utility ** (1 - doubt) * PRIOR_VARIANCE**doubt, noise ** (1 - doubt) * NOISE_VARIANCE**doubt
    return _Variances(utility, noise, numbers, mode if alone is choices else None)


def _measured(choices: Choices, numbers: float, residual: Floats) -> tuple[float, float]:
    """The variances (of a utility, of a log-probability's noise) in logits², from the residuals (m, k) of a fit."""
    fitted = sum(len(items) - 1 for items in choices.items) + choices.bias_count
    total = float((choices.target**2).sum()) / numbers
    noise = float((residual**2).sum()) / max(numbers - fitted, 0.25 * numbers)
    noise = float(np.clip(noise, 0.02 * total, 0.75 * total)) + 1e-6
    return max(total - noise, 0.25 * total) + 1e-6, noise
