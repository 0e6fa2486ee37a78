"""What a teacher's answers have taken so far, by which the calls to come are priced instead of by estimates.

How much a model thinks is known only from its answers. A plan within `max_cost` goes by the first few of them, which
are remembered: later runs of the same command then plan the same calls, whatever the workspace holds by then.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from vdistill.database import Database
from vdistill.label.teacher import Teacher

LEAST = 4  # with fewer, a mean says less than an estimate


@dataclass(frozen=True, slots=True)
class Habits:
    """The means of some answers.

    shown: tokens of a call besides thoughts, for each image that it shows.  thought_tokens: of an answer.
    by_images: as `shown`, but of a whole call, for each number of images that calls had.
    """

    answers: int
    shown: float
    thought_tokens: float
    by_images: dict[str, float]

    def besides(self, images: int) -> float:
        """The tokens of a call with so many images, besides thoughts."""
        return self.by_images.get(str(images), self.shown * images)


@runtime_checkable
class Calibrated(Protocol):
    """A teacher whose prices can go by its answers.

    Attributes:
        thoughts: the most tokens that it may think before an answer; 0 where it does not think.
    """

    thoughts: int

    def learn(self, habits: Habits | None) -> None:
        """Price calls by these habits from now on; None: by estimates, with all thoughts that are allowed."""
        ...


def habits_of(database: Database | None, teacher: Teacher) -> Habits | None:
    """What this teacher's answers have taken; None before there are enough of them."""
    rows = database.used(teacher.name, teacher.prompt) if database else []
    answers = sum(count for _, count, _, _ in rows)
    if answers < LEAST:
        return None
    thought = sum(count * thoughts for _, count, _, thoughts in rows) / answers
    by_images = {str(images): tokens - thoughts for images, _, tokens, thoughts in rows}
    shown = sum(count * (tokens - thoughts) / images for images, count, tokens, thoughts in rows) / answers
    return Habits(answers, shown, thought, by_images)


def calibrate(teacher: Teacher, database: Database | None, say: Callable[[str], None] = lambda _: None) -> None:
    """Let the teacher's prices go by its answers so far, and say what they go by where it thinks."""
    if not isinstance(teacher, Calibrated):
        return
    habits = habits_of(database, teacher)
    teacher.learn(habits)
    if not teacher.thoughts:
        return
    if habits is None:
        say(
            f"how much {teacher.name} thinks is not known yet: each answer is priced with all {teacher.thoughts:,} "
            "tokens of thought that it may take; after some answers the plan goes by them"
        )
        return
    say(
        f"priced by the last {habits.answers:,} answers of {teacher.name}, which thought {habits.thought_tokens:,.0f} "
        "tokens each"
    )


def recall(teacher: Teacher, database: Database | None) -> bool:
    """Let the teacher's prices go by the first answers ever, for a plan; whether they are known, or not needed."""
    if not isinstance(teacher, Calibrated) or not teacher.thoughts:
        return True
    stored: dict[str, Any] | None = database.setting(setting_of(teacher)) if database else None
    teacher.learn(None if stored is None else Habits(**stored))
    return stored is not None


def setting_of(teacher: Teacher) -> str:
    """The setting that keeps the habits which plans go by."""
    return f"habits/{teacher.name}/{teacher.prompt}"
