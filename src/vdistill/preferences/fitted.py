"""The posterior mode of all utilities and slot biases, and what can be read from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from vdistill.preferences import newton
from vdistill.preferences.choices import Choices, Floats, read
from vdistill.records import Judgment

Guides = Mapping[str, Mapping[str, float]]

PRIOR_VARIANCE = 6.0  # of a utility that only hard answers tell of, in logits²


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

    prior, noise: variances of a utility and of a soft answer's log-probability, in logits².
    explained:    share of the answers' log-loss, above that of even chances, that the fit explains (McFadden's R²).
    """

    choices: Choices
    prior: float
    noise: float
    explained: float
    _guides: Guides | None
    _pull: float
    _mean: tuple[Floats, ...]
    _bias: Floats

    @property
    def queries(self) -> tuple[str, ...]:
        """The judged queries."""
        return self.choices.queries

    @property
    def bias(self) -> dict[tuple[str, int], Floats]:
        """For each teacher and number of images shown, how much each slot is favoured, in logits (images,)."""
        return {(who, size): self._bias[at : at + size] for (who, size), at in self.choices.biases.items()}

    def means(self, query: str) -> tuple[tuple[str, ...], Floats]:
        """The judged items of one query and their utilities (n,), without the cost of standard errors."""
        row = self._row[query]
        return self.choices.items[row], self._mean[row]

    def expected(self, query: str, items: Sequence[str]) -> Floats:
        """(n,) what the prior expects of any items of a query, judged or not."""
        if self._guides is None:
            return np.zeros(len(items))
        return self._pull * _standard(self._guides[query], items)

    def of(self, query: str) -> Utilities:
        """The utilities of one query with their standard errors (from the curvature at the mode)."""
        row = self._row[query]
        precision = newton.curvature(self.choices, row, self._mean[row], self._bias, self.prior, self.noise)
        covariance = np.linalg.inv(precision)
        covariance -= covariance.mean(axis=0) + covariance.mean(axis=1)[:, None] - covariance.mean()
        return Utilities(self.choices.items[row], self._mean[row], np.sqrt(np.diag(covariance).clip(0)))

    @cached_property
    def _row(self) -> dict[str, int]:
        return {query: row for row, query in enumerate(self.choices.queries)}


def fit(judgments: Sequence[Judgment], guides: Guides | None = None) -> Fitted:
    """Fit the utility of every (query, item) pair that was judged, and the bias of every slot.

    guides: per query a score of each item; the prior means of the utilities follow them as far as the answers do.
    """
    choices = read(judgments)
    prior, noise = PRIOR_VARIANCE, 1.0
    mode = newton.solve(choices, prior, noise)
    if choices.soft.any():
        # Log-probabilities have a scale of their own, the teacher's temperature: it is read off the first fit.
        prior, noise = newton.variances(choices, mode)
        mode = newton.solve(choices, prior, noise, start=mode)
    pull = 0.0
    if guides is not None:
        scores = [_standard(guides[query], items) for query, items in zip(choices.queries, choices.items, strict=True)]
        pull = _pull(scores, mode.mean)
        mode = newton.solve(choices, prior, noise, [pull * score for score in scores], mode)
    return Fitted(choices, prior, noise, newton.explained(choices, mode), guides, pull, mode.mean, mode.bias)


def _standard(guide: Mapping[str, float], items: Sequence[str]) -> Floats:
    """(n,) the guide's scores of these items, where all it scores have mean 0 and variance 1."""
    everything = np.fromiter(guide.values(), np.float64, len(guide))
    scores = np.array([guide[item] for item in items])
    return np.asarray((scores - everything.mean()) / (everything.std() or 1.0))


def _pull(scores: Sequence[Floats], mean: Sequence[Floats]) -> float:
    """By how many logits the utilities rise with the guide: least squares on a fit that does not know the guide.

    That fit is shrunk, so this errs on the side of too little, which costs less than too much.
    """
    x, y = np.concatenate(list(scores)), np.concatenate(list(mean))
    return max(float(x @ y / (x @ x)), 0.0) if x.any() else 0.0
