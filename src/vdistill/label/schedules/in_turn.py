"""Calls that are known beforehand, made query by query as they are reached: a plan may have millions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import overload

from vdistill.label.schedules.plan import Group


class CallsByQuery(Sequence[Group]):
    """All calls of a query, then those of the next.

    calls_of: makes the `each` calls of a query. To go through all of them makes each query's once; by its place, a call
    is made anew.
    """

    def __init__(self, queries: Sequence[str], each: int, calls_of: Callable[[str], Sequence[Group]]) -> None:
        self._queries, self._each, self._calls_of = queries, each, calls_of

    def __len__(self) -> int:
        """The calls of all queries."""
        return len(self._queries) * self._each

    @overload
    def __getitem__(self, place: int) -> Group: ...
    @overload
    def __getitem__(self, place: slice) -> list[Group]: ...
    def __getitem__(self, place: int | slice) -> Group | list[Group]:
        """The call at a place, or those at several."""
        if isinstance(place, slice):
            return [self._at(one) for one in range(*place.indices(len(self)))]
        return self._at(range(len(self))[place])

    def __iter__(self) -> Iterator[Group]:
        """All calls, in order."""
        return (group for query in self._queries for group in self._calls_of(query))

    def _at(self, place: int) -> Group:
        query, turn = divmod(place, self._each)
        return self._calls_of(self._queries[query])[turn]


class CallsInTurn(CallsByQuery):
    """The first call of each query, then the second of each, and so on, so that a run that ends early asked of all."""

    def __iter__(self) -> Iterator[Group]:
        """All calls, in order."""
        later: list[list[Group]] = []  # of each query, the next one last
        for query in self._queries:
            calls = [*reversed(self._calls_of(query))]
            yield calls.pop()
            later.append(calls)
        for _ in range(1, self._each):
            for calls in later:
                yield calls.pop()

    def _at(self, place: int) -> Group:
        turn, query = divmod(place, len(self._queries))
        return self._calls_of(self._queries[query])[turn]
