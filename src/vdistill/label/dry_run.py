"""`label --dry-run`: the plan that would run, walked with the answers that are stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from vdistill.database import Database
from vdistill.label.asking import Tally
from vdistill.label.purse import Purse
from vdistill.label.run import LabelReport, both_sides, guides_of, report
from vdistill.label.stage import Stage
from vdistill.label.teacher import Price, Teacher
from vdistill.label.turns import Side
from vdistill.records import Answer, Question
from vdistill.workspace import Workspace

Stored = Callable[[Sequence[str]], Mapping[str, Answer]]


@dataclass
class Forecast:
    """What is answered already, what is certainly asked, and how many calls more there may be, as answers tell."""

    reused: int = 0
    questions: list[Question] = field(default_factory=list)
    open_calls: int = 0

    def walk(self, side: Side, stored: Stored) -> None:
        """Follow a side's rounds as far as stored answers lead; what comes after that is at most what is left."""
        while side.waiting():
            part = side.take(side.waiting())
            answers = stored([key for key, _ in part])
            side.hear(part, answers)
            self.reused += len(answers)
            new = [one.question for key, one in part if key not in answers]
            self.questions += new
            if new:
                self.open_calls += side.schedule.left
                return


def dry_run(
    workspace: Workspace | None, stage: Stage, teacher: Teacher, purse: Purse, say: Callable[[str], None]
) -> LabelReport:
    """What `label` would do and cost; nothing is asked, nothing is written.

    Exact but for what depends on answers that are not known yet: of that, the most there can be.
    """
    forecast = Forecast()
    with _stored(workspace) as (stored, pace_of):
        for side in both_sides(stage, guides_of(workspace, stage, say), teacher):
            forecast.walk(side, stored)
        pace = pace_of(teacher.name)
    prices = [teacher.price(question) for question in forecast.questions]
    usual = max(
        prices, key=lambda price: price.tokens, default=teacher.price(stage.example(stage.plan.images_per_call))
    )
    prices += [usual] * forecast.open_calls
    prices = _affordable(prices, purse)
    if any(price.usd is None for price in prices):
        say(f"nobody says what {teacher.name} costs, so cost_usd is 0: see [prices] in docs/teachers.md")
    calls = len(prices)
    tally = Tally(
        calls=calls,
        judgments=calls,
        reused=forecast.reused,
        images_shown=sum(len(question.images) for question in forecast.questions[:calls])
        + max(calls - len(forecast.questions), 0) * stage.plan.images_per_call,
        tokens=sum(price.tokens for price in prices),
        cost_usd=sum(price.usd or 0.0 for price in prices),
    )
    workers = max(1, min(stage.settings.concurrency, teacher.concurrency))
    of_a_call = usual.seconds / workers if pace is None else pace
    return report(stage, teacher.name, tally, calls * of_a_call)


@contextmanager
def _stored(workspace: Workspace | None) -> Iterator[tuple[Stored, Callable[[str], float | None]]]:
    """How to look up stored answers, and a teacher's pace."""
    if workspace is None or not workspace.database.is_file():
        yield (lambda keys: {}), (lambda teacher: None)
        return
    with Database.open(workspace.database, write=False) as database:
        yield database.answers, database.pace


def _affordable(prices: Sequence[Price], purse: Purse) -> list[Price]:
    """As many of the calls as the caps reach for."""
    count, usd = 0, 0.0
    for price in prices:
        usd += price.usd or 0.0
        if not purse.affords(count + 1, usd):
            break
        count += 1
    return list(prices[:count])
