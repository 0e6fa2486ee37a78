"""Asking a teacher many questions: what is stored is reused, what is new is asked at once and committed as it comes."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import count
from typing import TypeAlias

from vdistill.database import Database
from vdistill.errors import TeacherError, VdistillError
from vdistill.label.answers import checked
from vdistill.label.purse import Purse
from vdistill.label.teacher import Teacher
from vdistill.records import Answer, Failure, Judgment, Question, Split

# A teacher that fails this often in a row, with no answer between, is not asked on.
FAILURES_IN_A_ROW = 40


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with what the store needs to know of it."""

    question: Question
    split: Split
    pool: int | None = None


Batch: TypeAlias = Sequence[tuple[str, Asked]]  # with the keys of their questions
Running: TypeAlias = dict[int, Batch]


@dataclass(slots=True)
class Tally:
    """What a run has brought so far, and what that cost."""

    calls: int = 0
    judgments: int = 0
    reused: int = 0
    failed: int = 0
    images_shown: int = 0
    tokens: int = 0
    cost_usd: float = 0.0
    in_a_row: int = 0
    last_failure: str = ""


@dataclass(slots=True)
class Asker:
    """Puts questions to a teacher within the caps of a purse; every answer is in the database before `ask` returns."""

    teacher: Teacher
    database: Database
    purse: Purse
    concurrency: int
    advance: Callable[[Tally], None]
    tally: Tally = field(default_factory=Tally)
    _alone: bool = False  # whether a question was asked before all others

    def ask(self, asked: Sequence[Asked]) -> dict[str, Answer]:
        """The answers by key, stored ones included; failed questions are absent.

        Raises TeacherError when going on is useless. On an interrupt the answers that arrived are committed.
        """
        keyed = {self.key(one.question): one for one in asked}
        answers = self.ask_keyed(keyed)
        return {self.key(keyed[key].question): answer for key, answer in answers.items()}

    def ask_keyed(self, keyed: Mapping[str, Asked]) -> dict[str, Answer]:
        """The same for questions whose keys are known; the answers by these, though the first call may change them."""
        alone = self._ask_alone(keyed)
        # Once a question settled what is part of the keys, those that were made before it are made anew.
        now = {key: self.key(one.question) if self._alone else key for key, one in keyed.items()}
        known = self.database.answered(list(now.values()))
        self.tally.reused += sum(now[key] in known for key in keyed if key not in alone)
        fresh = [(now[key], one) for key, one in keyed.items() if now[key] not in known and key not in alone]
        self.advance(self.tally)
        self._ask_new(deque(fresh))
        # As they are stored, not as they came: a run that is taken up again must see the same.
        answers = self.database.answers(list(now.values()))
        return {key: answers[now[key]] for key in keyed if now[key] in answers}

    def _ask_alone(self, keyed: Mapping[str, Asked]) -> frozenset[str]:
        """The key of a question that was asked before all others, where the teacher is not settled yet.

        Which sampling its server takes is part of the keys, and it is known with the first answer only.
        """
        if self._alone or getattr(self.teacher, "settled", True):
            return frozenset()
        known = self.database.answered(list(keyed))
        first = [(key, one) for key, one in keyed.items() if key not in known][:1]
        self._alone = bool(first)
        self._ask_new(deque(first))
        return frozenset(key for key, _ in first)

    def ask_again(self, question: Question) -> Answer | Failure | None:
        """What the teacher says to one question, stored or not; it is not stored. None where the caps are reached."""
        if not self.purse.affords(1, self._estimate(question)):
            return None
        said = _said(self.teacher, [question])[0]
        self._pay(question, said)
        return said

    def key(self, question: Question) -> str:
        """What makes an answer the same answer: teacher, prompt, query, ordered image hashes, way of asking."""
        return key_of(self.teacher, question)

    def _ask_new(self, fresh: deque[tuple[str, Asked]]) -> None:
        workers = max(1, min(self.concurrency, self.teacher.concurrency))
        running: Running = {}
        numbers = count()
        answered: dict[int, list[Answer | Failure]] = {}  # by the threads themselves: an interrupt loses none

        def ask(number: int, questions: Sequence[Question]) -> int:
            answered[number] = _said(self.teacher, questions)
            return number

        with ThreadPoolExecutor(workers) as executor:
            futures: set[Future[int]] = set()
            _start(executor, min(workers, len(fresh)))
            try:
                while True:
                    while len(running) < workers and (batch := self._affordable(fresh, running)):
                        number = next(numbers)
                        running[number] = batch
                        futures.add(executor.submit(ask, number, [one.question for _, one in batch]))
                    if not running:
                        return
                    done, futures = wait(futures, return_when=FIRST_COMPLETED)
                    for future in done:
                        self._keep(future.result(), running, answered)
                    self._check_failures()
            except BaseException:
                # What was asked was paid for: wait for it, and keep what comes.
                executor.shutdown(wait=True, cancel_futures=True)
                for number in [number for number in answered if number in running]:
                    self._keep(number, running, answered)
                raise

    def _keep(self, number: int, running: Running, answered: dict[int, list[Answer | Failure]]) -> None:
        """Store the answers to a batch; only then it is no longer running."""
        self._store(running[number], answered[number])
        del running[number], answered[number]

    def _affordable(self, fresh: deque[tuple[str, Asked]], running: Running) -> Batch:
        """The next batch, taken off `fresh`: as much of it as the caps reach for with all that is under way.

        What does not fit now is looked at again when answers are in: they may have cost less than was expected.
        """
        under_way = [one for batch in running.values() for _, one in batch]
        expected = sum(self._estimate(one.question) for one in under_way)
        batch: list[tuple[str, Asked]] = []
        while fresh and len(batch) < self.teacher.batch_size:
            expected += self._estimate(fresh[0][1].question)
            if not self.purse.affords(len(under_way) + len(batch) + 1, expected):
                break
            batch.append(fresh.popleft())
        return batch

    def _estimate(self, question: Question) -> float:
        return (self.teacher.price(question).usd or 0.0) if self.purse.counts_money() else 0.0

    def _store(self, batch: Batch, answers: Sequence[Answer | Failure]) -> None:
        rows = []
        tally = self.tally
        for (_, one), answer in zip(batch, answers, strict=True):
            key = self.key(one.question)  # as it is now: this answer may have settled what is part of it
            self._pay(one.question, answer)
            tally.images_shown += len(one.question.images)
            if isinstance(answer, Failure):
                self.database.add_failure(key, self.teacher.name, one.question, answer.reason)
                tally.failed += 1
                tally.in_a_row += 1
                tally.last_failure = answer.reason
                continue
            tally.in_a_row = 0
            tally.judgments += 1
            rows.append((key, self.teacher.prompt, judgment_of(one, answer, self.teacher.name)))
        self.database.add_judgments(rows)
        self.advance(tally)

    def _pay(self, question: Question, said: Answer | Failure) -> None:
        before = self.purse.usd
        # A failure may never have reached the server: it costs what it says.
        estimate = 0.0 if isinstance(said, Failure) else self._estimate(question)
        self.purse.pay(said.tokens, said.cost_usd, estimate)
        self.tally.calls += 1
        self.tally.tokens += said.tokens
        self.tally.cost_usd += self.purse.usd - before

    def _check_failures(self) -> None:
        tally = self.tally
        if tally.in_a_row >= FAILURES_IN_A_ROW:
            raise TeacherError(
                f"{self.teacher.name} failed {tally.in_a_row} times in a row: {tally.last_failure}",
                hint="fix the cause and run the same command again; the answers so far are kept",
            )


def _start(executor: ThreadPoolExecutor, threads: int) -> None:
    """Start so many threads before anything is asked.

    The executor waits at its end for the threads that it knows; one whose start an interrupt breaks off runs on unknown
    to it, and what it asked would be lost.
    """
    ready = threading.Event()
    try:
        for _ in range(threads):  # each finds the others waiting, so that a thread is started for it
            executor.submit(ready.wait)
    finally:
        ready.set()


def key_of(teacher: Teacher, question: Question) -> str:
    """The key under which this teacher's answer to this question is stored."""
    parts = [teacher.name, teacher.prompt, question.query, question.ask]
    parts += [image.sha256 for image in question.images]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _said(teacher: Teacher, questions: Sequence[Question]) -> list[Answer | Failure]:
    """What the teacher says, looked at. Raises TeacherError naming the teacher for whatever goes wrong in its code."""
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
