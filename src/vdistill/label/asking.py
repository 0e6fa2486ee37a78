"""Asking a teacher many questions: what is stored is reused, what is new is asked at once and committed as it comes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeAlias

from vdistill.database import Database
from vdistill.errors import TeacherError
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
Running: TypeAlias = dict[Future[list[Answer | Failure]], Batch]


@dataclass(slots=True)
class Tally:
    """What a run has spent and brought so far."""

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
    """Puts questions to a teacher within hard caps; every answer is in the database before `ask` returns."""

    teacher: Teacher
    database: Database
    budget: int
    max_cost: float | None
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
        now = {key: self.key(one.question) if alone else key for key, one in keyed.items()}
        known = self.database.answered(list(now.values()))
        self.tally.reused += sum(now[key] in known for key in keyed if key not in alone)
        fresh = [(now[key], one) for key, one in keyed.items() if now[key] not in known and key not in alone]
        self.advance(self.tally)
        self._ask_new(fresh[: max(self.budget - self.tally.calls, 0)])
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
        self._ask_new(first[: max(self.budget - self.tally.calls, 0)])
        return frozenset(key for key, _ in first)

    def key(self, question: Question) -> str:
        """What makes an answer the same answer: teacher, prompt, query, ordered image hashes, way of asking."""
        parts = [self.teacher.name, self.teacher.prompt, question.query, question.ask]
        parts += [image.sha256 for image in question.images]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def _ask_new(self, fresh: Batch) -> None:
        batches = iter(_batches(fresh, self.teacher.batch_size))
        workers = max(1, min(self.concurrency, self.teacher.concurrency))
        with ThreadPoolExecutor(workers) as executor:
            running: Running = {}
            try:
                while True:
                    for batch in islice(batches, workers - len(running)):
                        if not self._affords(batch, running):
                            batches = iter(())
                            break
                        running[executor.submit(self.teacher.ask, [one.question for _, one in batch])] = batch
                    if not running:
                        return
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        self._store(running.pop(future), future.result())
                    self._check_failures()
            except BaseException:
                self._keep_finished(running)
                raise

    def _affords(self, batch: Batch, running: Running) -> bool:
        """Whether the money reaches for this batch and all that is under way."""
        if self.max_cost is None:
            return True
        waiting = [one for under_way in running.values() for one in under_way]
        expected = sum(self.teacher.price(one.question).usd for _, one in [*waiting, *batch])
        return self.tally.cost_usd + expected <= self.max_cost

    def _keep_finished(self, running: Running) -> None:
        """What was asked was paid for: wait for it, and keep what comes."""
        for future in running:
            future.cancel()
        for future, batch in running.items():
            if not future.cancelled() and future.exception() is None:
                self._store(batch, future.result())

    def _store(self, batch: Batch, answers: Sequence[Answer | Failure]) -> None:
        rows = []
        tally = self.tally
        for (_, one), answer in zip(batch, answers, strict=True):
            key = self.key(one.question)  # as it is now: this answer may have settled what is part of it
            tally.calls += 1
            tally.images_shown += len(one.question.images)
            if isinstance(answer, Failure):
                self.database.add_failure(key, self.teacher.name, one.question, answer.reason)
                tally.failed += 1
                tally.in_a_row += 1
                tally.last_failure = answer.reason
                continue
            tally.in_a_row = 0
            tally.judgments += 1
            tally.tokens += answer.tokens
            tally.cost_usd += answer.cost_usd
            rows.append((key, self.teacher.prompt, judgment_of(one, answer, self.teacher.name)))
        self.database.add_judgments(rows)
        self.advance(tally)

    def _check_failures(self) -> None:
        tally = self.tally
        if tally.in_a_row >= FAILURES_IN_A_ROW:
            raise TeacherError(
                f"{self.teacher.name} failed {tally.in_a_row} times in a row: {tally.last_failure}",
                hint="mend the cause and run the same command again; the answers so far are kept",
            )


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


def _batches(rows: Batch, size: int) -> Iterator[Batch]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
