"""What a person is asked, in which order: disputed questions first, then the schedule's; some a second time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from vdistill.arrays import Ints
from vdistill.database.people import Reason
from vdistill.evaluation.agreement import Asked as Identity
from vdistill.evaluation.agreement import identity
from vdistill.label.questions import Asked
from vdistill.label.run import both_sides
from vdistill.label.schedules.plan import generator
from vdistill.label.stage import Stage
from vdistill.label.teacher import Teacher
from vdistill.label.turns import Answers, steps
from vdistill.records import Judgment, Question, Rejection

REPEAT_EVERY = 9  # new questions, after which an earlier one is asked again: one in ten
APART = 5  # at least so many questions lie between a question and its repeat


@dataclass(frozen=True, slots=True)
class Planned:
    """A question for a person, and why it is asked."""

    asked: Asked
    reason: Reason

    @property
    def identity(self) -> Identity:
        """Equal for the same images in another order."""
        question = self.asked.question
        return question.query, frozenset(image.sha256 for image in question.images)


def agenda(stage: Stage, person: Teacher, answers: Answers, disputed: Iterator[Planned]) -> Iterator[Planned]:
    """All questions: those of the schedule, with disputed ones in place of training ones as long as there are any.

    Held-out questions come in the schedule's order alone: chosen ones would make the student look worse than it is.
    One must be answered before the next is taken, as the schedule may listen to the answers.
    """
    for step in steps(both_sides(stage, {}, person), answers):
        for _, asked in step:
            first = next(disputed, None) if asked.split == "train" else None
            yield first or Planned(asked, "planned")
    yield from disputed


@dataclass
class Memory:
    """What a person has been asked so far, in this sitting and in earlier ones."""

    _times: dict[Identity, int] = field(default_factory=dict)
    _once: dict[Identity, Judgment | Rejection] = field(default_factory=dict)  # asked once, the latest last

    def add(self, said: Judgment | Rejection) -> None:
        """An answer was given."""
        asked = identity(said)
        self._times[asked] = self._times.get(asked, 0) + 1
        if self._times[asked] == 1:
            self._once[asked] = said
        else:
            self._once.pop(asked, None)

    def remove(self, said: Judgment | Rejection, first: Judgment | Rejection | None) -> None:
        """An answer was taken back. first: the answer that it repeated, if any."""
        asked = identity(said)
        self._times[asked] = self._times.get(asked, 1) - 1
        self._once.pop(asked, None)
        if first is not None:
            self._once[asked] = first

    def knows(self, asked: Identity) -> bool:
        """Whether the question was answered, in whatever order of its images."""
        return self._times.get(asked, 0) > 0

    def first(self, asked: Identity) -> Judgment | Rejection | None:
        """The answer to a question that was answered once."""
        return self._once.get(asked)

    def to_repeat(self, seed: int, number: int) -> list[Judgment | Rejection]:
        """Answers whose questions may be asked again, in random order: not the latest ones, and none twice."""
        old = list(self._once.values())[: -APART or None]
        return [old[place] for place in generator(seed, "repeat", str(number)).permutation(len(old))]


def turned(question: Question, seed: int) -> Question:
    """The same images in another order."""
    count = len(question.images)
    rng = generator(seed, "repeat", question.query, *(image.sha256 for image in question.images))
    order: Sequence[int] | Ints = range(count)
    while list(order) == list(range(count)):
        order = rng.permutation(count)
    return Question(question.query, tuple(question.images[place] for place in order), question.ask)
