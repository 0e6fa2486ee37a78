"""How noisy each teacher is, compared with what the fit assumes, where several of them judged the same items.

A teacher of noise n takes an image with P ∝ exp((u + b) / n); the log-probabilities of its soft answers have n times
the standard deviation that its own answers show. With 1 for all, this is the fit of a single teacher.

The noises are where the evidence, the probability of all answers whatever the utilities are, is highest. Its logarithm
is Laplace's approximation, with the position biases at their mode:

    log Z(n) = −L(mode) − ½ Σ_queries log det H(mode) − Σ_soft (k − 1) log n

A taste of its own makes a teacher's answers spread wider than what it shares with the others, so the scales s of soft
answers, which are first read off each teacher's own, are found together with the noises: y / s is measured, with the
noise n / s, and the evidence is that of y.

Few answers say little: log n and log s have Cauchy priors around 0. Choices alone tell how noisy teachers are beside
one another, so their mean of log n is held at 0; it is let go as far as there are soft answers beside them, which have
a scale, and altogether beside scores of single images.
Source: MacKay 1992, "Bayesian interpolation", for the evidence; Dawid & Skene 1979 for judges of unequal quality.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256

import numpy as np

from vdistill.arrays import Floats, Ints
from vdistill.preferences.choices import Choices
from vdistill.preferences.posterior import Posterior

ENOUGH = 2000  # choices of a teacher on common ground: its noise is then known to some 3 %
SPREAD = 0.15  # scale of the prior of log n, a Cauchy distribution: near 0 unless much says otherwise
LEAST, MOST = 0.1, 20.0
_FAR = 6.0  # log n before their mean is taken off
TASTE = 0.1  # the least noise of a teacher beside others, as a share of the variance of utilities
FEW = 400  # choices, in which the search begins in several places
FIRST_STEPS, STEPS = 10, 50  # of the search from each place, and from the best that was found
DOUBTED = 1.0  # log n of those who are not taken to be right
WIDEST = 1.0  # log s: a scale that is read off a teacher's own answers is not much further from what it shares
SHARED = 2  # items of a query that two teachers both judged make it common ground


def measured(choices: Choices, prior: float, noise: Floats, *, thorough: bool = False) -> tuple[Floats, Floats]:
    """(teachers,) the noise of each and its scale; 1 for whoever shares no ground with another.

    prior, noise: as of `Posterior`.  thorough: whether to search from several places, which takes longer.
    """
    alone = np.ones(len(choices.teachers)), np.ones(len(choices.teachers))
    if len(choices.teachers) < 2:
        return alone
    numbers, sharing = common_ground(choices)
    if not numbers:
        return alone
    rows, part = choices.of_queries(numbers)
    whole = _Evidence(part, prior, noise[rows], sharing)
    if len(rows) <= FEW or not thorough:
        return whole.best(whole.starts() if thorough else whole.starts()[:1])
    some = _some(choices, numbers)
    rows, part = choices.of_queries(some)
    few = _Evidence(part, prior, noise[rows], sharing)
    return whole.best([few.found(few.starts())])


def _some(choices: Choices, numbers: Sequence[int]) -> list[int]:
    """Queries with about `FEW` choices, from which the search for the best noises of all of them starts."""
    sizes = np.diff(choices.start)
    order = sorted(numbers, key=lambda one: sha256(choices.queries[one].encode()).digest())
    count = int(np.searchsorted(np.cumsum(sizes[order]), FEW)) + 1
    return sorted(order[:count])


def common_ground(choices: Choices) -> tuple[list[int], Ints]:
    """Queries of which several teachers judged the same items, and who these teachers are; at most `ENOUGH` of each."""
    taken = np.zeros(len(choices.teachers), np.int64)
    numbers: list[int] = []
    for number in sorted(_several(choices), key=lambda one: sha256(choices.queries[one].encode()).digest()):
        rows = slice(*choices.start[number : number + 2])
        who, count = np.unique(choices.teacher[rows], return_counts=True)
        sharing = _sharing(choices, rows, who)
        if (taken[sharing] < ENOUGH).any():
            numbers.append(number)
            taken[sharing] += count[np.isin(who, sharing)]
    return sorted(numbers), np.flatnonzero(taken)


def _several(choices: Choices) -> Iterator[int]:
    """The queries with answers of several teachers."""
    for number, (start, end) in enumerate(zip(choices.start[:-1], choices.start[1:], strict=True)):
        if np.ptp(choices.teacher[start:end]):
            yield number


def _sharing(choices: Choices, rows: slice, who: Ints) -> Ints:
    """Those teachers that judged `SHARED` items that another judged, too."""
    judged = np.zeros((len(who), int(choices.local[rows].max()) + 1), bool)
    place = np.searchsorted(who, choices.teacher[rows])
    row, position = np.nonzero(choices.shown[rows])
    judged[place[row], choices.local[rows][row, position]] = True
    shared = judged.astype(np.int64) @ judged.T.astype(np.int64)
    np.fill_diagonal(shared, 0)
    return np.asarray(who[shared.max(axis=1) >= SHARED])


class _Evidence:
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
            options = {"eps": 0.005, "maxiter": steps, "ftol": 1e-8}
            best = minimize(self._loss, start, method="L-BFGS-B", bounds=bounds, options=options)  # type: ignore[call-overload]
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
        usual = np.r_[self._usual, np.zeros(int(self._measures.sum()))]
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

    def _loss(self, found: Floats) -> float:
        logs, scales = (of_each[self._choices.teacher] for of_each in self._all(found))
        posterior = noisy(Posterior(self._choices, self._prior, self._noise), np.exp(logs), np.exp(scales))
        mode = self._start = posterior.mode(self._start)
        curvature = posterior.curvature(mode)
        spread = sum(
            np.linalg.slogdet(posterior.of_query(number, curvature))[1] for number in range(len(self._choices.queries))
        )
        value = posterior.loss(mode)[0] + spread / 2 + self._numbers @ logs
        beside = found - np.r_[self._usual, np.zeros(len(found) - len(self._usual))]
        return float(value + np.log1p((beside / SPREAD) ** 2).sum())


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
