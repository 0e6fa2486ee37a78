"""How noisy each teacher is, compared with what the fit assumes, where several of them judged the same items.

A teacher of noise n takes an image with P ∝ exp((u + b) / n); the log-probabilities of its soft answers have n times
the standard deviation that its own answers show. With 1 for all, this is the fit of a single teacher.

The noises are where the evidence (`evidence.py`) of the answers on common ground is highest.
Source: Dawid & Skene 1979 for judges of unequal quality.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from hashlib import sha256

import numpy as np

from vdistill.arrays import Floats, Ints
from vdistill.preferences.choices import Choices
from vdistill.preferences.evidence import Evidence

ENOUGH = 2000  # choices of a teacher on common ground: its noise is then known to some 3 %
FEW = 400  # choices, in which the search begins in several places
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
    whole = Evidence(part, prior, noise[rows], sharing)
    if len(rows) <= FEW or not thorough:
        return whole.best(whole.starts() if thorough else whole.starts()[:1])
    some = _some(choices, numbers)
    rows, part = choices.of_queries(some)
    few = Evidence(part, prior, noise[rows], sharing)
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
