"""The head of one search: which of its images are shown together next, and their order by all that was said.

First each image is seen once. The head is dealt like cards, best first, so that every call holds good and poor ones:
calls are then alike, and their answers compare although they share no image. After that neighbours in the estimate are
shown together that have met least, among the better ones. Neither depends on anything but what was said before: a
search that is repeated finds all of its answers, and one whose head has changed asks about what is new.

The estimate is the posterior of the utilities, with the student's scores as what is expected of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from vdistill import preferences
from vdistill.label.schedules.narrowing import neighbours
from vdistill.label.schedules.plan import Group, generator
from vdistill.records import Judgment, Split

CORRELATION = 0.6  # of the student's scores and the teacher's utilities within a head
LOOKED_AT = 2 / 3  # of the head is looked at a second time, the better part


@dataclass(frozen=True)
class Head:
    """What a search finds first.

    scores: of the images that can be shown, by id, best first, as the student has them.
    sides: of the images, where answers about one side alone are worth more; each side is then first shown by itself,
    unless all images fit into one call.  None where that does not matter.
    """

    query: str
    scores: Mapping[str, float]
    sides: Mapping[str, Split] | None = None
    items: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "items", tuple(self.scores))

    def order(self, said: Sequence[Judgment]) -> list[str]:
        """The images, best first; of equals the student's first."""
        said = sorted(said, key=lambda one: one.items)  # whenever each was said, sums come out the same
        utility = preferences.expected_utilities(said, self.scores, CORRELATION)
        return sorted(self.items, key=lambda item: -utility[item])

    def heard(self, said: Sequence[Judgment]) -> list[Judgment]:
        """The judgments that tell something about the order: on two of the images, or on one with its level."""
        known = set(self.items)
        return [one for one in said if len(known.intersection(one.items)) > (one.answer.level is None)]

    def judged(self, said: Sequence[Judgment]) -> set[str]:
        """The images that judgments are about."""
        return {item for one in self.heard(said) for item in one.items if item in self.scores}


@dataclass(frozen=True, slots=True)
class HeadPlan:
    """How a head is asked about.

    images: in a call.  calls: about one head, stored ones included; None for as many as `calls_for`.
    pointwise: the teacher scores each image by itself, so that a call is an image.
    """

    images: int = 8
    calls: int | None = None
    pointwise: bool = False

    def calls_for(self, images: int) -> int:
        """The most calls about a head of so many images, all of one side; those of two sides take one more."""
        if self.pointwise:
            return min(images, images if self.calls is None else self.calls)
        first = math.ceil(images / self.images)
        usual = first if first <= 1 else first + math.ceil(LOOKED_AT * images / self.images)
        return min(usual, math.comb(images, 2)) if self.calls is None else self.calls

    def next_round(self, head: Head, said: Sequence[Judgment], failed: Collection[str] = ()) -> list[Group]:
        """The questions that follow, which can be asked at the same time; none where enough was said.

        failed: images of questions that brought no answer.
        """
        heard = head.heard(said)
        judged = head.judged(heard)
        unseen = [item for item in head.items if item not in judged and item not in failed]
        most = self.calls_for(len(head.items)) + (self.calls is None and self._apart(head) and not self.pointwise)
        if self.pointwise:
            groups = _parts(unseen[: max(most - len(judged), 0)], self.images)
        elif len(head.items) < 2:
            groups = []
        elif unseen:
            groups = self._first(head, unseen)
            groups = groups if self.calls is None else groups[: max(most - len(heard), 0)]
        else:
            groups = self._again(head, heard)[: max(most - len(heard), 0)]
        return _shuffled(head, groups, len(heard))

    def _first(self, head: Head, unseen: Sequence[str]) -> list[list[str]]:
        """Groups that show each of these once, filled up with others of their side."""
        groups = []
        side = head.sides.get if self._apart(head) and head.sides is not None else lambda item: None
        for part in _by_side(unseen, side):
            alike = [item for item in head.items if side(item) == side(part[0])]
            count = math.ceil(len(part) / self.images)
            for start in range(count):
                group = part[start::count]
                others = [item for item in (alike if len(alike) > 1 else head.items) if item not in group]
                groups.append([*group, *_spread(others, self.images - len(group), start)])
        return groups

    def _apart(self, head: Head) -> bool:
        """Whether the images of each side are first shown by themselves."""
        return len({(head.sides or {}).get(item) for item in head.items}) > 1 and len(head.items) > self.images

    def _again(self, head: Head, heard: Sequence[Judgment]) -> list[list[str]]:
        """Groups of neighbours among the better ones."""
        place = {item: row for row, item in enumerate(head.items)}
        shown = [np.array([[place[item] for item in one.items if item in place]], np.intp) for one in heard]
        order = np.array([place[item] for item in head.order(heard)], np.intp)
        active = max(math.ceil(LOOKED_AT * len(order)), min(self.images, len(order)))
        found = neighbours(order, active, self.images, shown)
        return [[head.items[row] for row in group] for group in found]


def _shuffled(head: Head, groups: Sequence[Sequence[str]], turn: int) -> list[Group]:
    """In an order in which no position is a better image's."""
    rng = generator(0, "head", head.query, str(turn))
    return [Group(head.query, tuple(group[place] for place in rng.permutation(len(group)))) for group in groups]


def _by_side(items: Sequence[str], side: Callable[[str], Split | None]) -> list[list[str]]:
    parts: dict[Split | None, list[str]] = {}
    for item in items:
        parts.setdefault(side(item), []).append(item)
    return [*parts.values()]


def _spread(items: Sequence[str], count: int, start: int) -> Sequence[str]:
    """About `count` of the items, spread over them, others for each `start`."""
    if count <= 0:
        return ()
    step = max(len(items) // count, 1)
    return items[start % step :: step][:count]


def _parts(items: Sequence[str], size: int) -> list[list[str]]:
    return [list(items[start : start + size]) for start in range(0, len(items), size)]
