"""A sitting: one person answers question after question; each answer is on the disk before the next is shown."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Literal, TypeAlias

from vdistill.database import Database
from vdistill.database.people import Answered
from vdistill.errors import VdistillError
from vdistill.judge.person import PROMPT, Person
from vdistill.judge.questions import REPEAT_EVERY, Memory, Planned, turned
from vdistill.label.questions import Asked, judgment_of, key_of, shown_in
from vdistill.label.registry import Registry
from vdistill.records import Answer, Judgment, Question, Rejection, ShownImage

Choice: TypeAlias = "int | Literal['none', 'skip']"
USUAL_SECONDS = 5.0  # of an answer, before there are any


class MovedOnError(VdistillError):
    """The question is not the one that is being asked."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A question as the page shows it.  key: under which its answer is stored, and by which the page names it."""

    key: str
    planned: Planned

    @property
    def question(self) -> Question:
        """Query and images."""
        return self.planned.asked.question


@dataclass(frozen=True, slots=True)
class Entry:
    """What was said to a question; `answered` is None where it was skipped.  repeated: the answer before it, if any."""

    shown: Shown
    choice: Choice
    answered: Answered | None
    repeated: Judgment | Rejection | None


@dataclass
class Sitting:
    """Up to `count` answers of a person. For one thread.

    agenda: questions that are taken as they are needed.  shown: finds an image by (item, content) as it is now.
    """

    person: Person
    database: Database
    agenda: Iterator[Planned]
    memory: Memory
    registry: Registry
    shown: Callable[[str, str], ShownImage | None]
    count: int
    seed: int = 0
    history: list[Entry] = field(default_factory=list)
    current: Shown | None = None
    _waiting: deque[Shown] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self.current = self._next()

    @property
    def done(self) -> int:
        """How many answers were given."""
        return sum(entry.answered is not None for entry in self.history)

    @property
    def skipped(self) -> int:
        """How many questions were skipped."""
        return len(self.history) - self.done

    @property
    def seconds(self) -> float:
        """What an answer takes."""
        known = [entry.answered.seconds for entry in self.history if entry.answered is not None]
        return median(known) if known else USUAL_SECONDS

    def answer(self, key: str, choice: Choice, seconds: float) -> None:
        """Store what was said to the question that is being asked, and go on to the next.

        The same answer sent once more changes nothing. Raises MovedOnError where another question is being asked, and
        VdistillError where the answer cannot be stored; then nothing has changed.
        """
        if self.history and self.history[-1].shown.key == key and self._is_other(key):
            if self.history[-1].choice != choice:
                raise MovedOnError("this question has been answered", hint="go back to it to change the answer")
            return
        if self.current is None or self._is_other(key):
            raise MovedOnError("this question is no longer being asked", hint="look at the present one")
        shown, answered = self.current, None
        repeated = self.memory.first(shown.planned.identity)
        if choice != "skip":
            answered = self._answered(shown, choice, seconds)
            self.database.add_answer(answered, self.registry.rows([shown_in(answered.said)]))
            self.registry.stored([shown_in(answered.said)])
            self.memory.add(answered.said)
        self.history.append(Entry(shown, choice, answered, repeated))
        self.current = self._next()

    def undo(self, key: str) -> None:
        """Take the last answer back, and ask its question again.

        key: of the last question, so that a request that is sent twice does it once.
        """
        if not self.history or self.history[-1].shown.key != key:
            raise MovedOnError("there is no such answer to take back", hint="look at the present question")
        last = self.history[-1]
        if last.answered is not None:
            self.database.people.withdraw(last.answered.key)
            self.memory.remove(last.answered.said, last.repeated)
        self.history.pop()
        if self.current is not None:
            self._waiting.appendleft(self.current)
        self.current = last.shown

    def _is_other(self, key: str) -> bool:
        return self.current is None or self.current.key != key

    def _answered(self, shown: Shown, choice: int | Literal["none"], seconds: float) -> Answered:
        asked, count = shown.planned.asked, len(shown.question.images)
        said: Judgment | Rejection
        one_hot = tuple(float(place == choice) for place in range(count))
        said = judgment_of(asked, Answer(one_hot), self.person.name)
        if choice == "none":
            said = Rejection(said.query, said.items, said.sha256, said.teacher, said.split, said.pool, PROMPT)
        return Answered(shown.key, PROMPT, said, shown.planned.reason, seconds)

    def _next(self) -> Shown | None:
        if self.done >= self.count:
            return None
        if self._waiting:
            return self._waiting.popleft()
        planned = self._repeat() or next((one for one in self.agenda if not self._known(one)), None)
        return None if planned is None else Shown(key_of(self.person, planned.asked.question), planned)

    def _known(self, planned: Planned) -> bool:
        """Whether the question was asked before; if it was skipped, in this sitting."""
        asked = planned.identity
        return self.memory.knows(asked) or any(entry.shown.planned.identity == asked for entry in self.history)

    def _repeat(self) -> Planned | None:
        """An earlier question once more, where it is time for one."""
        repeats = sum(entry.shown.planned.reason == "repeat" for entry in self.history)
        if (self.done - repeats) // REPEAT_EVERY <= repeats:
            return None
        skipped = {entry.shown.planned.identity for entry in self.history if entry.answered is None}
        for said in self.memory.to_repeat(self.seed, self.done):
            images = [self.shown(*pair) for pair in zip(said.items, said.sha256, strict=True)]
            if not all(images):
                continue
            question = turned(Question(said.query, tuple(image for image in images if image)), self.seed)
            planned = Planned(Asked(question, said.split, said.pool), "repeat")
            if planned.identity not in skipped:
                return planned
        return None
