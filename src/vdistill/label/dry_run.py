"""`label --dry-run`: the calls that would be made, as far as the stored answers tell."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice

from vdistill.database import Database
from vdistill.label import ask_mode, habits, paraphrase
from vdistill.label.asking import WINDOW
from vdistill.label.none_share import EVERY
from vdistill.label.purse import Purse
from vdistill.label.run import LabelReport, LabelRun, both_sides, guides_of
from vdistill.label.stage import Stage
from vdistill.label.teacher import Price, Teacher, calls_of, pointwise
from vdistill.label.turns import Side
from vdistill.records import Question
from vdistill.workspace import Workspace


@dataclass
class Forecast:
    """How many answers are stored, which questions will be asked, and how many more may follow from their answers.

    Of the questions, which may be millions, only what counts is kept: how many the caps of `purse` allow, with their
    images, tokens and US dollars. usual: the price of the one with most tokens, at first of an example of `images`.
    offers_none: whether a share of them offers "none of these".
    """

    purse: Purse
    teacher: Teacher
    usual: Price
    images: int
    offers_none: bool = False
    none_asked: int = 0
    reused: int = 0
    calls: int = 0
    questions: int = 0
    images_shown: int = 0
    tokens: int = 0
    usd: float = 0.0
    open_calls: int = 0
    priced: bool = True  # whether all prices are known
    _all: bool = False  # whether a question has told its price
    _full: bool = False  # whether the caps are reached

    def follow(self, side: Side, database: Database | None) -> None:
        """Follow a side's rounds as far as stored answers lead; after that count all calls that are left."""
        while count := side.waiting():
            questions, new = (one for one in side.take(count) if one is not None), 0
            while part := list(islice(questions, WINDOW)):
                known = database.answered([key for key, _ in part]) if database else frozenset[str]()
                self.reused += sum(key in known for key, _ in part)
                for _, one in (keyed for keyed in part if keyed[0] not in known):
                    new += 1
                    self._ask(one.question)
            side.note(database.answers if database else lambda _: {})
            if new:
                self.open_calls += side.schedule.left
                return

    def finish(self) -> None:
        """Count the open calls at the usual price, as far as the caps allow."""
        known = self.questions
        for _ in range(self.open_calls):
            if self._full:
                break
            self._add(self.usual, self.images, self.images if pointwise(self.teacher) else 1)
        self.none_asked += (self.questions - known) // EVERY if self.offers_none else 0

    def _ask(self, question: Question) -> None:
        price = self.teacher.price(question)
        if not self._all or price.tokens > self.usual.tokens:
            self._all, self.usual = True, price
        before = self.questions
        self._add(price, len(question.images), calls_of(self.teacher, question))
        self.none_asked += question.none and self.questions > before

    def _add(self, price: Price, images: int, calls: int) -> None:
        """Count a question, if the caps allow it after all those before."""
        self._full = self._full or not self.purse.affords(self.calls + calls, self.usd + (price.usd or 0.0))
        if self._full:
            return
        self.calls += calls
        self.questions += 1
        self.images_shown += images
        self.tokens += price.tokens
        self.usd += price.usd or 0.0
        self.priced = self.priced and price.usd is not None


def dry_run(workspace: Workspace | None, stage: Stage, run: LabelRun, *, choose_ask: bool = False) -> LabelReport:
    """What `label` would do and cost; nothing is asked, nothing is written.

    Exact but for what depends on answers that are not known yet: of that, the most there can be.
    choose_ask: as for `label`, by what an earlier run found out.
    """
    teacher, say = run.teacher, run.say
    with Database.existing(workspace) as database:
        if choose_ask and database:
            stage = ask_mode.in_mode(stage, teacher, ask_mode.remembered(database, teacher), say)
        habits.calibrate(teacher, database, say)
        wanted = paraphrase.wanted(database, stage, paraphrase.count_for(teacher, stage.settings.paraphrases))
        purse, threads = replace(run.purse), max(1, min(stage.settings.concurrency, teacher.concurrency))
        written, writing = paraphrase.foreseen(teacher, wanted, purse, threads)
        images = stage.plan.images_per_call
        forecast = Forecast(purse, teacher, teacher.price(stage.example(images)), images, stage.settings.none)
        for side in both_sides(stage, guides_of(workspace, stage, say), teacher):
            forecast.follow(side, database)
        seconds = database.pace(teacher.name) if database else None
    forecast.finish()
    if not forecast.priced:
        say(f"the price of {teacher.name} is unknown, so cost_usd is 0: see [prices] in docs/teachers.md")
    if seconds is None:
        seconds = forecast.usual.seconds / threads
    return LabelReport(
        teacher=teacher.name,
        queries=len(stage.queries),
        items=len(stage.items),
        calls=forecast.calls + written.calls,
        judgments=forecast.questions,
        reused=forecast.reused,
        images_shown=forecast.images_shown,
        none_asked=forecast.none_asked,
        tokens=forecast.tokens + written.tokens,
        cost_usd=forecast.usd + written.cost_usd,
        seconds=forecast.questions * seconds + writing,
        **written.to_json(),
    )
