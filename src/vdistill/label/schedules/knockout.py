"""Single elimination: the winner of each group goes on until one item is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vdistill.label.schedules.plan import Group, Plan, generator
from vdistill.records import Judgment


class Knockout:
    """A `Schedule`; while a query has calls left after its knockout, another one begins with all items."""

    listens = True

    def __init__(self, queries: Sequence[str], items: Sequence[str], plan: Plan) -> None:
        self._items, self._plan = list(items), plan
        self._left = dict.fromkeys(queries, plan.calls_per_query)
        self._alive = {query: self._shuffled(query) for query in queries}
        self._open: dict[str, list[Group]] = {query: [] for query in queries}

    @property
    def left(self) -> int:
        """The remaining calls of all queries."""
        return sum(self._left.values())

    def next_round(self, said: Sequence[Judgment]) -> list[Group]:
        """The next groups of every query that has calls left."""
        winners = {(one.query, one.items): one.items[one.answer.best] for one in said}
        return [group for query in self._left for group in self._of_query(query, winners)]

    def _of_query(self, query: str, winners: Mapping[tuple[str, tuple[str, ...]], str]) -> list[Group]:
        if self._open[query]:
            asked = {item for group in self._open[query] for item in group.items}
            through = [winners[query, group.items] for group in self._open[query] if (query, group.items) in winners]
            self._alive[query] = through + [item for item in self._alive[query] if item not in asked]
        if len(self._plan.distinct(self._alive[query])) < 2:
            self._alive[query] = self._shuffled(query)
        size, alive = self._plan.images_per_call, self._alive[query]
        found = self._plan.deal(alive, size)
        groups = [Group(query, tuple(items)) for items in found if len(items) > 1][: self._left[query]]
        self._left[query] -= len(groups)
        self._open[query] = groups
        return groups

    def _shuffled(self, query: str) -> list[str]:
        rng = generator(self._plan.seed, "knockout", query, str(self._left[query]))
        return [self._items[i] for i in rng.permutation(len(self._items))]
