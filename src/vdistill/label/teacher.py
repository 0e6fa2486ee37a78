"""The protocol of everything that answers questions, and of what some teachers can do beyond it. Plug-ins import it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from vdistill.records import Answer, Failure, Question, ShownImage


@dataclass(frozen=True, slots=True)
class Price:
    """What one call is expected to cost. usd: 0 where it is free, None where the price is unknown."""

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
    """A teacher that can also write queries (`--generate-queries`)."""

    def write(self, images: Sequence[ShownImage], count: int) -> Written | Failure:
        """About `count` searches of shoppers who would like these images. Raises TeacherError as `Teacher.ask` does."""
        ...


@runtime_checkable
class Local(Protocol):
    """A teacher that runs on this machine, which takes a while.

    Attributes:
        machine: what it runs on, in words: "this CPU".
    """

    machine: str

    def needs(self) -> list[str]:
        """What has to happen before the first answer, one line each: a download, for example."""
        ...

    def price(self, question: Question) -> Price:
        """As `Teacher.price`, with `seconds` for this machine."""
        ...


@runtime_checkable
class MayAnswerHard(Protocol):
    """A teacher whose choices may come without probabilities.

    Attributes:
        hard_answers: whether they do; None before that is known.
    """

    hard_answers: bool | None


@runtime_checkable
class Selective(Protocol):
    """A teacher that can judge only some queries and items."""

    def unknown(self, queries: Sequence[str], items: Sequence[str]) -> tuple[list[str], list[str]]:
        """The queries and the item ids it cannot judge."""
        ...


@runtime_checkable
class Teacher(Protocol):
    """Says which of a few images fits a query best.

    Attributes:
        name: part of the key under which each answer is stored, so it must change when the answers would.
        prompt: version of the wording (and sampling) that the answers depend on; "" where there is none. A teacher
            that knows it only with its first answer has an attribute `settled`, False until then: it is asked one
            question alone first.
        batch_size: how many questions one `ask` should get (in-process models batch; an API takes one).
        concurrency: how many `ask` calls may run at once, from different threads.
        looks: whether the images are opened, so that broken ones must be left out beforehand.
    """

    name: str
    batch_size: int
    concurrency: int
    looks: bool

    @property
    def prompt(self) -> str:
        """See above; an attribute will do."""
        ...

    def ask(self, questions: Sequence[Question]) -> list[Answer | Failure]:
        """Answer each question, in order; a question without a readable answer is a Failure, never a guess.

        Raises TeacherError where it is useless to go on (wrong key, unknown model).
        """
        ...

    def price(self, question: Question) -> Price:
        """What asking this question would cost, for `--dry-run` and `--max-cost`, without asking it."""
        ...

    def close(self) -> None:
        """Give back connections and memory."""
        ...
