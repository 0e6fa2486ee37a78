"""Questions on their way to a teacher: their keys, those that wait to be asked, and what the store keeps of answers."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from vdistill.label.teacher import Teacher, none_version
from vdistill.records import Answer, Judgment, Question, Rejection, Split


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and what the store needs to know about it."""

    question: Question
    split: Split
    pool: int | None = None


Keyed: TypeAlias = tuple[str, Asked]


@dataclass(frozen=True, slots=True)
class Batch:
    """Questions that are asked together, and the US dollars that they are expected to cost."""

    asked: Sequence[Asked]
    usd: float


class Waiting(Protocol):
    """Questions that wait to be asked."""

    def peek(self) -> Asked | None:
        """The next one; None at the end."""
        ...

    def take(self) -> Asked:
        """The next one, which is gone from here."""
        ...


class Fresh:
    """Questions to ask, from lists that are read no further than needed."""

    def __init__(self, parts: Iterable[list[Asked]]) -> None:
        self._parts, self._waiting = iter(parts), deque[Asked]()

    def __iter__(self) -> Iterator[Asked]:
        """The rest of them."""
        while self.peek() is not None:
            yield self.take()

    def count(self, most: int) -> int:
        """How many there are, up to `most`."""
        while len(self._waiting) < most and (part := next(self._parts, None)) is not None:
            self._waiting.extend(part)
        return min(len(self._waiting), most)

    def peek(self) -> Asked | None:
        """The next one; None at the end."""
        return self._waiting[0] if self.count(1) else None

    def take(self) -> Asked:
        """The next one, which is gone from here."""
        return self._waiting.popleft()


def key_of(teacher: Teacher, question: Question) -> str:
    """The key under which this teacher's answer to this question is stored."""
    parts = [teacher.name, teacher.prompt, question.query, question.ask]
    parts += [image.sha256 for image in question.images]
    if question.none:
        parts += ["none", none_version(teacher)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def identity_of(question: Question) -> bytes:
    """A hash that equal questions share, whoever is asked, with which prompt, and whether none of the images is one."""
    parts = (question.query, question.ask, *(image.sha256 for image in question.images))
    return hashlib.sha256("\0".join(parts).encode()).digest()[:16]


def judgment_of(asked: Asked, answer: Answer, teacher: str) -> Judgment:
    """The answer as the store keeps it."""
    question = asked.question
    return Judgment(
        query=question.query,
        items=tuple(image.item_id for image in question.images),
        sha256=tuple(image.sha256 for image in question.images),
        ask=question.ask,
        answer=answer,
        teacher=teacher,
        split=asked.split,
        pool=asked.pool,
    )


def rejection_of(asked: Asked, teacher: str, prompt: str) -> Rejection:
    """What the store keeps of "none of these"."""
    said = judgment_of(asked, Answer(), teacher)
    return Rejection(said.query, said.items, said.sha256, teacher, said.split, said.pool, prompt)


def shown_in(said: Judgment | Rejection) -> Judgment:
    """What was shown, for the registry of sides, which asks for the items alone."""
    if isinstance(said, Judgment):
        return said
    return Judgment(said.query, said.items, said.sha256, "best", Answer(), said.teacher, said.split)
