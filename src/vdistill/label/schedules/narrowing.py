"""Depth for the held-out queries: groups follow the current ranking, round by round, and narrow down to its top.

The active items are halved down to `FLOOR`, the depth of nDCG@10 with a margin; each level gets about as many calls as
the next. Neighbours in the current ranking are shown together, because comparing similar items tells most. A teacher
that is asked the same thing twice makes the same mistake twice, so no two items meet more often than they must.

A query whose top is settled early leaves the rest of its calls to those that are still unsure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from vdistill import preferences
from vdistill.arrays import Floats
from vdistill.label.schedules.in_turn import CallsByQuery
from vdistill.label.schedules.plan import Group, Plan, by_hash, generator
from vdistill.records import Judgment, Split

FLOOR = 14
FIRST = 1 / 3  # share of the calls that go over all items
TOP = 10
SETTLED = 0.05  # the top is settled where less than this share of it is expected to be wrong
MEETING = 3.0  # distance in the ranking that an earlier meeting of two items counts as


class Narrowing:
    """A `Schedule` over the same items for every query."""

    listens = True

    def __init__(self, queries: Sequence[str], items: Sequence[str], plan: Plan) -> None:
        self._items = tuple(items)
        self._plan = plan
        self._sizes = active_sizes(len(items), plan.images_per_call, plan.calls_per_query)
        self._left = len(queries) * plan.calls_per_query
        self._turn = 0
        # The groups of each round, (g, size) places of items: much smaller than how often which two have met.
        self._shown: dict[str, list[NDArray[np.integer]]] = {query: [] for query in queries}
        self._settled: set[str] = set()

    @property
    def left(self) -> int:
        """The remaining calls of all queries."""
        return self._left

    def next_round(self, said: Sequence[Judgment]) -> Sequence[Group]:
        """A round for each query that is not settled. The calls of the first are made as they are reached, in order."""
        if not self._turn and not said:
            return self._first_round()
        can_settle = self._turn >= len(self._sizes) // 2
        known = _posteriors(said, self._items, errors=can_settle)
        unsure = {query: _unsure(mean, stderr) for query, (mean, stderr) in known.items()} if can_settle else {}
        self._settled |= {query for query, share in unsure.items() if share < SETTLED}
        # After the planned rounds, the calls that settled queries left go to the least sure ones first.
        order = sorted(self._shown, key=lambda query: -unsure.get(query, 0.0))
        over = self._turn >= len(self._sizes)
        groups: list[Group] = []
        for query in order:
            if query not in self._settled:
                mean = known[query][0] if query in known else None
                groups += self._of_query(query, mean, self._turn)[: max(self._left - len(groups), 0)]
            if over and self._left <= len(groups):
                break
        self._turn += 1
        self._left -= len(groups)
        return groups

    def _first_round(self) -> Sequence[Group]:
        each = math.ceil(self._sizes[0] / min(self._plan.images_per_call, len(self._items)))
        self._turn = 1
        self._left -= each * len(self._shown)
        return CallsByQuery(list(self._shown), each, lambda query: self._of_query(query, None, 0))

    def _of_query(self, query: str, mean: Floats | None, turn: int) -> list[Group]:
        size = self._sizes[min(turn, len(self._sizes) - 1)]
        shown = self._shown[query] if turn else []
        rng = generator(self._plan.seed, "narrow", query, str(turn))
        noise = rng.permutation(len(self._items))
        order = noise if mean is None else np.lexsort((noise, -mean))
        groups = neighbours(order, size, self._plan.images_per_call, shown)
        if groups:  # those of the first round may be made again
            self._shown[query] = [*shown, np.array(groups, np.min_scalar_type(len(self._items)))]
        return [Group(query, tuple(self._items[i] for i in rng.permutation(chosen))) for chosen in groups]


def active_sizes(items: int, images: int, calls: int) -> list[int]:
    """How many of the best items are active in each round, such that the rounds use up the calls.

    Each size is a multiple of `images`, or all items.
    """
    images = min(images, items)
    levels = [items]
    while levels[-1] > max(FLOOR, images):
        levels.append(max(math.ceil(levels[-1] / 2), FLOOR, images))
    levels = [min(math.ceil(level / images) * images, items) for level in dict.fromkeys(levels)]
    left = calls
    sizes: list[int] = []
    for place, level in enumerate(levels):
        cost = math.ceil(level / images)
        last = place == len(levels) - 1
        share = calls * FIRST if place == 0 and not last else left / (len(levels) - place)
        rounds = left // cost if last else min(max(round(share / cost), 1), left // cost)
        sizes += [level] * rounds
        left -= rounds * cost
    if left:  # not enough for a whole round: a last one over fewer items
        sizes.append(min(left * images, items))
    return sizes


def neighbours(
    order: NDArray[np.intp], active: int, size: int, shown: Sequence[NDArray[np.integer]]
) -> list[NDArray[np.intp]]:
    """Groups of neighbours among the `active` best of `order` (best first) that met least.

    shown: the groups of earlier rounds, (g, size) each.
    """
    size = min(size, len(order))
    # As long as no two have met, the nearest are simply those that come next.
    whole = 0 if shown else active - active % size
    groups = [order[start : start + size] for start in range(0, whole, size)]
    free = list(order[whole:active])
    if not free:
        return groups
    met = _met(len(order), [*shown, np.array(groups, np.intp)] if groups else shown)
    while free:
        first = free.pop(0)
        members = _pair(first, free, order, met) if size == 2 else _group(first, free, order, size, met)
        if members:
            met[np.ix_(members, members)] += 1
            groups.append(np.array(members))
    return groups


def _met(count: int, shown: Sequence[NDArray[np.integer]]) -> NDArray[np.uint8]:
    """(count, count) how often two items were shown together."""
    met = np.zeros((count, count), np.uint8)
    for groups in shown:
        np.add.at(met, (groups[:, :, None], groups[:, None, :]), 1)
    return met


def _pair(first: int, free: list[int], order: NDArray[np.intp], met: NDArray[np.uint8]) -> list[int]:
    """`first` with the nearest item it has not met: a free one, else any; empty where it has met all."""
    for second in free:
        if not met[first, second]:
            free.remove(second)
            return [first, second]
    place = int(np.flatnonzero(order == first)[0])
    for distance in np.argsort(np.abs(np.arange(len(order)) - place), kind="stable"):
        second = int(order[distance])
        if second != first and not met[first, second]:
            return [first, second]
    return []


def _group(first: int, free: list[int], order: NDArray[np.intp], size: int, met: NDArray[np.uint8]) -> list[int]:
    """`first` with its neighbours; an earlier meeting counts like `MEETING` places of distance."""
    if len(free) < size - 1:  # the last group is filled up with the neighbours above it
        others = [item for item in order if item != first and item not in free]
        place = {int(item): row for row, item in enumerate(order)}
        others.sort(key=lambda item: abs(place[int(item)] - place[first]))
        free += others[: size - 1 - len(free)]
    group = [first]
    distance = np.arange(len(free), dtype=np.float64)
    times = met[first, free] * MEETING
    while len(group) < size:
        nearest = int(np.argmin(distance + times))
        chosen = free.pop(nearest)
        group.append(chosen)
        distance, times = np.delete(distance, nearest), np.delete(times, nearest)
        times = times + met[chosen, free] * MEETING
    return group


def _posteriors(said: Sequence[Judgment], items: Sequence[str], *, errors: bool) -> dict[str, tuple[Floats, Floats]]:
    """For each judged query the mean and standard error (n,) of the utilities of `items`; of unseen ones the prior's.

    Without `errors`, which take most of the time, all standard errors are the prior's.
    """
    if not said:
        return {}
    fitted = preferences.fit(said)
    place = {item: row for row, item in enumerate(items)}
    found: dict[str, tuple[Floats, Floats]] = {}
    for query in fitted.queries:
        mean, stderr = np.zeros(len(items)), np.full(len(items), math.sqrt(fitted.prior))
        judged, utilities = fitted.means(query)
        among = [number for number, item in enumerate(judged) if item in place]
        if not among:  # of the other side: it tells of teachers, not of these items
            continue
        rows = [place[judged[number]] for number in among]
        mean[rows] = utilities[among]
        if errors:
            stderr[rows] = fitted.of(query).stderr[among]
        found[query] = (mean, stderr)
    return found


def _unsure(mean: Floats, stderr: Floats) -> float:
    """The expected share of the best `TOP` that does not belong there. mean, stderr: (n,) of the utilities."""
    top = min(TOP, len(mean) // 2)
    falling = np.sort(mean)[::-1]
    border = (falling[top - 1] + falling[top]) / 2
    wrong = expit(-1.702 * (mean - border) / stderr)  # the tail of the normal distribution, to 0.01
    return float(np.sort(wrong)[:top].sum() / top)


def coverable(items: Sequence[str], plan: Plan, split: Split) -> list[str]:
    """A random choice of the items to judge in depth: as many as three fifths of a query's calls can show once.

    A teacher that scores each image by itself shows as many as its calls can, in an order in which more calls only add
    more images.

    One image stands for its product, so that no call is spent on two of the same.
    """
    if plan.pointwise:
        return plan.distinct(by_hash(items, plan.seed, split))[: plan.calls_per_query * plan.images_per_call]
    most = max(plan.images_per_call, int(0.6 * plan.calls_per_query * plan.images_per_call))
    order = generator(plan.seed, split).permutation(len(items)).tolist()
    return sorted(plan.distinct(items[i] for i in order)[:most])
