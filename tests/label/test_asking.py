"""Hard caps, reuse, interrupts: every answer that was paid for is kept, and none is asked for twice."""

import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from vdistill.cli import console
from vdistill.database import Database
from vdistill.errors import TeacherError, VdistillError
from vdistill.label.asking import FAILURES_IN_A_ROW, Asker
from vdistill.label.purse import Purse
from vdistill.label.questions import Asked
from vdistill.label.teacher import Price, Teacher
from vdistill.records import Answer, Failure, Question, ShownImage


class Oracle:
    """Prefers the first image; fails or stops where told to."""

    name, prompt, looks = "oracle", "1", False

    def __init__(self, batch_size=1, concurrency=4, fails=(), stop_after=None, cost=0.0):
        self.batch_size, self.concurrency = batch_size, concurrency
        self.fails, self.stop_after, self.cost = fails, stop_after, cost
        self.asked = []
        self._lock = threading.Lock()

    def ask(self, questions):
        with self._lock:
            self.asked += [question.query for question in questions]
            if self.stop_after is not None and len(self.asked) > self.stop_after:
                raise KeyboardInterrupt
        return [
            Failure("no answer") if q.query in self.fails else Answer((0.9, 0.1), tokens=7, cost_usd=self.cost)
            for q in questions
        ]

    def price(self, question):
        return Price(tokens=7, usd=self.cost)

    def close(self):
        pass


def questions(count):
    images = (ShownImage("a", Path("a"), "ha"), ShownImage("b", Path("b"), "hb"))
    return [Asked(Question(f"q{i}", images), "train", 0) for i in range(count)]


@pytest.fixture
def database(tmp_path):
    with Database.open(tmp_path / "v.db") as db:
        yield db


def asker(teacher, database, budget=10_000, max_cost=None):
    return Asker(teacher, database, Purse(budget, max_cost), 4, lambda tally: None)


def test_the_oracle_is_a_teacher():
    assert isinstance(Oracle(), Teacher)


@pytest.mark.parametrize("batch", [1, 4])
def test_every_answer_is_stored_and_returned(database, batch):
    found = asker(Oracle(batch), database).ask(questions(10))
    assert len(found) == database.judgment_count() == 10


def test_what_is_stored_is_not_asked_again(database):
    asker(Oracle(), database).ask(questions(6))
    teacher = Oracle()
    again = asker(teacher, database)
    assert len(again.ask(questions(10))) == 10
    assert sorted(teacher.asked) == ["q6", "q7", "q8", "q9"]
    assert (again.tally.reused, again.tally.calls) == (6, 4)


def test_another_order_of_images_teacher_or_prompt_is_another_question(database):
    one = asker(Oracle(), database)
    question = questions(1)[0].question
    turned = Question(question.query, question.images[::-1])
    other = Oracle()
    other.prompt = "2"
    assert len({one.key(question), one.key(turned), asker(other, database).key(question)}) == 3


def test_the_budget_is_a_hard_cap(database):
    teacher = Oracle()
    asker(teacher, database, budget=7).ask(questions(20))
    assert len(teacher.asked) == database.judgment_count() == 7


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_the_money_is_a_hard_cap_to_the_last_call(database, batch):
    capped = asker(Oracle(batch, cost=0.25), database, max_cost=1.1)
    capped.ask(questions(20))
    assert capped.tally.calls == 4
    assert capped.tally.cost_usd == pytest.approx(1.0)


def test_a_failure_is_counted_and_never_a_judgment(database):
    told = asker(Oracle(fails={"q3"}), database)
    assert len(told.ask(questions(5))) == database.judgment_count() == 4
    assert (told.tally.failed, told.tally.calls, told.tally.tokens) == (1, 5, 28)


def test_a_failed_question_is_asked_again_next_time(database):
    asker(Oracle(fails={"q1"}), database).ask(questions(3))
    teacher = Oracle()
    asker(teacher, database).ask(questions(3))
    assert teacher.asked == ["q1"]


def test_a_teacher_that_only_fails_is_stopped(database):
    teacher = Oracle(fails={f"q{i}" for i in range(500)}, concurrency=1)
    with pytest.raises(TeacherError, match="in a row: no answer"):
        asker(teacher, database).ask(questions(500))
    assert len(teacher.asked) == FAILURES_IN_A_ROW


