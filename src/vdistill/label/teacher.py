"""The protocol of teachers, which plug-ins implement: whoever can answer the questions of a schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from vdistill.records import Answer, Failure, Question, ShownImage


@dataclass(frozen=True, slots=True)
class Price:
    """What one call is expected to cost. usd: 0 where it costs no money, None where the price is not known."""

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
class Rewriter(Protocol):
    """A teacher that can also put a query in other words (`--paraphrases`).

    Attributes:
        rewording: the version of the prompt that asks for them; stored with what they cost.
    """

    rewording: str

    def reword(self, query: str, count: int) -> Written | Failure:
        """About `count` other wordings of the same wish; no image is shown. Raises TeacherError as `Teacher.ask` does.

        It may run in as many threads at once as `Teacher.ask`.
        """
        ...

    def price_of_rewording(self, query: str, count: int) -> Price:
        """What that would cost; nothing is asked."""
        ...


@runtime_checkable
class Local(Protocol):
    """A teacher whose model runs on this machine, and takes its time.

    Attributes:
        machine: what it runs on, in words: "this CPU".
    """

    machine: str

    def needs(self) -> list[str]:
        """What has to be done before the first answer, one line each: a download, for example."""
        ...


@runtime_checkable
class MayAnswerHard(Protocol):
    """A teacher whose choices may come without probabilities.

    Attributes:
        hard_answers: whether they do; None before that is known.
    """

    hard_answers: bool | None


@runtime_checkable
class Batched(Protocol):
    """A teacher whose questions can be asked together in files, and whose answers come later (`--batch`).

    Attributes:
        factor: what a call in a batch costs, as a share of the usual price; None where that is not known.
    """

    factor: float | None

    @property
    def prompt(self) -> str:
        """As of `Teacher`."""
        ...

    def request(self, question: Question) -> Mapping[str, Any] | Failure:
        """The JSON of a question, or why it cannot be asked."""
        ...

    def read(self, question: Question, document: Any) -> Answer | Failure:
        """The answer in the JSON that came for a question."""
        ...

    def refused(self, question: Question, words: str) -> bool:
        """Learn from an error that came instead; whether it is no failure, as the question is asked otherwise now."""
        ...


class Pointwise(Protocol):
    """A teacher that scores each image by itself: a call is one image for one query.

    Its answers have a `level`. A question is as many calls as it has images.

    Attributes:
        pointwise: True.
    """

    pointwise: bool


@runtime_checkable
class SaysNone(Protocol):
    """A teacher that can be offered "none of these" (`--none`), behind all images of a question with `none`.

    Attributes:
        none: how it is offered, e.g. the version of the wording, which is part of the keys of such questions; "" where
            it cannot be offered.
    """

    @property
    def none(self) -> str:
        """See above; a plain attribute will do."""
        ...


def none_version(teacher: object) -> str:
    """How a teacher is offered "none of these"; "" where it cannot say it."""
    return teacher.none if isinstance(teacher, SaysNone) else ""


def pointwise(teacher: object) -> bool:
    """Whether a teacher scores each image by itself."""
    return bool(getattr(teacher, "pointwise", False))  # isinstance takes ten times as long, and is asked often


def calls_of(teacher: object, question: Question) -> int:
    """How many calls a question is."""
    return len(question.images) if pointwise(teacher) else 1


@runtime_checkable
class Selective(Protocol):
    """A teacher that can judge only some queries and items."""

    def unknown(self, queries: Sequence[str], items: Sequence[str]) -> tuple[list[str], list[str]]:
        """The queries and the item ids it cannot judge."""
        ...


@runtime_checkable
class Teacher(Protocol):
    """Someone who can say which of a few images fits a query best.

    Attributes:
        name: who answers, with a hash of what it answers from (a file, a script): stored with each answer and shown.
        prompt: how it is asked, e.g. the version of the wording; "" where that cannot change. An answer is found again
            under both, so one of them must change when the answers would. A teacher that knows its prompt only with
            its first answer has an attribute `settled`, False until then: its first question is asked alone.
        batch_size: the most questions that one `ask` gets (a model in this process takes a batch, an API one).
        concurrency: in how many threads `ask` may run at once.
        looks: whether the images are opened, by it or for it; if so, those that cannot be read are left out beforehand.
    """

    name: str
    batch_size: int
    concurrency: int
    looks: bool

    @property
    def prompt(self) -> str:
        """See above; a plain attribute will do."""
        ...

    def ask(self, questions: Sequence[Question]) -> list[Answer | Failure]:
        """Answer each question, in order; one without a readable answer is a Failure, never a guess.

        A question with ask `best` wants probabilities over its images, one with `rank` their order. What takes long
        needs a time limit of its own: after Ctrl-C, answers under way are waited for.
        Raises TeacherError when going on is useless (wrong key, unknown model).
        """
        ...

    def price(self, question: Question) -> Price:
        """What this question would cost, for `--dry-run` and `--max-cost`; nothing is asked."""
        ...

    def close(self) -> None:
        """Release connections and memory."""
        ...
