"""Training and held-out questions take turns, so that both sides have their share wherever a run stops."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeAlias

from vdistill.label.none_share import NoneShare
from vdistill.label.questions import Asked, Keyed, identity_of, judgment_of, key_of
from vdistill.label.schedules import Group, Schedule
from vdistill.label.stage import Stage
from vdistill.label.teacher import Teacher
from vdistill.records import Answer, Judgment, Split

Ask: TypeAlias = Callable[[Iterable[Keyed]], None]
Answers: TypeAlias = Callable[[Sequence[str]], Mapping[str, Answer]]
Hear: TypeAlias = Callable[[Sequence[Asked]], tuple[list[Judgment], bool]]


@dataclass
class Side:
    """The questions of one side of the split: a schedule's rounds, one after the other.

    Questions and their keys are made as they are taken. calls: how many there are in all, at most.
    hear: what a jury says to questions, and whether anything; None where the teacher is asked.
    before: what is known from the start.
    """

    split: Split
    schedule: Schedule
    stage: Stage
    teacher: Teacher
    hear: Hear | None = None
    before: Sequence[Judgment] = ()
    calls: int = field(init=False)
    _round: Iterator[Group] = field(default_factory=lambda: iter(()))
    _left: int = 0  # groups of this round
    _taken: list[tuple[str, Group]] = field(default_factory=list)  # of a schedule that listens: by key, not noted yet
    _prompt: str = ""  # that their keys are of
    _said: list[Judgment] = field(default_factory=list)
    _known: set[bytes] = field(default_factory=set)
    _answered: bool = True  # whether this round brought any answer
    _none: NoneShare = field(init=False)

    def __post_init__(self) -> None:
        self._none = NoneShare(self.stage.settings.none)
        self.calls = self.schedule.left
        self._said += self.before

    def waiting(self) -> int:
        """How many calls of this round are left, at most; without any, the next round begins. 0: all are asked."""
        while not self._left and self._answered:
            groups = self.schedule.next_round(self._said)
            if not groups:
                break
            self._round, self._left = iter(groups), len(groups)
            # Where nothing is answered, or the caps are reached, another round would know no more than this one.
            self._answered = False
        return self._left

    def take(self, count: int) -> Iterator[Keyed | None]:
        """The questions of the next `count` calls of this round, None for a call that is no question of its own.

        All must be taken before any are noted.
        """
        count = min(count, self._left)
        self._left -= count
        return (self._question(group) for group in islice(self._round, count))

    def note(self, answers: Answers) -> None:
        """Note the answers, of all there are, to what was taken."""
        if not self.schedule.listens:
            self._answered = True  # whatever they are, the schedule goes on
            return
        taken, self._taken = self._taken, []
        asked = [self._asked(group) for _, group in taken]
        said, any_answer = self._heard(taken, answers) if self.hear is None else self.hear(asked)
        self._answered = self._answered or any_answer  # also where all of them are "none of these"
        self._said += said

    def _heard(self, taken: Sequence[tuple[str, Group]], answers: Answers) -> tuple[list[Judgment], bool]:
        if self.teacher.prompt != self._prompt:  # which the first answer may have settled
            taken = [(key_of(self.teacher, self.stage.question(group)), group) for _, group in taken]
        found = answers([key for key, _ in taken])
        said = [
            judgment_of(self._asked(group), found[key], self.teacher.name)
            for key, group in taken
            if key in found and not found[key].rejects
        ]
        return said, bool(found)

    def _question(self, group: Group) -> Keyed | None:
        """The question of a call. With few images one can come up again; its answer counts once."""
        if len(group.items) < 2:
            return None
        group = self._none.marked(group)
        asked = self._asked(group)
        if (same := identity_of(asked.question)) in self._known:
            return None
        self._known.add(same)
        key = key_of(self.teacher, asked.question)
        if self.schedule.listens:
            if not self._taken:
                self._prompt = self.teacher.prompt
            self._taken.append((key, group))
        return key, asked

    def _asked(self, group: Group) -> Asked:
        return Asked(self.stage.question(group), self.split, group.pool)


def take_turns(sides: Sequence[Side], ask: Ask, answers: Answers) -> None:
    """Ask all sides to their end. answers: those that are stored, by key."""
    for step in steps(sides, answers):
        ask(step)


def steps(sides: Sequence[Side], answers: Answers) -> Iterator[Iterator[Keyed]]:
    """All questions of the sides, in steps; one must be asked before the next is taken.

    Each step is in proportion to the sizes of the sides. It ends where a side comes to the end of a round, as its next
    one depends on the answers. Steps depend on the plan and the stored answers alone, so that a run that is continued
    asks the same.
    """
    while open_sides := [side for side in sides if side.waiting()]:
        step = min(side.waiting() / max(side.calls, 1) for side in open_sides)
        counts = [min(max(math.ceil(step * side.calls), 1), side.waiting()) for side in open_sides]
        taken = [side.take(count) for side, count in zip(open_sides, counts, strict=True)]
        yield mixed(counts, taken)
        for side in open_sides:
            side.note(answers)


def mixed(counts: Sequence[int], parts: Sequence[Iterable[Keyed | None]]) -> Iterator[Keyed]:
    """What the parts yield, in an order in which every stretch has the same shares of all. counts: how many of each."""

    def placed(count: int, part: Iterable[Keyed | None]) -> Iterator[tuple[float, Keyed | None]]:
        return (((at + 0.5) / count, one) for at, one in enumerate(part))

    merged = heapq.merge(*map(placed, counts, parts), key=lambda pair: pair[0])
    return (one for _, one in merged if one is not None)
