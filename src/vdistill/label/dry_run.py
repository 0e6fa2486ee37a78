"""`label --dry-run`: the calls that would be made, as far as the stored answers tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from vdistill.database import Database
from vdistill.label import ask_mode, paraphrase
from vdistill.label.purse import Purse
from vdistill.label.run import LabelReport, LabelRun, both_sides, guides_of
from vdistill.label.stage import Stage
from vdistill.label.teacher import Price
from vdistill.label.turns import Side
from vdistill.records import Question
from vdistill.workspace import Workspace


@dataclass
class Forecast:
    """How many answers are stored, which questions will be asked, and how many more may follow from their answers."""

    reused: int = 0
    questions: list[Question] = field(default_factory=list)
    open_calls: int = 0

    def follow(self, side: Side, database: Database | None) -> None:
        """Follow a side's rounds as far as stored answers lead; after that count all calls that are left."""
        while side.waiting():
            part = side.take(side.waiting())
            answers = database.answers([key for key, _ in part]) if database else {}
            side.note(part, answers)
            self.reused += len(answers)
            new = [one.question for key, one in part if key not in answers]
            self.questions += new
            if new:
                self.open_calls += side.schedule.left
                return


def dry_run(workspace: Workspace | None, stage: Stage, run: LabelRun, *, choose_ask: bool = False) -> LabelReport:
    """What `label` would do and cost; nothing is asked, nothing is written.

    Exact but for what depends on answers that are not known yet: of that, the most there can be.
    choose_ask: as for `label`, by what an earlier run found out.
    """
    forecast, teacher, say = Forecast(), run.teacher, run.say
    with Database.existing(workspace) as database:
        if choose_ask and database:
            stage = ask_mode.in_mode(stage, teacher, ask_mode.remembered(database, teacher), say)
        for side in both_sides(stage, guides_of(workspace, stage, say), teacher):
            forecast.follow(side, database)
        seconds = database.pace(teacher.name) if database else None
        wanted = paraphrase.wanted(database, stage, paraphrase.count_for(teacher, stage.settings.paraphrases))
    purse, threads = replace(run.purse), max(1, min(stage.settings.concurrency, teacher.concurrency))
    written, writing = paraphrase.foreseen(teacher, wanted, purse, threads)
    prices = [teacher.price(question) for question in forecast.questions]
    example = teacher.price(stage.example(stage.plan.images_per_call))
    usual = max(prices, key=lambda price: price.tokens, default=example)
    prices = _affordable([*prices, *[usual] * forecast.open_calls], purse)
    if any(price.usd is None for price in prices):
        say(f"the price of {teacher.name} is unknown, so cost_usd is 0: see [prices] in docs/teachers.md")
    calls = len(prices)
    if seconds is None:
        seconds = usual.seconds / threads
    return LabelReport(
        teacher=teacher.name,
        queries=len(stage.queries),
        items=len(stage.items),
        calls=calls + written.calls,
        judgments=calls,
        reused=forecast.reused,
        images_shown=sum(len(question.images) for question in forecast.questions[:calls])
        + max(calls - len(forecast.questions), 0) * stage.plan.images_per_call,
        tokens=sum(price.tokens for price in prices) + written.tokens,
        cost_usd=sum(price.usd or 0.0 for price in prices) + written.cost_usd,
        seconds=calls * seconds + writing,
        **written.to_json(),
    )


def _affordable(prices: Sequence[Price], purse: Purse) -> list[Price]:
    """As many of the calls as the caps allow."""
    usd = 0.0
    for count, price in enumerate(prices):
        usd += price.usd or 0.0
        if not purse.affords(count + 1, usd):
            return list(prices[:count])
    return list(prices)
