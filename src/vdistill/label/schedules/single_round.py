"""Schedules that are laid out before anything is known: shared pools, random groups, and bands of a guide's scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vdistill.label.schedules.plan import Group, Plan, generator
from vdistill.records import Judgment

# How the images of a banded call are spread over the guide's scores: (quantile range, share of the slots).
BANDS = ((0.0, 0.7, 0.2), (0.7, 0.9, 0.2), (0.9, 0.95, 0.2), (0.95, 1.0, 0.4))


class SingleRound:
    """A `Schedule` whose calls are all known at the start."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self._groups = list(groups)

    @property
    def left(self) -> int:
        """All of them, before they are given out."""
        return len(self._groups)

    def next_round(self, said: Sequence[Judgment]) -> list[Group]:
        """Everything the first time, nothing after."""
        groups, self._groups = self._groups, []
        return groups


def random_groups(query: str, items: Sequence[str], plan: Plan) -> list[Group]:
    """Images drawn anew for each call, as a baseline."""
    rng = generator(plan.seed, "random", query)
    size = min(plan.images_per_call, len(items))
    drawn = (rng.choice(len(items), size, replace=False) for _ in range(plan.calls_per_query))
    return [Group(query, tuple(items[i] for i in rows)) for rows in drawn]


def banded_groups(query: str, items: Sequence[str], plan: Plan, guide: Mapping[str, float]) -> list[Group]:
    """Images from bands of the guide's scores over all items, the top bands most, as arXiv 2510.12014 samples them."""
    ranked = sorted(items, key=lambda item: (-guide[item], item))  # not the scores: their last digits differ by machine
    rng = generator(plan.seed, "banded", query, repr(ranked))
    return [Group(query, tuple(call)) for call in banded_calls(list(np.array(items, dtype=object)), plan, rng, guide)]


def banded_calls(
    pool: Sequence[str], plan: Plan, rng: np.random.Generator, guide: Mapping[str, float]
) -> list[list[str]]:
    """Calls of one query with images from bands of the guide's scores, in random order."""
    ranked = sorted(pool, key=lambda item: (guide[item], item))
    size = min(plan.images_per_call, len(ranked))
    bands = [ranked[int(low * len(ranked)) : max(int(high * len(ranked)), int(low * len(ranked)) + 1)]
             for low, high, _ in BANDS]  # fmt: skip
    calls = []
    for _ in range(plan.calls_per_query):
        call: list[str] = []
        for band, (_, _, share) in zip(reversed(bands), reversed(BANDS), strict=True):
            fresh = [item for item in band if item not in call]
            call += list(rng.permutation(np.array(fresh, dtype=object))[: max(1, round(share * size))])
        rest = [item for item in rng.permutation(np.array(ranked, dtype=object)) if item not in call]
        call = (call + rest)[:size]
        calls.append([call[i] for i in rng.permutation(len(call))])
    return calls
