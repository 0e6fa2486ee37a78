"""`label` with several teachers: the core is asked of all, then each gets its share of the plan."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import partial
from typing import Any

from vdistill.database import Database
from vdistill.errors import TeacherError, VdistillError
from vdistill.evaluation.admissible import JURIES, juries_of
from vdistill.label import ask_mode, habits, paraphrase
from vdistill.label.asking import Asker, Tally
from vdistill.label.jury.asking import PATIENCE, JuryAsker
from vdistill.label.jury.members import Member, said_by
from vdistill.label.jury.parts import Listener, Part, Seating, longest, sizes
from vdistill.label.jury.planning import Planner
from vdistill.label.jury.report import rows, told
from vdistill.label.jury.shares import Offer
from vdistill.label.paraphrase import Paraphraser
from vdistill.label.purse import Purse
from vdistill.label.questions import Asked, Keyed
from vdistill.label.registry import NewSides
from vdistill.label.run import LabelReport, guides_of, refuse_while_batched, remember_split
from vdistill.label.schedules import Guides
from vdistill.label.teacher import MayAnswerHard
from vdistill.label.turns import take_turns
from vdistill.records import Answer, Judgment
from vdistill.workspace import Workspace


@dataclass(frozen=True, slots=True)
class JuryRun:
    """As `LabelRun`; choose_ask: whether each teacher's first answers decide how it is asked."""

    purse: Purse
    say: Callable[[str], None]
    advance: Callable[[Tally, int], None] = lambda tally, planned: None
    rewording: Callable[[int, int, int], None] = lambda calls, planned, failed: None
    choose_ask: bool = False


@dataclass
class JuryAtWork:
    """A jury at work.  planned: calls in all, for progress.  core: what was said to the common questions."""

    planner: Planner
    database: Database
    run: JuryRun
    members: list[Member]
    planned: int = 0
    core: list[Judgment] = field(default_factory=list)

    @classmethod
    def open(cls, planner: Planner, database: Database, run: JuryRun) -> JuryAtWork:
        """The teachers, each with its own count of what it did."""
        stage, members = planner.full, []
        sides = NewSides(stage.sides)
        for number, teacher in enumerate(planner.jury.teachers):
            member = planner.member(number)
            member.opened = Asker(
                teacher, database, run.purse, member.concurrency, _nobody_told, sides, member.tally, patience=PATIENCE
            )
            members.append(member)
        return cls(planner, database, run, members)

    @property
    def tally(self) -> Tally:
        """Of all together."""
        return total(member.tally for member in self.members)

    def said_to(self, asked: Sequence[Asked]) -> tuple[list[Judgment], bool]:
        """As `said_by`, of all of them."""
        return said_by(self.members, asked, self.database)

    def ask_core(self) -> None:
        """Ask all of them the common questions, one teacher after the other, and find out how each is best asked."""
        for number, member in enumerate(self.members):
            core = self.planner.core_of(number)
            try:
                if self.run.choose_ask:
                    self._choose(member, core)
                member.asker.ask([member.asked(one) for one in core])
            except TeacherError as error:
                self._lose(member, error)
            self.run.advance(self.tally, self.planned)
        self.core, _ = self.said_to(self.planner.core)

    def _choose(self, member: Member, core: Sequence[Asked]) -> None:
        """Ask for rankings where its choices come without probabilities."""
        teacher = member.teacher
        if not isinstance(teacher, MayAnswerHard):
            return
        mode = ask_mode.remembered(self.database, teacher)
        answers: list[Answer] = []
        for one in core[: ask_mode.TELLING] if mode is None else ():
            said = member.asker.ask([one])
            answers += said.values()
            mode = ask_mode.told(teacher, answers)
            if mode is not None or not said:
                break
        if mode is not None:
            self.database.remember(ask_mode.setting_of(teacher), mode)
        if mode == "rank":
            member.ask = "rank"
            self.run.say(f"{member.name} is asked to rank, which says more without probabilities")

    def _lose(self, member: Member, error: VdistillError) -> None:
        member.why = error.message
        others = [one.name for one in self.members if not one.gone]
        if not others:
            reasons = "; ".join(f"{one.name}: {one.why}" for one in self.members)
            raise TeacherError(f"no teacher of the jury can be asked: {reasons}", hint=error.hint) from error
        self.run.say(f"{member.name} is not asked any more, {' and '.join(others)} instead: {error.message}")

    def decide(self) -> tuple[list[float], list[Offer]]:
        """The shares, those of an earlier run of the same plan where it got as far, and what they go by."""
        offers, stored = self.planner.offers(self.core, self.members), self._stored()
        given = stored.get("shares") or self.planner.shares(offers)
        if "shares" not in stored and len(self.core) == self.planner.core_answers:
            self.database.remember(self._setting, stored | {"shares": given})
        return given, offers

    def ask_rest(self, parts: Sequence[Part], guides: Guides) -> None:
        """Ask each part, to its end, before the next begins."""
        self.planned, say = self.planner.core_calls, self.run.say
        asker = JuryAsker(self.members, self.database, say, partial(_advance, self), self.absent())
        listener = Listener(lambda jurors, asked: said_by(jurors, asked, self.database), self.core)
        try:
            for sides, seating in listener.in_turn(parts, self.members, guides, self.planner.jury):
                self.planned += seating.calls
                asking = partial(_ask_step, asker, seating)
                take_turns(sides, asking, self.database.answers)
        finally:
            self.note_absent()
        if asker.left:
            gone = " and ".join(member.name for member in self.members if member.gone)
            say(f"{asker.left:,} questions for {gone} are left: the same command asks them once that is possible again")

    def absent(self) -> list[str]:
        """Names of those who were gone in an earlier run of the same plan."""
        return list(self._stored().get("absent", []))

    def note_absent(self) -> None:
        """Remember for whom others stood in, so that these are not asked again."""
        names = {*self.absent(), *(member.name for member in self.members if member.gone)}
        if names != {*self.absent()}:
            self.database.remember(self._setting, self._stored() | {"absent": sorted(names)})

    def _stored(self) -> dict[str, Any]:
        return self.database.setting(self._setting) or {}

    @property
    def _setting(self) -> str:
        return f"jury/{self.planner.identity}"


