"""The posterior mode of all utilities and slot biases, and what can be read from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vdistill.arrays import Floats
from vdistill.preferences import newton
from vdistill.preferences.choices import Choices
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

    def wins(self) -> Floats:
        """(n, n): the probability that item i is preferred to item j."""
        return np.asarray(1.0 / (1.0 + np.exp(self.mean[None, :] - self.mean[:, None])))


@dataclass(frozen=True)
class Fitted:
    """The fit of all queries.

    prior:     variance of a utility, in logits².
    explained: share of the answers' log-loss, above that of even chances, that the fit explains (McFadden's R²).
    """

    choices: Choices
    prior: float
    explained: float
    _temperature: dict[str, float]
    _noise: Floats
    _mean: tuple[Floats, ...]
    _bias: Floats

    @property
    def queries(self) -> tuple[str, ...]:
        """The judged queries."""
        return self.choices.queries

    @property
    def bias(self) -> dict[tuple[str, int], Floats]:
        """For each teacher and number of images shown, how much each slot is favoured (images,).

        In logits, of a teacher with soft answers in those of its soft answers.
        """
        return {
            (who, size): self._bias[at : at + size] * self._temperature[who]
            for (who, size), at in self.choices.biases.items()
        }

    def means(self, query: str) -> tuple[tuple[str, ...], Floats]:
        """The judged items of one query and their utilities (n,), without the cost of standard errors."""
        row = self._row[query]
        return self.choices.items[row], self._mean[row]

    def of(self, query: str) -> Utilities:
        """The utilities of one query with their standard errors (from the curvature at the mode)."""
        row = self._row[query]
        precision = newton.curvature(self.choices, row, self._mean[row], self._bias, self.prior, self._noise)
        covariance = np.linalg.inv(precision)
        covariance -= covariance.mean(axis=0) + covariance.mean(axis=1)[:, None] - covariance.mean()
        return Utilities(self.choices.items[row], self._mean[row], np.sqrt(np.diag(covariance).clip(0)))

    @cached_property
    def _row(self) -> dict[str, int]:
        return {query: row for row, query in enumerate(self.choices.queries)}


def fit(judgments: Sequence[Judgment]) -> Fitted:
    """Fit the utility of every (query, item) pair that was judged, and the bias of every slot."""
    given = scaled(judgments)
    mode = newton.solve(given.choices, given.prior, given.noise, given.start)
    explained = newton.explained(given.choices, mode, given.scale)
    return Fitted(given.choices, given.prior, explained, given.temperature, given.noise, mode.mean, mode.bias)
