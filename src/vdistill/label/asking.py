"""Asking a teacher many questions: stored answers are reused, new ones are asked for and committed as they come."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from vdistill.database import Database
from vdistill.errors import TeacherError, VdistillError
from vdistill.label.answers import checked
from vdistill.label.in_threads import InThreads
from vdistill.label.purse import Purse
from vdistill.label.teacher import Teacher
from vdistill.records import Answer, Failure, Judgment, Question, Split

FAILURES_IN_A_ROW = 40  # after so many, with no answer between, a teacher is not asked any more


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, and what the store needs to know about it."""

    question: Question
    split: Split
    pool: int | None = None


@dataclass(slots=True)
class Tally:
    """What a run has brought and cost so far."""

    calls: int = 0
    judgments: int = 0
    reused: int = 0
    failed: int = 0
    images_shown: int = 0
    tokens: int = 0
    cost_usd: float = 0.0


@dataclass(slots=True)
class Asker:
    """Asks a teacher within the caps of a purse; every answer is in the database before `ask` returns.

    advance: gets the tally as it grows.
    """

    teacher: Teacher
    database: Database
    purse: Purse
    concurrency: int
    advance: Callable[[Tally], None]
    tally: Tally = field(default_factory=Tally)
    last_failure: str = ""
    _failures_in_a_row: int = 0
    _asked_alone: bool = False  # a first question, which settled the keys

    def ask(self, asked: Sequence[Asked]) -> dict[str, Answer]:
        """The answers by key, stored ones included; failed questions are absent.

        Raises TeacherError where it is useless to go on. On an interrupt the answers that arrived are committed.
        """
        keyed = {self.key(one.question): one for one in asked}
        answers = self.ask_keyed(keyed)
        return {self.key(keyed[key].question): answer for key, answer in answers.items()}

    def ask_keyed(self, keyed: Mapping[str, Asked]) -> dict[str, Answer]:
        """The same for questions with their keys; the answers by these, even where the first answer changes them."""
        alone = self._ask_alone(keyed)
        now = {key: self.key(one.question) if self._asked_alone else key for key, one in keyed.items()}
        known = self.database.answered(list(now.values()))
        self.tally.reused += sum(now[key] in known for key in keyed if key not in alone)
        self.advance(self.tally)
        self._ask_new([one for key, one in keyed.items() if now[key] not in known and key not in alone])
        # As they are stored, not as they came, so that a run that is continued sees the same.
        answers = self.database.answers(list(now.values()))
        return {key: answers[now[key]] for key in keyed if now[key] in answers}

    def _ask_alone(self, keyed: Mapping[str, Asked]) -> frozenset[str]:
        """The key of a question that is asked before all others, where the teacher is not settled yet.

        Which sampling its server accepts is part of the keys, and only the first answer tells.
        """
        if self._asked_alone or getattr(self.teacher, "settled", True):
            return frozenset()
        known = self.database.answered(list(keyed))
        first = [key for key in keyed if key not in known][:1]
        self._asked_alone = bool(first)
        self._ask_new([keyed[key] for key in first])
        return frozenset(first)

    def ask_again(self, question: Question) -> Answer | Failure | None:
        """A new answer to a question that may be stored; it is not stored. None where the caps are reached."""
        if not self.purse.affords(1, self._estimate(question)):
            return None
        said = _said(self.teacher, [question])[0]
        self._pay(question, said)
        return said

    def key(self, question: Question) -> str:
        """The key under which the answer is stored."""
        return key_of(self.teacher, question)

    def _ask_new(self, asked: Sequence[Asked]) -> None:
        if not asked:
            return
        fresh = deque(asked)
        workers = max(1, min(self.concurrency, self.teacher.concurrency, len(fresh)))
        InThreads(
            workers,
            take=lambda running: self._affordable(fresh, running) or None,
            ask=lambda batch: _said(self.teacher, [one.question for one in batch]),
            keep=self._store,
            check=self._check_failures,
        ).run()

    def _affordable(self, fresh: deque[Asked], running: Collection[Sequence[Asked]]) -> list[Asked]:
        """The next batch, taken from `fresh`: as much as the caps allow beside all that is running.

        What does not fit is tried again when more answers are in: they may cost less than expected.
        """
        waiting = [one for batch in running for one in batch]
        expected = sum(self._estimate(one.question) for one in waiting)
        batch: list[Asked] = []
        while fresh and len(batch) < self.teacher.batch_size:
            expected += self._estimate(fresh[0].question)
            if not self.purse.affords(len(waiting) + len(batch) + 1, expected):
                break
            batch.append(fresh.popleft())
        return batch

    def _estimate(self, question: Question) -> float:
        return (self.teacher.price(question).usd or 0.0) if self.purse.max_cost is not None else 0.0

    def _store(self, batch: Sequence[Asked], answers: Sequence[Answer | Failure]) -> None:
        rows = []
        tally = self.tally
        for one, answer in zip(batch, answers, strict=True):
            key = self.key(one.question)  # computed now: this answer may have settled the key
            self._pay(one.question, answer)
            tally.images_shown += len(one.question.images)
            if isinstance(answer, Failure):
                self.database.add_failure(key, self.teacher.name, one.question, answer.reason)
                tally.failed += 1
                self._failures_in_a_row += 1
                self.last_failure = answer.reason
                continue
            self._failures_in_a_row = 0
            tally.judgments += 1
            rows.append((key, self.teacher.prompt, judgment_of(one, answer, self.teacher.name)))
        self.database.add_judgments(rows)
        self.advance(tally)

    def _pay(self, question: Question, said: Answer | Failure) -> None:
        before = self.purse.usd
        # A failed call may never have reached the server: it counts what it says it cost.
        estimate = 0.0 if isinstance(said, Failure) else self._estimate(question)
        self.purse.pay(said.tokens, said.cost_usd, estimate)
        self.tally.calls += 1
        self.tally.tokens += said.tokens
        self.tally.cost_usd += self.purse.usd - before

    def _check_failures(self) -> None:
        if self._failures_in_a_row >= FAILURES_IN_A_ROW:
            raise TeacherError(
                f"{self.teacher.name} failed {self._failures_in_a_row} times in a row: {self.last_failure}",
                hint="fix the cause and run the same command again; the answers so far are kept",
            )


def key_of(teacher: Teacher, question: Question) -> str:
    """The key under which this teacher's answer to this question is stored."""
    parts = [teacher.name, teacher.prompt, question.query, question.ask]
    parts += [image.sha256 for image in question.images]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _said(teacher: Teacher, questions: Sequence[Question]) -> list[Answer | Failure]:
    """The teacher's answers, checked. Raises TeacherError naming the teacher for whatever goes wrong in its code."""
    try:
        said = teacher.ask(questions)
    except VdistillError:
        raise
    except Exception as error:
        raise TeacherError(
            f"the teacher {teacher.name} failed: {type(error).__name__}: {error}",
            hint="the answers so far are kept; --debug shows where it failed",
        ) from error
    return checked(said, questions)


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
