"""`label --dry-run` with several teachers: what each would be asked, and its price."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from vdistill.database import Database
from vdistill.label import ask_mode, habits, paraphrase
from vdistill.label.asking import WINDOW
from vdistill.label.jury.asking import Seat
from vdistill.label.jury.members import Member, said_by
from vdistill.label.jury.parts import Listener, Part, Seating, longest, sizes
from vdistill.label.jury.planning import Planner
from vdistill.label.jury.report import rows, told
from vdistill.label.jury.run import JuryRun, total
from vdistill.label.none_share import EVERY
from vdistill.label.purse import Purse
from vdistill.label.questions import Asked
from vdistill.label.run import LabelReport, guides_of
from vdistill.label.teacher import calls_of
from vdistill.label.turns import Side
from vdistill.records import Judgment
from vdistill.workspace import Workspace


@dataclass
class JuryForecast:
    """What is stored and what would be asked, by teacher, as far as the caps of `purse` allow."""

    planner: Planner
    members: Sequence[Member]
    purse: Purse
    database: Database | None
    open_calls: int = 0
    priced: bool = True
    full: bool = False

    def core(self) -> None:
        """Count the common questions."""
        for number, member in enumerate(self.members):
            self._count(Seat(one, (member,)) for one in self.planner.core_of(number))

    def follow(self, side: Side, seating: Seating) -> None:
        """Follow a side's rounds as far as stored answers lead; after that its calls that are left are open."""
        while count := side.waiting():
            new = self._count(seating.seats(one for one in side.take(count) if one is not None))
            side.note(lambda keys: {})
            if new:
                self.open_calls += side.schedule.left
                return

    def finish(self, part: Part) -> None:
        """Share the open calls of a part at the usual prices."""
        images, open_calls = self.planner.settings.images_per_call, self.open_calls
        self.open_calls = 0
        for place, share in zip(part.numbers, part.given, strict=True):
            member, usd = self.members[place], self.planner.price[place]
            for number in range(round(open_calls * share / (sum(part.given) or 1.0))):
                self._add(member, images, 1, usd, none=member.none and number % EVERY == 0)

    def said_to(self, members: Sequence[Member], asked: Sequence[Asked]) -> tuple[list[Judgment], bool]:
        """What is stored, as `said_by`."""
        return said_by(members, asked, self.database) if self.database else ([], False)

    def _count(self, seats: Iterator[Seat]) -> int:
        """How many of the questions are new."""
        new = 0
        while part := list(islice(seats, WINDOW)):
            keys = [seat.order[0].key(seat.asked) for seat in part]
            known = self.database.answered(keys) if self.database else set()
            for seat, key in zip(part, keys, strict=True):
                member = seat.order[0]
                if key in known:
                    member.tally.reused += 1
                    continue
                new += 1
                question = member.asked(seat.asked).question
                price = member.teacher.price(question)
                member.tally.tokens += price.tokens
                member.seconds += price.seconds / member.threads
                calls = calls_of(member.teacher, question)
                self._add(member, len(question.images), calls, price.usd, none=question.none)
        return new

    def _add(self, member: Member, images: int, calls: int, usd: float | None, *, none: bool) -> None:
        self.full = self.full or not self.purse.affords(calls, usd or 0.0)
        if self.full:
            return
        self.purse.pay(0, usd or 0.0, usd, calls)
        tally = member.tally
        tally.calls += calls
        tally.judgments += 1
        tally.images_shown += images
        tally.none_asked += none
        tally.cost_usd += usd or 0.0
        self.priced = self.priced and usd is not None


def plan_jury(workspace: Workspace | None, planner: Planner, run: JuryRun) -> LabelReport:
    """What `label_jury` would do and cost; nothing is asked, nothing is written.

    Shares that no core has told are equal. Where it depends on answers that are not known yet, it is the most that
    there can be.
    """
    say, purse = run.say, replace(run.purse)
    guides = guides_of(workspace, planner.full, say)
    with Database.existing(workspace) as database:
        members = [_member(planner, number, database, run) for number in range(len(planner.jury.teachers))]
        forecast = JuryForecast(planner, members, purse, database)
        forecast.core()
        core, _ = forecast.said_to(members, planner.core)
        stored = (database.setting(f"jury/{planner.identity}") if database else None) or {}
        offers = planner.offers(core)
        given = stored.get("shares") or planner.shares(offers if len(core) == planner.core_answers else [
            replace(offer, trust=None) for offer in offers
        ])  # fmt: skip
        images = planner.full.plan.images_per_call
        if core or not planner.core:
            say(told(rows(members, given, offers, core, images), len(planner.core), pointwise=planner.pointwise))
        else:
            say(f"{len(planner.core):,} questions that all are asked decide who gets how many of the calls after them; "
                "planned with equal shares")  # fmt: skip
        parts = planner.rest(given)
        stage, rewriter = longest(parts), planner.jury.rewriter
        wanted = paraphrase.wanted(database, stage, paraphrase.count_for(rewriter, stage.settings.paraphrases))
        written, writing = paraphrase.foreseen(rewriter, wanted, purse, max(1, min(8, rewriter.concurrency)))
        listener = Listener(forecast.said_to, core)
        for sides, seating in listener.in_turn(parts, members, guides, planner.jury):
            for side in sides:
                forecast.follow(side, seating)
            forecast.finish(seating.part)
        for member in members:
            pace = database.pace(member.name) if database else None
            member.seconds = member.seconds if pace is None else member.tally.judgments * pace
    for member, usd in zip(members, planner.price, strict=True):
        if usd is None:
            say(f"the price of {member.name} is unknown, so its cost_usd is 0: see [prices] in docs/teachers.md")
    tally = total(member.tally for member in members)
    queries, items = sizes(parts)
    return LabelReport(
        planner.jury.name,
        queries,
        items,
        calls=tally.calls + written.calls,
        judgments=tally.judgments,
        reused=tally.reused,
        none_asked=tally.none_asked,
        images_shown=tally.images_shown,
        tokens=tally.tokens + written.tokens,
        cost_usd=tally.cost_usd + written.cost_usd,
        seconds=max(member.seconds for member in members) + writing,
        teachers=rows(members, given, offers, core, images),
        **written.to_json(),
    )


def _member(planner: Planner, number: int, database: Database | None, run: JuryRun) -> Member:
    """A teacher as it would be asked."""
    member = planner.member(number)
    habits.calibrate(member.teacher, database, run.say)
    if run.choose_ask and database is not None and ask_mode.remembered(database, member.teacher) == "rank":
        member.ask = "rank"
    return member
