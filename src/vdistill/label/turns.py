"""Training and held-out questions take turns, so that both sides have their share wherever a run stops."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from vdistill.label.asking import Asked, judgment_of, key_of
from vdistill.label.schedules import Group, Schedule
from vdistill.label.stage import Stage
from vdistill.label.teacher import Teacher
from vdistill.records import Answer, Judgment, Split

Keyed: TypeAlias = tuple[str, Asked]
Ask: TypeAlias = Callable[[Mapping[str, Asked]], Mapping[str, Answer]]


@dataclass
class Side:
    """The questions of one side of the split: a schedule's rounds, one after the other.

    calls: how many there are in all, at most.
    """

    split: Split
    schedule: Schedule
    stage: Stage
    teacher: Teacher
    calls: int = field(init=False)
    _waiting: deque[Keyed] = field(default_factory=deque)
    _said: list[Judgment] = field(default_factory=list)
    _known: set[str] = field(default_factory=set)
    _answered: bool = True  # whether this round brought any answer

    def __post_init__(self) -> None:
        self.calls = self.schedule.left

    def waiting(self) -> int:
        """How many questions of this round are left; without any, the next round begins. 0: all are asked."""
        while not self._waiting and self._answered:
            groups = self.schedule.next_round(self._said)
            if not groups:
                break
            self._waiting.extend(self._fresh(groups))
            # Where nothing is answered, or the caps are reached, another round would know no more than this one.
            self._answered = False
        return len(self._waiting)

    def take(self, count: int) -> list[Keyed]:
        """The next `count` questions of this round."""
        return [self._waiting.popleft() for _ in range(min(count, len(self._waiting)))]

    def note(self, taken: Sequence[Keyed], answers: Mapping[str, Answer]) -> None:
        """Note the answers to `taken`."""
        said = [judgment_of(one, answers[key], self.teacher.name) for key, one in taken if key in answers]
        self._answered = self._answered or bool(said)
        self._said += said

    def _fresh(self, groups: Sequence[Group]) -> list[Keyed]:
        """The questions of a round. With few images a question can come up again; its answer counts once."""
        found = []
        for group in groups:
            question = self.stage.question(group)
            if len(group.items) > 1 and (key := key_of(self.teacher, question)) not in self._known:
                self._known.add(key)
                found.append((key, Asked(question, self.split, group.pool)))
        return found


def take_turns(sides: Sequence[Side], ask: Ask) -> None:
    """Ask all sides to their end, each step in proportion to their sizes.

    A step ends where a side comes to the end of a round, as its next one depends on the answers. Steps depend on the
    plan and the stored answers alone, so that a run that is continued asks the same.
    """
    while open_sides := [side for side in sides if side.waiting()]:
        step = min(side.waiting() / max(side.calls, 1) for side in open_sides)
        taken = [side.take(max(math.ceil(step * side.calls), 1)) for side in open_sides]
        answers = ask(dict(_mixed(taken)))
        for side, part in zip(open_sides, taken, strict=True):
            side.note(part, answers)


def _mixed(parts: Sequence[Sequence[Keyed]]) -> list[Keyed]:
    """One list in which every stretch has the same shares of all parts."""
    placed = [((at + 0.5) / len(part), one) for part in parts for at, one in enumerate(part)]
    return [one for _, one in sorted(placed, key=lambda pair: pair[0])]
