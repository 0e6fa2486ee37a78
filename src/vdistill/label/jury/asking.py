"""Asks the teachers of a jury at the same time, within one purse.

A teacher that cannot be asked, or that keeps failing, is not asked any more: its questions go to those who stand in.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from vdistill.database import Database
from vdistill.errors import TeacherError, VdistillError
from vdistill.label.asking import WINDOW
from vdistill.label.in_threads import InThreads
from vdistill.label.jury.members import Member
from vdistill.label.questions import Asked, Batch
from vdistill.records import Answer, Failure

PATIENCE = 10  # failures in a row, after which others are asked instead
AHEAD = 4096  # questions that wait for slower teachers, at most


@dataclass(frozen=True, slots=True)
class Seat:
    """A question, who is asked it, and then who stands in, in order."""

    asked: Asked
    order: tuple[Member, ...]


@dataclass
class Line:
    """The questions that wait for one teacher. taken: those that were taken last."""

    member: Member
    seats: deque[Seat] = field(default_factory=deque)
    taken: list[Seat] = field(default_factory=list)
    failed: list[Seat] = field(default_factory=list)  # without an answer between

    def peek(self) -> Asked | None:
        """As of `Fresh`."""
        return self.member.asked(self.seats[0].asked) if self.seats else None

    def take(self) -> Asked:
        """As of `Fresh`."""
        seat = self.seats.popleft()
        self.taken.append(seat)
        return self.member.asked(seat.asked)


@dataclass(frozen=True)
class Job:
    """Some questions for one teacher."""

    line: Line
    batch: Batch
    seats: Sequence[Seat]
    settled: bool


Said = tuple[Sequence[Answer | Failure] | VdistillError, float]  # answers, or why there will be none, and seconds


class JuryAsker:
    """Asks members in threads; every answer is in the database before `ask_each` returns.

    absent: names of those who were gone in an earlier run: who stood in for them is not asked again.
    left: how many questions nobody was left to answer.
    """

    left: int = 0

    def __init__(
        self,
        members: Sequence[Member],
        database: Database,
        say: Callable[[str], None],
        advance: Callable[[], None],
        absent: Collection[str] = (),
    ) -> None:
        self.members, self._database, self._say, self._advance = members, database, say, advance
        self._absent = frozenset(absent)
        self._lines = {id(member): Line(member) for member in members}
        self._stream: Iterator[Seat] = iter(())

    def ask_each(self, seats: Iterable[Seat]) -> None:
        """Ask what is not stored. Raises TeacherError where no teacher is left; the answers so far are kept."""
        self._stream = iter(seats)
        if all(member.gone for member in self.members):
            raise self._nobody()
        InThreads(
            sum(member.threads for member in self.members) or 1,
            take=self._take,
            ask=_asked,
            keep=self._keep,
            check=self._check,
        ).run()
        while self._read_on():  # the caps are reached: what is stored still counts
            self._forget()
        self._forget()

    def _take(self, running: Collection[Job]) -> Job | None:
        """Something for the teacher with the most threads free; None where nobody can be asked now."""
        busy = {key: sum(job.line is line for job in running) for key, line in self._lines.items()}
        lines = [line for line in self._lines.values() if not line.member.gone]
        for line in sorted(lines, key=lambda line: busy[id(line.member)] / line.member.threads):
            if busy[id(line.member)] >= line.member.threads:
                continue
            while not line.seats and sum(len(one.seats) for one in lines) < AHEAD and self._read_on():
                pass
            line.taken = []
            batch = line.member.asker.affordable(line, [job.batch for job in running])
            if batch is not None:
                return Job(line, batch, line.taken, line.member.settled)
        return None

    def _read_on(self) -> bool:
        """Whether there was more to read; what has no answer yet waits for its teacher from now on."""
        part = list(islice(self._stream, WINDOW))
        self._place(part)
        return bool(part)

    def _place(self, seats: Sequence[Seat]) -> None:
        wanted = [(seat, *self._who(seat)) for seat in seats]
        keys = [[member.key(seat.asked) for member in able] for seat, _, able in wanted]
        known = self._database.answered([key for some in keys for key in some])
        for (seat, member, able), some in zip(wanted, keys, strict=True):
            heard = next((one for one, key in zip(able, some, strict=True) if key in known), None)
            if heard is not None:
                heard.asker.tally.reused += 1
            elif member is not None:
                self._lines[id(member)].seats.append(seat)
            else:
                self.left += 1

    def _who(self, seat: Seat) -> tuple[Member | None, Sequence[Member]]:
        """Who is to be asked, None where all are gone; and whose answers will do."""
        member = next((one for one in seat.order if not one.gone), None)
        first = seat.order[0]
        return member, seat.order if first.gone or first.name in self._absent else seat.order[:1]

    def _keep(self, done: Sequence[tuple[Job, Said]]) -> None:
        for job, (said, seconds) in done:
            line, member = job.line, job.line.member
            if isinstance(said, VdistillError):
                self._lose(line, said.message, job.seats)
                continue
            member.asker.store([(job.batch, said)])
            member.seconds += seconds / member.threads
            failed = [seat for seat, one in zip(job.seats, said, strict=True) if isinstance(one, Failure)]
            line.failed = [*line.failed, *failed] if member.asker.failures_in_a_row else []
            if member.asker.failures_in_a_row >= PATIENCE:
                self._lose(line, f"it failed {PATIENCE} times in a row: {member.asker.last_failure}", line.failed)
            elif not job.settled:  # its keys may be others now
                waiting, line.seats = list(line.seats), deque()
                self._place(waiting)
        self._advance()

    def _lose(self, line: Line, why: str, seats: Sequence[Seat]) -> None:
        """Hand on what a teacher that is gone was to answer."""
        if not line.member.gone:
            line.member.why = why
            self._say_gone(line.member, why)
        waiting, line.seats, line.failed = [*seats, *line.seats], deque(), []
        self._place(waiting)

    def _say_gone(self, lost: Member, why: str) -> None:
        others = [member for member in self.members if not member.gone]
        alike = [member.name for member in others if member.scores == lost.scores]
        if alike:
            self._say(f"{lost.name} is not asked any more, {' and '.join(alike)} instead: {why}")
        elif others:
            does = "scores images by themselves" if lost.scores else "compares images"
            self._say(f"{lost.name} is not asked any more, and nobody else {does}, so its questions are left: {why}")

    def _check(self) -> None:
        if all(member.gone for member in self.members):
            raise self._nobody()

    def _nobody(self) -> TeacherError:
        reasons = "; ".join(f"{member.name}: {member.why}" for member in self.members)
        return TeacherError(
            f"no teacher of the jury can be asked any more: {reasons}",
            hint="fix the cause and run the same command again; the answers so far are kept",
        )

    def _forget(self) -> None:
        for line in self._lines.values():
            line.seats.clear()


def _asked(job: Job) -> Said:
    """In any thread."""
    started = time.monotonic()
    try:
        return job.line.member.asker.answers_to(job.batch), time.monotonic() - started
    except VdistillError as error:
        return error, time.monotonic() - started
