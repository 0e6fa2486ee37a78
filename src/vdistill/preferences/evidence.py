"""The evidence of answers of several teachers: how probable they are, given how noisy each teacher is.

That is their probability whatever the utilities are; its logarithm is Laplace's approximation, with the position biases
at their mode:

    log Z(n) = −L(mode) − ½ Σ_queries log det H(mode) − Σ_soft (k − 1) log n

A taste of its own makes a teacher's answers spread wider than what it shares with the others, so the scales s of soft
answers, which are first read off each teacher's own, are found together with the noises: y / s is measured, with the
noise n / s, and the evidence is that of y.

Few answers say little: log n and log s have Cauchy priors around 0. Choices alone tell how noisy teachers are beside
one another, so their mean of log n is held at 0; it is let go as far as there are soft answers beside them, which have
a scale, and altogether beside scores of single images.

The gradient is exact. At the mode L does not change with the utilities, but log det H does where there are choices,
whose w are softmax(l). With v the gradient of ½ log det H in the utilities and biases, g that of L, and H the Hessian
in all of them, the mode moves by −H⁻¹ ∂g/∂n, so that part is −(H⁻¹ v)ᵀ ∂g/∂n: one system to solve, for any number of
teachers.
Source: MacKay 1992, "Bayesian interpolation".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from vdistill.arrays import Floats, Ints
from vdistill.preferences.choices import Choices, centred
from vdistill.preferences.posterior import Posterior

SPREAD = 0.15  # scale of the prior of log n, a Cauchy distribution: near 0 unless much says otherwise
LEAST, MOST = 0.1, 20.0
_FAR = 6.0  # log n before their mean is taken off
TASTE = 0.1  # the least noise of a teacher beside others, as a share of the variance of utilities
FIRST_STEPS, STEPS = 10, 50  # of the search from each place, and from the best that was found
APART = 0.05  # log n of two teachers who choose, where the search begins
DOUBTED = 1.0  # log n of those who are not taken to be right
WIDEST = 1.0  # log s: a scale that is read off a teacher's own answers is not much further from what it shares


class Evidence:
    """The evidence of some choices for noises and scales of `sharing`, the teachers that share ground."""

    def __init__(self, choices: Choices, prior: float, noise: Floats, sharing: Ints) -> None:
        self._choices, self._prior, self._noise, self._sharing = choices, prior, noise, sharing
        self._numbers = (choices.shown.sum(axis=1) - 1) * choices.soft  # of the soft rows
        hard, soft = (
            np.bincount(choices.teacher[rows], minlength=len(choices.teachers))[sharing]
            for rows in (~choices.soft, choices.soft)
        )
        self._chooses = hard > soft  # a soft teacher that is sure has rows without a scale now and then
        self._held = self._chooses * hard / max(hard[self._chooses].sum(), 1) * (1 - self._soft_share())
        self._measures = soft > 0
        self._least = self._least_noise()
        self._places = [_Places.of(choices, number) for number in range(len(choices.queries))]
        self._start: Floats | None = None

    def _soft_share(self) -> float:
        """Of the answers, in [0, 1]; 1 where images are scored: a single row of scores has a scale for many choices."""
        scored = any((name, 1) in self._choices.biases for name in self._choices.teachers)
        return 1.0 if scored else float(self._choices.soft.mean())

    def _least_noise(self) -> Floats:
        """(sharing,) the least log n: what its own answers show is the least noise of a soft teacher, and a taste.

        Without a taste, the evidence may take one of several teachers for the truth, who is merely true to itself.
        """
        least = np.where(self._chooses, -_FAR, 0.0)
        if self._measures.sum() > 1:
            for place in np.flatnonzero(self._measures & ~self._chooses):
                rows = self._choices.soft & (self._choices.teacher == self._sharing[place])
                own = float(np.median(self._noise[rows]))
                least[place] = max(0.0, np.log(TASTE * self._prior / own) / 2)
        return least

    @property
    def _usual(self) -> Floats:
        """(sharing,) the log n of a teacher of whom nothing is known."""
        return self._least.clip(0.0)

    def best(self, starts: Sequence[Floats]) -> tuple[Floats, Floats]:
        """(teachers,) the noises and the scales of the highest evidence."""
        logs, scales = self._all(self.found(starts))
        return np.exp(logs).clip(LEAST, MOST), np.exp(scales).clip(LEAST, MOST)

    def found(self, starts: Sequence[Floats]) -> Floats:
        """Their logarithms, searched for from each start; the mean by evidence."""
        from scipy.optimize import minimize

        bounds = [(least, _FAR) for least in self._least.tolist()]
        bounds += [(-WIDEST, WIDEST)] * int(self._measures.sum())

        def search(start: Floats, steps: int) -> tuple[float, Floats]:
            options = {"maxiter": steps, "ftol": 1e-8}
            best = minimize(self.loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)  # type: ignore[call-overload]
            return float(best.fun), best.x

        found = [search(start, FIRST_STEPS) for start in starts]
        best = min(range(len(found)), key=lambda place: found[place][0])
        found[best] = search(found[best][1], STEPS)
        least = min(loss for loss, _ in found)
        weights = np.array([np.exp(least - loss) for loss, _ in found])
        return np.asarray(weights / weights.sum() @ np.array([point for _, point in found]))

    def starts(self) -> list[Floats]:
        """Where to search from. Few answers may be explained by each of several teachers being the one who is right.

        What is found from there is averaged by its evidence, so that none is believed by chance.
        """
        # Not quite alike: between teachers who answered as often the gradient would never tell one from the other.
        apart = APART * np.arange(len(self._sharing)) * self._chooses
        usual = np.r_[self._usual + apart, np.zeros(int(self._measures.sum()))]
        places = np.flatnonzero(self._measures & ~self._chooses)
        if len(places) < 2:
            return [usual]
        starts = [usual]
        for right in places:
            start = usual.copy()
            start[[place for place in places if place != right]] += DOUBTED
            starts.append(start)
        return starts

    def _all(self, found: Floats) -> tuple[Floats, Floats]:
        """(teachers,) log n and log s of each."""
        logs, scales = np.zeros(len(self._choices.teachers)), np.zeros(len(self._choices.teachers))
        of_each = found[: len(self._sharing)]
        logs[self._sharing] = of_each - self._chooses * (self._held @ of_each)
        scales[self._sharing[self._measures]] = found[len(self._sharing) :]
        return logs, scales

    def loss(self, found: Floats) -> tuple[float, Floats]:
        """Minus the logarithm of the evidence and of the priors, and its gradient."""
        logs, scales = (of_each[self._choices.teacher] for of_each in self._all(found))
        posterior = noisy(Posterior(self._choices, self._prior, self._noise), np.exp(logs), np.exp(scales))
        mode = self._start = posterior.mode(self._start)
        spread = self._spread(posterior, mode)
        value = posterior.loss(mode)[0] + spread.value / 2 + self._numbers @ logs
        beside = (found - np.r_[self._usual, np.zeros(len(found) - len(self._usual))]) / SPREAD
        slope = self._gradient(posterior, mode, spread) + 2 * beside / SPREAD / (1 + beside**2)
        return float(value + np.log1p(beside**2).sum()), slope

    def _spread(self, posterior: Posterior, mode: Floats) -> _Spread:
        weight, scale = posterior.curvature(mode)
        if posterior.sharpness is not None:
            scale = scale * posterior.sharpness**2
        found = _Spread(0.0, np.zeros(len(scale)), np.zeros(weight.shape))
        for one in self._places:
            part, rows = scale[one.rows], np.zeros((one.rows.stop - one.rows.start, one.items))
            rows[one.row, one.item] = weight[one.rows][one.row, one.position]
            hessian = np.diag(part @ rows + 1 / self._prior) - (part[:, None] * rows).T @ rows
            inverse, logarithm = np.linalg.inv(hessian), np.linalg.slogdet(hessian)[1]
            own, mixed = np.diag(inverse), rows @ inverse
            found.value += float(logarithm)
            found.of_row[one.rows] = part * (rows @ own - (mixed * rows).sum(axis=1))
            slope = part[:, None] * (own - 2 * mixed)
            found.of_weight[one.rows][one.row, one.position] = slope[one.row, one.item]
        return found

    def _gradient(self, posterior: Posterior, mode: Floats, spread: _Spread) -> Floats:
        """Of L + ½ log det H + Σ (k − 1) log n; see the docstring of this file. In the coordinates of the search."""
        choices, linear = posterior.choices, posterior.linear(mode)
        soft, noise = choices.soft[:, None], np.where(choices.soft, posterior.noise, 1.0)[:, None]
        chances = posterior.curvature(mode)[0]
        missed = np.where(soft, centred(linear, choices.shown), chances) - choices.target
        slope, said = missed / noise, np.where(soft, choices.target / noise, 0.0)
        # How w, and so the gradient of L, change with l where there are choices.
        moves = np.where(soft, 0.0, _through_softmax(chances, spread.of_weight / 2))
        bends = np.where(soft, 2 * slope, slope + _through_softmax(chances, linear))
        by_noise = self._numbers - spread.of_row
        by_noise -= (np.where(soft, missed * slope, (slope + moves) * linear)).sum(axis=1)
        by_scale = spread.of_row + ((missed + choices.target) * slope).sum(axis=1)
        if moves.any():
            away = posterior.linear(posterior.solved(mode, posterior.pulled(moves)))
            by_noise += (away * bends).sum(axis=1)
            by_scale -= (away * (2 * slope + said)).sum(axis=1)
        by_scale = np.where(choices.soft, by_scale, 0.0)
        return self._searched(*(self._of_teachers(one) for one in (by_noise, by_scale)))

    def _of_teachers(self, of_row: Floats) -> Floats:
        return np.bincount(self._choices.teacher, of_row, len(self._choices.teachers)).astype(np.float64)

    def _searched(self, logs: Floats, scales: Floats) -> Floats:
        """A gradient in log n and log s of all teachers in the coordinates of the search: `_all`, transposed."""
        of_each = logs[self._sharing]
        of_each = of_each - self._held * (self._chooses @ of_each)
        return np.concatenate([of_each, scales[self._sharing[self._measures]]])


def _through_softmax(chances: Floats, values: Floats) -> Floats:
    """(m, k) (diag(p) − p pᵀ) times the values of each row."""
    return np.asarray(chances * (values - (chances * values).sum(axis=1, keepdims=True)))


@dataclass(slots=True)
class _Spread:
    """value: Σ_queries log det H.  of_row: (m,) its gradient in log c of each row.  of_weight: (m, k) that in w."""

    value: float
    of_row: Floats
    of_weight: Floats


@dataclass(frozen=True, slots=True)
class _Places:
    """Where a query's rows are, and for each image that one of them shows its row, position and item among `items`."""

    rows: slice
    row: Ints
    position: Ints
    item: Ints
    items: int

    @classmethod
    def of(cls, choices: Choices, number: int) -> _Places:
        """Those of one query."""
        rows = slice(*choices.start[number : number + 2])
        row, position = np.nonzero(choices.shown[rows])
        return cls(rows, row, position, choices.local[rows][row, position], len(choices.items[number]))


def noisy(posterior: Posterior, noise: Floats, scale: Floats) -> Posterior:
    """The posterior with rows of these noises and scales (m,)."""
    soft = posterior.choices.soft
    target = np.where(soft, 1 / scale, 1.0)[:, None] * posterior.choices.target
    return Posterior(
        replace(posterior.choices, target=target),
        posterior.prior,
        posterior.noise * np.where(soft, (noise / scale) ** 2, 1.0),
        np.where(soft, 1.0, 1 / noise),
    )
