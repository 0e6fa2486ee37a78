"""Schedules for training queries that taught less than the ones of `vdistill label`, to compare with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

from vdistill.label.layout import in_order
from vdistill.label.schedules import Group, Guides, Narrowing, Plan, Schedule, coverable
from vdistill.label.schedules.plan import generator
from vdistill.label.schedules.single_round import SingleRound
from vdistill.label.stage import Stage

Maker = Callable[[Sequence[str], Sequence[str], Plan], Schedule]


def random_groups(query: str, items: Sequence[str], plan: Plan) -> list[Group]:
    """Images drawn anew for each call."""
    rng = generator(plan.seed, "random", query)
    size = min(plan.images_per_call, len(items))
    drawn = (rng.choice(len(items), size, replace=False) for _ in range(plan.calls_per_query))
    return [Group(query, tuple(items[i] for i in rows)) for rows in drawn]


def at_random(queries: Sequence[str], items: Sequence[str], plan: Plan) -> Schedule:
    return SingleRound([group for query in queries for group in random_groups(query, items, plan)])


def narrow(queries: Sequence[str], items: Sequence[str], plan: Plan) -> Schedule:
    """Depth, as for the held-out queries."""
    return Narrowing(queries, coverable(items, plan, "train"), plan)


BASELINES: dict[str, Maker] = {"random": at_random, "narrow": narrow}


@dataclass(frozen=True)
class BaselineStage(Stage):
    """A stage whose training queries are shown what `make` says."""

    make: Maker = at_random

    def training(self, guides: Guides) -> Schedule:
        queries = in_order(self.queries_of("train"), self.plan.seed)
        return self.make(queries, self.items_of("train"), self.plan)


def with_baseline(stage: Stage, name: str) -> Stage:
    """The stage with the baseline schedule `name`; it must have been prepared for `knockout`, which shows all items."""
    return BaselineStage(**{field.name: getattr(stage, field.name) for field in fields(stage)}, make=BASELINES[name])
