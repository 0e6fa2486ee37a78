"""What is shown next: to teach the student (`training`), and to rank the held-out items (`Narrowing`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Literal, TypeAlias, get_args

from vdistill.errors import VdistillError
from vdistill.label.schedules.knockout import Knockout
from vdistill.label.schedules.narrowing import Narrowing, coverable
from vdistill.label.schedules.plan import Group, Plan, Schedule
from vdistill.label.schedules.shared_pools import pools, training_groups
from vdistill.label.schedules.single_round import SingleRound, banded_groups, random_groups

__all__ = [
    "SCHEDULES",
    "Group",
    "Guides",
    "Narrowing",
    "Plan",
    "Schedule",
    "ScheduleName",
    "coverable",
    "shown_items",
    "training",
]

Guides: TypeAlias = Mapping[str, Mapping[str, float]]  # per query the guide's score of each item
ScheduleName = Literal["adaptive", "narrow", "knockout", "banded", "random"]
SCHEDULES: tuple[ScheduleName, ...] = get_args(ScheduleName)


def training(
    name: ScheduleName,
    queries: Sequence[str],
    items: Sequence[str],
    plan: Plan,
    guides: Guides,
) -> Schedule:
    """The schedule of the training queries over the training items.

    What is laid out beforehand comes a call of each query at a time, so that a run that ends early knows a little of
    every query.
    guides: per query the guide's score of each item; empty without a guide. Raises VdistillError for `banded` without.
    """
    if name == "narrow":
        return Narrowing(queries, coverable(items, plan, "train"), plan, plan.calls_per_query)
    if name == "knockout":
        return Knockout(queries, items, plan, plan.calls_per_query)
    if name == "random":
        return SingleRound(_in_turn([random_groups(query, items, plan) for query in queries]))
    if name == "banded":
        if not guides:
            raise VdistillError(
                "--schedule banded samples by the scores of a guide", hint="give --guide backbone or --guide student"
            )
        return SingleRound(_in_turn([banded_groups(query, items, plan, guides[query]) for query in queries]))
    shared = pools(items, plan)
    return SingleRound(_in_turn([training_groups(query, shared, plan, guides.get(query)) for query in queries]))


def _in_turn(of_queries: Sequence[Sequence[Group]]) -> list[Group]:
    """The first call of each query, then the second of each, and so on."""
    return [group for turn in zip_longest(*of_queries) for group in turn if group is not None]


def shown_items(name: ScheduleName, items: Sequence[str], plan: Plan) -> list[str]:
    """The training items that this schedule may show."""
    if name == "adaptive":
        return [item for pool in pools(items, plan) for item in pool]
    return coverable(items, plan, "train") if name == "narrow" else list(items)
