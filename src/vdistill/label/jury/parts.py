"""What teachers of one kind are asked after the core: first those who score each image, then those who compare.

A jury of one kind has one part. Of a mixed one, what was scored is known where the others begin to narrow down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import TypeAlias

from vdistill.label.jury.asking import Seat
from vdistill.label.jury.members import Jury, Member
from vdistill.label.jury.seats import all_at, drawn
from vdistill.label.questions import Asked, Keyed
from vdistill.label.schedules import Guides
from vdistill.label.stage import Stage
from vdistill.label.turns import Hear, Side, steps
from vdistill.records import Judgment

HearOf: TypeAlias = Callable[[Sequence[Member], Sequence[Asked]], tuple[list[Judgment], bool]]


@dataclass(frozen=True)
class Part:
    """A plan for some of the teachers.

    numbers: their places in the jury.  given: the share that each of them gets, of the calls, or, where images are
    scored, of the questions.
    """

    numbers: tuple[int, ...]
    stage: Stage
    given: tuple[float, ...]

    @property
    def pointwise(self) -> bool:
        """Whether images are scored by themselves."""
        return self.stage.plan.pointwise

    def scored(self, jury: Jury) -> list[Asked]:
        """All questions, in their order, where images are scored: none of them depends on an answer."""
        sides = jury_sides(self.stage, {}, jury, _unheard)
        return [one for step in steps(sides, lambda keys: {}) for _, one in step]


def longest(parts: Sequence[Part]) -> Stage:
    """The stage with most queries; those of the others are among them."""
    return max((part.stage for part in parts), key=lambda stage: len(stage.queries))


def sizes(parts: Sequence[Part]) -> tuple[int, int]:
    """How many queries and how many items there are in all."""
    stages = [part.stage for part in parts]
    if len(stages) == 1:
        return len(stages[0].queries), len(stages[0].items)
    queries = {query.text for stage in stages for query in stage.queries}
    return len(queries), len({item for stage in stages for item in stage.items})


@dataclass
class Seating:
    """Who is asked each question of a part, by shares; of scored images every teacher the first ones, by its share."""

    members: Sequence[Member]
    part: Part
    most: int  # questions
    _numbers: Iterator[int] = field(default_factory=count)

    @property
    def shares(self) -> Sequence[float]:
        """Of the members."""
        return self.part.given

    @property
    def calls(self) -> int:
        """About how many calls these are."""
        if not self.part.pointwise:
            return self.most
        return round(sum(self.shares) * self.most) * self.part.stage.plan.images_per_call

    def seats(self, step: Iterable[Keyed]) -> Iterator[Seat]:
        """The seats of some questions, in order."""
        for _, one in step:
            if not self.part.pointwise:
                yield Seat(one, tuple(self.members[number] for number in drawn(one.question, self.shares)))
                continue
            quotas = [round(share * self.most) for share in self.shares]
            asked = all_at(next(self._numbers), quotas)
            others = tuple(self.members[number] for number in range(len(self.members)) if number not in asked)
            yield from (Seat(one, (self.members[number], *others)) for number in asked)


@dataclass(frozen=True)
class Listener:
    """Hears what was said so far.  core: what was said to the common questions."""

    hear: HearOf
    core: Sequence[Judgment]

    def in_turn(
        self, parts: Sequence[Part], members: Sequence[Member], guides: Guides, jury: Jury
    ) -> Iterator[tuple[list[Side], Seating]]:
        """The sides and the seating of each part; one must be asked before the next is taken."""
        before = list(self.core)
        for part in parts:
            jurors = [members[number] for number in part.numbers]
            sides = jury_sides(part.stage, guides, jury, partial(self.hear, jurors), before)
            yield sides, Seating(jurors, part, sum(side.calls for side in sides))
            if part is not parts[-1]:
                before += self.hear(jurors, [one for one in part.scored(jury) if one.split == "heldout"])[0]


def jury_sides(
    stage: Stage, guides: Guides, jury: Jury, hear: Hear, before: Sequence[Judgment] = ()
) -> list[Side]:  # fmt: skip
    """As `both_sides`. hear: as of `Side`.  before: what is known from the start."""
    found = []
    if stage.queries_of("train"):
        found.append(Side("train", stage.training(guides), stage, jury, hear))
    if (schedule := stage.held_out()) is not None:
        found.append(Side("heldout", schedule, stage, jury, hear, before if schedule.listens else ()))
    return found


def _unheard(asked: Sequence[Asked]) -> tuple[list[Judgment], bool]:
    return [], False
