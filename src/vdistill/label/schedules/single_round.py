"""Schedules that are laid out before anything is known: shared pools, random groups, and bands of a guide's scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vdistill.label.schedules.plan import Group, Plan, generator
from vdistill.label.schedules.shared_pools import banded_calls
from vdistill.records import Judgment


class SingleRound:
    """A `Schedule` whose calls are all known at the start."""

    def __init__(self, groups: Sequence[Group]) -> None:
        self._groups = list(groups)

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
    rng = generator(plan.seed, "banded", query, repr(sorted(guide.items())))
    return [Group(query, tuple(call)) for call in banded_calls(list(np.array(items, dtype=object)), plan, rng, guide)]
