"""How a teacher is asked where the user leaves it open: for rankings, if its choices come without probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from vdistill.label.asking import AnswerStore, Asker
from vdistill.label.questions import Asked
from vdistill.label.schedules import Guides
from vdistill.label.stage import Stage
from vdistill.label.teacher import MayAnswerHard, Teacher
from vdistill.records import Answer, Ask

TELLING = 3  # answers without readable probabilities after which none are expected


def chosen(stage: Stage, guides: Guides, asker: Asker, say: Callable[[str], None]) -> Stage:
    """The stage, asking in the way that suits the teacher.

    The first question of the plan tells, and its answer is kept like any other; what it told is remembered. Where it
    leaves that open (a stored answer, or one whose probabilities cannot be read, may be one-hot by chance), up to
    TELLING questions decide.
    """
    teacher = asker.teacher
    if not isinstance(teacher, MayAnswerHard):
        return stage
    mode = remembered(asker.database, teacher)
    if mode is None and stage.queries_of("train"):
        answers: list[Answer] = []
        for group in stage.training(guides).next_round([])[:TELLING]:
            said = asker.ask([Asked(stage.question(group), "train", group.pool)])
            answers += said.values()
            mode = told(teacher, answers)
            if mode is not None or not said:
                break
        if mode is not None:
            asker.database.remember(setting_of(teacher), mode)
        # As choices these questions come up in the plan again.
        asker.tally.reused = 0 if mode == "rank" else -asker.tally.judgments
    return in_mode(stage, teacher, mode, say)


def in_mode(stage: Stage, teacher: Teacher, mode: Ask | None, say: Callable[[str], None]) -> Stage:
    """The stage, asking for rankings where `mode` says so."""
    if mode != "rank":
        return stage
    say(f"{teacher.name} is asked to rank, which says more without probabilities (--ask best: one choice per call)")
    return replace(stage, settings=replace(stage.settings, ask="rank"))


def remembered(database: AnswerStore, teacher: Teacher) -> Ask | None:
    """How this teacher is best asked, where an earlier run found out."""
    known = database.setting(setting_of(teacher))
    return None if known is None else "rank" if known == "rank" else "best"


def best_known(database: AnswerStore | None, teacher: Teacher) -> Ask:
    """How this teacher is best asked: as an earlier run found out, else as the teacher itself knows by now."""
    known = remembered(database, teacher) if database else None
    hard = isinstance(teacher, MayAnswerHard) and teacher.hard_answers
    return known or ("rank" if hard else "best")


def note_hard(database: AnswerStore, teacher: Teacher) -> None:
    """Remember how to ask a teacher that knows by now whether it gives probabilities."""
    if (
        isinstance(teacher, MayAnswerHard)
        and teacher.hard_answers is not None
        and remembered(database, teacher) is None
    ):
        database.remember(setting_of(teacher), "rank" if teacher.hard_answers else "best")


def told(teacher: MayAnswerHard, answers: Sequence[Answer]) -> Ask | None:
    """How to ask a teacher that gave these answers: as it knows itself, else by their probabilities."""
    if teacher.hard_answers is not None:
        return "rank" if teacher.hard_answers else "best"
    if any(answer.soft for answer in answers):
        return "best"
    return "rank" if len(answers) >= TELLING else None


def setting_of(teacher: Teacher) -> str:
    """The setting that keeps it."""
    return f"ask/{teacher.name}/{teacher.prompt}"
