"""Schedules that are laid out before anything is known, and the one that samples from bands of a guide's scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vdistill.label.schedules.plan import Group, Plan, generator
from vdistill.records import Judgment

# How the images of a banded call are spread over the guide's scores: (quantile range, share of the positions).
BANDS = ((0.0, 0.7, 0.2), (0.7, 0.9, 0.2), (0.9, 0.95, 0.2), (0.95, 1.0, 0.4))


class SingleRound:
    """A `Schedule` whose calls are all known at the start."""

    listens = False

    def __init__(self, groups: Sequence[Group]) -> None:
        self._groups = groups

    @property
    def left(self) -> int:
        """All calls before the round, none after it."""
        return len(self._groups)

    def next_round(self, said: Sequence[Judgment]) -> Sequence[Group]:
        """Everything the first time, nothing after."""
        groups, self._groups = self._groups, []
        return groups


def banded_groups(query: str, items: Sequence[str], plan: Plan, guide: Mapping[str, float]) -> list[Group]:
    """The calls of one query, with images from bands of the guide's scores, the top bands most (arXiv 2510.12014)."""
    # The order of the items seeds the draw, not their scores, whose last digits differ between machines.
    rng = generator(plan.seed, "banded", query, repr(sorted(items, key=lambda item: (-guide[item], item))))
    ranked = sorted(items, key=lambda item: (guide[item], item))
    starts = [int(low * len(ranked)) for low, _, _ in BANDS]
    bands = [
        (ranked[start : max(int(high * len(ranked)), start + 1)], share)
        for start, (_, high, share) in zip(starts, BANDS, strict=True)
    ]
    size = min(plan.images_per_call, len(ranked))
    groups = []
    for _ in range(plan.calls_per_query):
        call: list[str] = []
        for band, share in reversed(bands):
            left = _shuffled([item for item in band if item not in call], rng)
            call += plan.distinct(left, call)[: max(1, round(share * size))]
        call += plan.distinct(_shuffled(ranked, rng), call)
        groups.append(Group(query, tuple(_shuffled(call[:size], rng))))
    return groups


def _shuffled(items: Sequence[str], rng: np.random.Generator) -> list[str]:
    return [items[i] for i in rng.permutation(len(items))]
