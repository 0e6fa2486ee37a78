"""The posterior mode of all utilities and position biases, and what can be read from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vdistill.arrays import Floats
from vdistill.preferences.posterior import Posterior
from vdistill.preferences.scales import scaled
from vdistill.records import Judgment


@dataclass(frozen=True, slots=True)
class Utilities:
    """What is known of one query: `mean` and `stderr` (n,) in logits, for `items` (n).

    Choices tell differences alone, so `stderr` is that of the distance from the mean of the query's items.
    """

    items: tuple[str, ...]
    mean: Floats
    stderr: Floats


@dataclass(frozen=True)
class Fitted:
    """The fit of all queries.

    noise: how noisy each teacher is, compared with what would be assumed of it alone; 1 where that cannot be told.
    """

    _posterior: Posterior
    _temperature: dict[str, float]
    _point: Floats
    noise: dict[str, float]

    @property
    def queries(self) -> tuple[str, ...]:
        """The judged queries."""
        return self._posterior.choices.queries

    @property
    def prior(self) -> float:
        """The prior variance of a utility, in logits²."""
        return self._posterior.prior

    @property
    def bias(self) -> dict[tuple[str, int], Floats]:
        """For each teacher and number of images shown, how much each position is favoured (images,).

        In the logits of its answers.
        """
        bias = self._parts[1]
        return {
            (who, size): bias[at : at + size] * self._temperature[who]
            for (who, size), at in self._posterior.choices.biases.items()
        }

    def temperature(self, teacher: str) -> float:
        """What one unit of utility is in the logits of a teacher's answers; 1 for one that gave none."""
        return self._temperature.get(teacher, 1.0)

    def means(self, query: str) -> tuple[tuple[str, ...], Floats]:
        """The judged items of one query and their utilities (n,), without the cost of standard errors."""
        number = self._number[query]
        return self._posterior.choices.items[number], self._parts[0][number]

    def of(self, query: str) -> Utilities:
        """The utilities of one query with their standard errors (from the curvature at the mode)."""
        covariance = np.linalg.inv(self._posterior.of_query(self._number[query], self._curvature))
        covariance -= covariance.mean(axis=0) + covariance.mean(axis=1)[:, None] - covariance.mean()
        return Utilities(*self.means(query), np.sqrt(np.diag(covariance).clip(0)))

    @cached_property
    def _number(self) -> dict[str, int]:
        return {query: number for number, query in enumerate(self.queries)}

    @cached_property
    def _parts(self) -> tuple[tuple[Floats, ...], Floats]:
        return self._posterior.split(self._point)

    @cached_property
    def _curvature(self) -> tuple[Floats, Floats]:
        return self._posterior.curvature(self._point)


def fit(judgments: Sequence[Judgment], *, weigh: bool = True) -> Fitted:
    """Fit the utility of every (query, item) pair that was judged, and the bias of every position.

    weigh: whether teachers count by their noise, measured where several of them judged the same (`noise.py`).
    """
    given = scaled(judgments, weigh=weigh)
    return Fitted(given.posterior, given.temperature, given.posterior.mode(given.start), given.noise)


def teacher_noise(judgments: Sequence[Judgment]) -> dict[str, float]:
    """What `Fitted.noise` is, without the cost of a fit."""
    if len({one.teacher for one in judgments}) < 2:
        return dict.fromkeys((one.teacher for one in judgments), 1.0)
    return scaled(judgments).noise
