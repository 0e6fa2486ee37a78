"""Asking a teacher many questions: stored answers are reused, new ones are asked for and committed as they come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any, Protocol

from vdistill.database.migrations import Statement
from vdistill.database.rejections import stored
from vdistill.errors import TeacherError, VdistillError
from vdistill.label.answers import checked
from vdistill.label.in_threads import InThreads
from vdistill.label.purse import Purse
from vdistill.label.questions import Asked, Batch, Fresh, Keyed, Waiting, judgment_of, key_of, rejection_of, shown_in
from vdistill.label.registry import Registry, Row, Unregistered
from vdistill.label.teacher import Teacher, calls_of
from vdistill.records import Answer, Failure, Judgment, Question

FAILURES_IN_A_ROW = 40  # after so many, with no answer between, a teacher is not asked any more
WINDOW = 64  # questions that are looked up in the store at once; more would keep the threads waiting
REMEMBERED = 10_000  # stored answers that are looked up again under the keys that a first answer settled


class AnswerStore(Protocol):
    """Where answers are kept: a `Database`, or several as one. The methods are those of `Database`."""

    def answers(self, keys: Sequence[str]) -> dict[str, Answer]: ...  # noqa: D102
    def answered(self, keys: Sequence[str]) -> set[str]: ...  # noqa: D102
    def setting(self, name: str) -> Any | None: ...  # noqa: D102
    def remember(self, name: str, value: Any) -> None: ...  # noqa: D102

    def add_judgments(  # noqa: D102
        self,
        rows: Sequence[tuple[str, str, Judgment]],
        failures: Sequence[tuple[str, str, Question, str]] = (),
        sides: Iterable[Row] = (),
        also: Sequence[Statement] = (),
    ) -> None: ...


@dataclass(slots=True)
class Tally:
    """What a run has brought and cost so far."""

    calls: int = 0
    judgments: int = 0
    reused: int = 0
    failed: int = 0
    none_asked: int = 0
    rejected: int = 0
    images_shown: int = 0
    tokens: int = 0
    thought_tokens: int = 0
    cost_usd: float = 0.0


@dataclass(slots=True)
class Asker:
    """Asks a teacher within the caps of a purse; every answer is in the database before `ask` returns.

    advance: gets the tally as it grows.  registry: the sides that are stored with the judgments.
    ended: whether nothing more is to be asked; what is under way is waited for.
    patience: failures in a row after which the teacher is not asked any more.
    """

    teacher: Teacher
    database: AnswerStore
    purse: Purse
    concurrency: int
    advance: Callable[[Tally], None]
    registry: Registry = field(default_factory=Unregistered)
    tally: Tally = field(default_factory=Tally)
    ended: Callable[[], bool] = lambda: False
    last_failure: str = ""
    patience: int = FAILURES_IN_A_ROW
    failures_in_a_row: int = 0
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
        self.ask_each(keyed.items())
        now = {key: self._key_now(key, one) for key, one in keyed.items()}
        # As they are stored, not as they came, so that a run that is continued sees the same.
        answers = self.database.answers(list(now.values()))
        return {key: answers[now[key]] for key in keyed if now[key] in answers}

    def ask_each(self, keyed: Iterable[Keyed]) -> None:
        """The same without giving the answers: questions are taken from `keyed` as they can be asked."""
        keyed = iter(keyed)
        if not self._asked_alone and not getattr(self.teacher, "settled", True):
            keyed = self._ask_alone(keyed)
        fresh = Fresh(self._looked_up(keyed))
        self._ask_new(fresh)
        for _ in fresh:  # the caps are reached: what is stored still counts
            pass

    def _ask_alone(self, keyed: Iterator[Keyed]) -> Iterator[Keyed]:
        """Ask a question before all others, where the teacher is not settled yet; yields the others.

        Which sampling its server accepts is part of the keys, and only the first answer tells. Of very many stored
        answers before that question, the earliest are taken as they are.
        """
        before: deque[Keyed] = deque(maxlen=REMEMBERED)
        while part := list(islice(keyed, WINDOW)):
            known = self.database.answered([key for key, _ in part])
            place = next((place for place, (key, _) in enumerate(part) if key not in known), len(part))
            self.tally.reused += max(len(before) + place - REMEMBERED, 0)
            before.extend(part[:place])
            if place < len(part):
                self._asked_alone = True
                self._ask_new(Fresh([[part[place][1]]]))
                return chain(before, part[place + 1 :], keyed)
        return iter(before)

    def _looked_up(self, keyed: Iterator[Keyed]) -> Iterator[list[Asked]]:
        """The questions that have no answer yet, some at a time; the others are counted."""
        while part := list(islice(keyed, WINDOW)):
            now = [self._key_now(key, one) for key, one in part]
            known = self.database.answered(now)
            self.tally.reused += sum(key in known for key in now)
            self.advance(self.tally)
            yield [one for key, (_, one) in zip(now, part, strict=True) if key not in known]

    def _key_now(self, key: str, asked: Asked) -> str:
        """The key of a question, which was `key` before the teacher was settled."""
        return self.key(asked.question) if self._asked_alone else key

    def ask_again(self, question: Question) -> Answer | Failure | None:
        """A new answer to a question that may be stored; it is not stored. None where the caps are reached."""
        if not self.purse.affords(calls_of(self.teacher, question), self._estimate(question)):
            return None
        said = _said(self.teacher, [question])[0]
        self._pay(question, said)
        return said

    def key(self, question: Question) -> str:
        """The key under which the answer is stored."""
        return key_of(self.teacher, question)

    def _ask_new(self, fresh: Fresh) -> None:
        workers = min(self.concurrency, self.teacher.concurrency, fresh.count(self.concurrency))
        if fresh.peek() is None:
            return
        InThreads(
            max(1, workers),
            take=lambda running: self.affordable(fresh, running),
            ask=self.answers_to,
            keep=self.store,
            check=self._check_failures,
        ).run()

    def affordable(self, fresh: Waiting, running: Collection[Batch]) -> Batch | None:
        """The next batch, taken from `fresh`: as much as the caps allow beside all that is running.

        What does not fit is tried again when more answers are in: they may cost less than expected.
        """
        if self.ended():
            return None
        waiting = sum(calls_of(self.teacher, one.question) for batch in running for one in batch.asked)
        expected = sum(batch.usd for batch in running)
        batch: list[Asked] = []
        usd = 0.0
        while len(batch) < self.teacher.batch_size and (one := fresh.peek()) is not None:
            estimate = self._estimate(one.question)
            waiting += calls_of(self.teacher, one.question)
            if not self.purse.affords(waiting, expected + usd + estimate):
                break
            batch.append(fresh.take())
            usd += estimate
        return Batch(batch, usd) if batch else None

    def answers_to(self, batch: Batch) -> list[Answer | Failure]:
        """What the teacher says, which is not stored yet; in any thread. Raises TeacherError as `Teacher.ask` does."""
        return _said(self.teacher, [one.question for one in batch.asked])

    def _estimate(self, question: Question) -> float:
        return (self.teacher.price(question).usd or 0.0) if self.purse.max_cost is not None else 0.0

    def store(self, said: Sequence[tuple[Batch, Sequence[Answer | Failure]]]) -> None:
        """Commit answers together, then count them. An interrupt in between has this done again."""
        rows, failures, rejections = [], [], []
        told = [pair for batch, answers in said for pair in zip(batch.asked, answers, strict=True)]
        for one, answer in told:
            key = self.key(one.question)  # computed now: this answer may have settled the key
            if isinstance(answer, Failure):
                failures.append((key, self.teacher.name, one.question, answer.reason))
            elif answer.rejects:
                said_none = rejection_of(one, self.teacher.name, self.teacher.prompt)
                rejections.append((key, self.teacher.prompt, said_none, answer))
            else:
                rows.append((key, self.teacher.prompt, judgment_of(one, answer, self.teacher.name)))
        judgments = [judgment for _, _, judgment in rows] + [shown_in(rejection) for _, _, rejection, _ in rejections]
        also = [stored(rejections)] if rejections else []
        self.database.add_judgments(rows, failures, self.registry.rows(judgments), also)
        self.registry.stored(judgments)
        for one, answer in told:
            self._count(one.question, answer)
        self.advance(self.tally)

    def _count(self, question: Question, answer: Answer | Failure) -> None:
        tally = self.tally
        self._pay(question, answer)
        tally.images_shown += len(question.images)
        if isinstance(answer, Failure):
            tally.failed += 1
            self.failures_in_a_row += 1
            self.last_failure = answer.reason
        else:
            self.failures_in_a_row = 0
            tally.judgments += not answer.rejects
            tally.rejected += answer.rejects
            tally.none_asked += question.none
            tally.thought_tokens += answer.thought_tokens

    def _pay(self, question: Question, said: Answer | Failure) -> None:
        before = self.purse.usd
        # A failed call may never have reached the server: it counts what it says it cost.
        estimate = 0.0 if isinstance(said, Failure) else self._estimate(question)
        calls = calls_of(self.teacher, question)
        self.purse.pay(said.tokens, said.cost_usd, estimate, calls)
        self.tally.calls += calls
        self.tally.tokens += said.tokens
        self.tally.cost_usd += self.purse.usd - before

    def _check_failures(self) -> None:
        if self.failures_in_a_row >= self.patience:
            raise TeacherError(
                f"{self.teacher.name} failed {self.failures_in_a_row} times in a row: {self.last_failure}",
                hint="fix the cause and run the same command again; the answers so far are kept",
            )


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
