"""The seam between the schedule and whoever answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from vdistill.records import Answer, Failure, Question, ShownImage


@dataclass(frozen=True, slots=True)
class Price:
    """What one call is expected to cost. usd: 0 where it costs no money; None where nobody knows the price."""

    tokens: int = 0
    usd: float | None = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Written:
    """What a model wrote, line by line, and what it cost."""

    lines: tuple[str, ...]
    tokens: int = 0
    cost_usd: float = 0.0


@runtime_checkable
class Writer(Protocol):
    """A teacher that can also think of shoppers (`--generate-queries`)."""

    def write(self, images: Sequence[ShownImage], count: int) -> Written | Failure:
        """About `count` searches of shoppers whom these pictures suit. Raises TeacherError as `Teacher.ask` does."""
        ...


@runtime_checkable
class Local(Protocol):
    """A teacher that works on this machine, and takes its time.

    Attributes:
        machine: what does the work, in words: "this CPU".
    """

    machine: str

    def needs(self) -> list[str]:
        """What has to come before the first answer, one line each: a download, for example."""
        ...

    def price(self, question: Question) -> Price:
        """As of any teacher; `seconds` are this machine's."""
        ...


@runtime_checkable
class Teacher(Protocol):
    """Someone who can say which of a few images fits a query best.

    Attributes:
        name: part of the key under which each answer is stored, so it must change when the answers would.
        prompt: version of the wording (and sampling) that the answers depend on; "" where there is none. A teacher
            that knows it only with its first answer has an attribute `settled`, False until then: it is asked one
            question alone first.
        batch_size: how many questions one `ask` likes to have (in-process models batch; an API takes one).
        concurrency: how many `ask` calls may run at once, from different threads.
        looks: whether the pictures are opened. One that only reads text or a table is never told of broken pictures.
    """

    name: str
    batch_size: int
    concurrency: int
    looks: bool

    @property
    def prompt(self) -> str:
        """See above; an attribute does."""
        ...

    def ask(self, questions: Sequence[Question]) -> list[Answer | Failure]:
        """Answer each question, in order; one that brings no readable answer is a Failure, never a guess.

        Raises TeacherError when going on is useless (wrong key, unknown model).
        """
        ...

    def price(self, question: Question) -> Price:
        """What asking this question would cost, for `--dry-run` and `--max-cost`. Nobody is asked for it."""
        ...

    def close(self) -> None:
        """Give back connections and memory."""
        ...
