"""What is shown next: to teach the student (`training`), and to rank the held-out items (`Narrowing`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from vdistill.errors import VdistillError
from vdistill.label.schedules.in_turn import CallsInTurn
from vdistill.label.schedules.knockout import Knockout
from vdistill.label.schedules.narrowing import Narrowing, coverable
from vdistill.label.schedules.plan import Group, Plan, Schedule
from vdistill.label.schedules.scored_once import in_turn, scored_in_order, scored_once
from vdistill.label.schedules.shared_pools import pools, training_groups
from vdistill.label.schedules.single_round import SingleRound, banded_groups
from vdistill.label.settings import ScheduleName

__all__ = ["Group", "Guides", "Narrowing", "Plan", "Schedule", "coverable", "scored", "shown_items", "training"]

Guides: TypeAlias = Mapping[str, Mapping[str, float]]  # query → item → the guide's score


def training(name: ScheduleName, queries: Sequence[str], items: Sequence[str], plan: Plan, guides: Guides) -> Schedule:
    """The schedule of the training queries over the training items.

    Calls that are known beforehand are made in turn, one for each query, so that a run that ends early has asked
    something about every query.
    guides: empty without a guide. Raises VdistillError for `banded` without one.
    """
    each = plan.calls_per_query
    if plan.pointwise:
        if name != "adaptive":
            raise VdistillError(
                f"--schedule {name} compares images, and this teacher scores each by itself",
                hint="leave --schedule out",
            )
        shared = pools(items, plan)
        return SingleRound(list(in_turn([scored_once(query, shared, plan) for query in queries])))
    if name == "knockout":
        return Knockout(queries, items, plan)
    if name == "banded":
        if not guides:
            raise VdistillError(
                "--schedule banded samples by the scores of a guide", hint="give --guide backbone or --guide student"
            )
        return SingleRound(CallsInTurn(queries, each, lambda query: banded_groups(query, items, plan, guides[query])))
    shared, deep = pools(items, plan), replace(plan, calls_per_query=max(each, plan.depth))
    calls = CallsInTurn(queries, each, lambda query: training_groups(query, shared, deep, guides.get(query), each))
    return SingleRound(calls)


def scored(queries: Sequence[str], items: Sequence[str], plan: Plan) -> Schedule:
    """The schedule of the held-out queries for a teacher that scores each image by itself; items: as `coverable`."""
    return SingleRound(list(in_turn([scored_in_order(query, items, plan) for query in queries])))


def shown_items(name: ScheduleName, items: Sequence[str], plan: Plan) -> list[str]:
    """The training items that this schedule may show."""
    return [item for pool in pools(items, plan) for item in pool] if name == "adaptive" else list(items)
