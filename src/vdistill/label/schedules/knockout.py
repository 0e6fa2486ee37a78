"""Single elimination, as a baseline: the winner of each group goes on, until one item is left."""

from __future__ import annotations

from collections.abc import Sequence

from vdistill.label.schedules.plan import Group, Plan, generator
from vdistill.records import Judgment


class Knockout:
    """A `Schedule`; when a query's knockout is over and calls are left, another one begins with all its items."""

    def __init__(self, queries: Sequence[str], items: Sequence[str], plan: Plan, calls: int) -> None:
        self._items, self._plan = list(items), plan
        self._left = dict.fromkeys(queries, calls)
        self._alive: dict[str, list[str]] = {query: self._shuffled(query) for query in queries}
        self._open: dict[str, list[Group]] = {query: [] for query in queries}

    @property
    def left(self) -> int:
        """What is left of the calls of all queries."""
        return sum(self._left.values())

    def next_round(self, said: Sequence[Judgment]) -> list[Group]:
        """The next groups of every query that has calls left."""
        winners = {(judgment.query, judgment.items): _winner(judgment) for judgment in said}
        return [group for query in self._left for group in self._of_query(query, winners)]

    def _of_query(self, query: str, winners: dict[tuple[str, tuple[str, ...]], str]) -> list[Group]:
        if self._open[query]:
            asked = {item for group in self._open[query] for item in group.items}
            through = [winners[query, group.items] for group in self._open[query] if (query, group.items) in winners]
            self._alive[query] = through + [item for item in self._alive[query] if item not in asked]
        if len(self._alive[query]) < 2:
            self._alive[query] = self._shuffled(query)
        size, alive = self._plan.images_per_call, self._alive[query]
        found = [tuple(alive[start : start + size]) for start in range(0, len(alive), size)]
        groups = [Group(query, items) for items in found if len(items) > 1][: self._left[query]]
        self._left[query] -= len(groups)
        self._open[query] = groups
        return groups

    def _shuffled(self, query: str) -> list[str]:
        rng = generator(self._plan.seed, "knockout", query, str(getattr(self, "_left", {}).get(query)))
        return [self._items[i] for i in rng.permutation(len(self._items))]


def _winner(judgment: Judgment) -> str:
    answer = judgment.answer
    if answer.order is not None:
        return judgment.items[answer.order[0]]
    probabilities = answer.probabilities or ()
    return judgment.items[max(range(len(probabilities)), key=probabilities.__getitem__)]
