"""Where jobs are handed in and their results picked up: the seam between a server and files on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from vdistill.database.batch_jobs import Job
from vdistill.label.batch.files import Lines, Size


@dataclass(frozen=True, slots=True)
class Ended:
    """A job that is over.

    lines: of its results.  whole: whether every question was processed; else those without a line were not.
    reason: why it brought less than it should have.
    """

    lines: Sequence[str]
    whole: bool = True
    reason: str = ""


class Desk(Protocol):
    """Takes jobs that are written down as planned, and writes down each step before the next one.

    Attributes:
        place: what it is, for the user.
        most: how much one job may hold.
    """

    place: str
    most: Size

    def submit(self, name: str, lines: Lines) -> None:
        """Hand a job in."""
        ...

    def settle(self, job: Job) -> None:
        """Find out what became of a job that a killed process was handing in."""
        ...

    def ended(self, job: Job) -> Ended | None:
        """The results of a job; None while it is under way."""
        ...

    def told(self, jobs: Sequence[Job]) -> str:
        """What the user should know about jobs that are under way."""
        ...

    def close(self) -> None:
        """Release connections."""
        ...