def _ask_step(asker: JuryAsker, seating: Seating, step: Iterable[Keyed]) -> None:
    asker.ask_each(seating.seats(step))


def total(tallies: Iterable[Tally]) -> Tally:
    """The sum of several."""
    found = Tally()
    for one in tallies:
        for column in fields(Tally):
            setattr(found, column.name, getattr(found, column.name) + getattr(one, column.name))
    return found


def label_jury(workspace: Workspace, planner: Planner, run: JuryRun) -> LabelReport:
    """Ask a jury what was prepared, and commit each answer as it comes.

    Raises VdistillError where nobody of it can be asked any more; what was answered before is kept.
    """
    started, say, stage = time.monotonic(), run.say, planner.full
    guides = guides_of(workspace, stage, say)
    with workspace.lock("label"), Database.open(workspace.database) as database:
        remember_split(database, stage.settings)
        for teacher in planner.jury.teachers:
            refuse_while_batched(database, teacher)
            habits.calibrate(teacher, database)
        stage.register(database)
        at_work = JuryAtWork.open(planner, database, run)
        at_work.planned = stage.most_calls
        at_work.ask_core()
        _learn_prices(at_work)
        given, offers = at_work.decide()
        images = planner.full.plan.images_per_call
        known = rows(at_work.members, given, offers, at_work.core, images)
        say(told(known, len(planner.core), pointwise=planner.pointwise))
        parts = planner.rest(given)
        for part in parts:
            part.stage.register(database)
        _remember_jury(database, [member.name for member in at_work.members])
        stage = longest(parts)
        paraphrase.keep_given(database, stage.queries, say)
        rewriter = planner.jury.rewriter
        writer = Paraphraser(rewriter, database, run.purse, stage.settings.concurrency, say, run.rewording)
        writer.write(stage, paraphrase.count_for(rewriter, stage.settings.paraphrases))
        at_work.ask_rest(parts, guides)
        found = rows(at_work.members, given, planner.offers(at_work.core, at_work.members), at_work.core, images)
    tally = at_work.tally
    for member in at_work.members:
        if member.tally.failed:
            failed, calls = member.tally.failed, member.tally.calls
            say(f"{failed:,} of {calls:,} calls of {member.name} failed, the last one: {member.asker.last_failure}")
    queries, items = sizes(parts)
    return LabelReport(
        planner.jury.name,
        queries,
        items,
        **asdict(tally),
        seconds=time.monotonic() - started,
        teachers=found,
        **writer.tally.to_json(),
    )


def _remember_jury(database: Database, names: list[str]) -> None:
    """Together they are one judge of the held-out queries."""
    known = juries_of(database)
    if known[-1:] != [names]:
        database.remember(JURIES, [*(some for some in known if some != names), names])


def _nobody_told(tally: Tally) -> None:
    """The jury tells of all together."""


def _advance(at_work: JuryAtWork) -> None:
    at_work.run.advance(at_work.tally, at_work.planned)


def _learn_prices(at_work: JuryAtWork) -> None:
    """Price what thinks by its first answers; remembered, so that later runs plan the same."""
    for number, teacher in enumerate(at_work.planner.jury.teachers):
        if not isinstance(teacher, habits.Calibrated) or not teacher.thoughts:
            continue
        if not habits.recall(teacher, at_work.database):
            known = habits.habits_of(at_work.database, teacher)
            if known is not None:
                at_work.database.remember(habits.setting_of(teacher), asdict(known))
                habits.recall(teacher, at_work.database)
        at_work.planner.reprice(number)