@pytest.mark.parametrize("after", [0, 3, 9])
def test_an_interrupt_keeps_what_was_answered(database, after):
    with pytest.raises(KeyboardInterrupt):
        asker(Oracle(concurrency=1, stop_after=after), database).ask(questions(20))
    assert database.judgment_count() == after
    teacher = Oracle()
    asker(teacher, database).ask(questions(20))
    assert len(teacher.asked) == 20 - after


@pytest.mark.parametrize("number", [1, 2, 4])
def test_an_interrupt_while_a_thread_starts_loses_no_answer(database, monkeypatch, number):
    start, started = threading.Thread.start, []

    def interrupted(thread):
        """As Ctrl-C does it while `start` waits for the thread, which runs on."""
        start(thread)
        started.append(thread)
        if len(started) == number:
            raise KeyboardInterrupt

    oracle = Oracle()
    answer = oracle.ask
    monkeypatch.setattr(oracle, "ask", lambda asked: time.sleep(0.1) or answer(asked))
    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        asker(oracle, database).ask(questions(20))
    monkeypatch.undo()
    for thread in started:
        thread.join()
    assert {judgment.query for judgment in database.judgments()} == set(oracle.asked)


def test_the_pace_is_that_of_the_last_answers_without_pauses(database, monkeypatch):
    clock = iter([0.0, 2.0, 4.0, 10_000.0, 10_003.0])
    monkeypatch.setattr("vdistill.database.database.time", SimpleNamespace(time=lambda: next(clock)))
    assert database.pace("oracle") is None
    for number in range(5):
        Asker(Oracle(concurrency=1), database, Purse(1), 1, lambda tally: None).ask(questions(number + 1)[number:])
    assert database.pace("oracle") == pytest.approx((2 + 2 + 3) / 3)
    assert database.pace("another") is None


def test_without_a_terminal_progress_is_a_line_now_and_then(monkeypatch, capsys):
    monkeypatch.setattr(console, "SECONDS_A_LINE", 0.0)
    with console.progress(quiet=False) as update:
        update(10, 100, "asking  2 failed")
        update(30, 100, "asking  2 failed")
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("asking  2 failed: 30 of 100, about 0 min left")
    with console.progress(quiet=True) as update:
        update(50, 100, "asking")
    assert capsys.readouterr().err == ""


def test_an_answer_is_committed_at_once_and_those_that_come_meanwhile_together(database, monkeypatch):
    sizes, add = [], Database.add_judgments

    def slow(self, rows, *more):
        sizes.append(len(rows))
        time.sleep(0.03)
        add(self, rows, *more)

    monkeypatch.setattr(Database, "add_judgments", slow)
    asker(Oracle(concurrency=4), database).ask(questions(41))
    assert sum(sizes) == database.judgment_count() == 41
    assert max(sizes) <= 4, "what is not committed yet counts as under way"
    assert len(sizes) < 25


def test_an_answer_that_cannot_be_stored_costs_no_other(database, monkeypatch):
    add = Database.add_judgments

    def refusing(self, rows, *more):
        if any(judgment.query == "q2" for _, _, judgment in rows):
            raise VdistillError("a row that the schema refuses")
        add(self, rows, *more)

    monkeypatch.setattr(Database, "add_judgments", refusing)
    barrier = threading.Barrier(4)
    oracle = Oracle(concurrency=4)
    answer = oracle.ask
    monkeypatch.setattr(oracle, "ask", lambda asked: (barrier.wait(), time.sleep(0.01), answer(asked))[2])
    with pytest.raises(VdistillError, match="refuses"):
        asker(oracle, database).ask(questions(4))
    assert {one.query for one in database.judgments()} == {"q0", "q1", "q3"}


def test_questions_are_taken_no_further_than_they_can_be_asked(database):
    taken = 0

    def endless():
        nonlocal taken
        for one in questions(100_000):
            taken += 1
            yield one.question.query, one

    capped = asker(Oracle(concurrency=1, stop_after=3), database)
    with pytest.raises(KeyboardInterrupt):
        capped.ask_each(endless())
    assert taken < 200
    assert database.judgment_count() == 3
