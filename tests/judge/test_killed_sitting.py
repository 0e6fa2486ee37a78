"""Killed at any moment, a sitting loses at most the answer that was under the finger."""

import random
import sqlite3
import threading

import httpx2
import pytest

from sittings import judgments_of, plain_shop, sitting, stored

pytestmark = pytest.mark.slow
KILLS = 10
QUERIES = ("--queries", "queries.txt", "--images-per-call", 4, "--pool", 12)


def test_killed_at_ten_moments_at_most_the_answer_under_way_is_lost(tmp_path):
    home, chance = plain_shop(tmp_path), random.Random(19)
    confirmed = set()  # keys of answers that the page was told are stored
    withdrawn = set()
    for _ in range(KILLS):
        with sitting(home, "anna", "--budget", 2000, *QUERIES) as page:
            killer = threading.Timer(chance.uniform(0.02, 0.35), page.process.kill)
            under_way = None
            answered = 0
            try:
                state = page.state()
                killer.start()
                while state["question"]:
                    under_way = state["question"]["key"]
                    state = page.answer(chance.choice([0, 1, 2, 3, "none"]), question=under_way)
                    confirmed.add(under_way)
                    withdrawn.discard(under_way)
                    answered += 1
                    if chance.random() < 0.2:
                        under_way = state["last"]["key"]
                        state = page.undo()
                        confirmed.discard(under_way)
                        withdrawn.add(under_way)
            except httpx2.TransportError:
                pass
            finally:
                killer.join()
                page.process.join(30)
        known = {key for (key,) in stored(home, "SELECT key FROM judgments UNION SELECT key FROM rejections")}
        assert confirmed - {under_way} <= known
        assert not (withdrawn - {under_way}) & known
        assert known <= confirmed | {under_way}
        assert stored(home, "PRAGMA integrity_check") == [("ok",)]
        assert known == {key for (key,) in stored(home, "SELECT key FROM people")}
        confirmed, withdrawn = set(known), set()
    assert len(confirmed) > KILLS
    assert judgments_of(home)


def test_an_answer_that_cannot_be_stored_is_refused_and_may_be_sent_again(tmp_path):
    home = plain_shop(tmp_path)
    with sitting(home, "anna", *QUERIES) as page:
        key = page.state()["question"]["key"]
        blocker = sqlite3.connect(home / ".vdistill" / "vdistill.db", isolation_level=None)
        blocker.execute("CREATE TRIGGER full BEFORE INSERT ON people BEGIN SELECT RAISE(ABORT, 'disk is full'); END")
        refused = page.try_answer(key, 1)
        assert (refused.status_code, refused.json()["error"]["type"]) == (507, "not_stored")
        assert not judgments_of(home)  # all of an answer, or nothing
        blocker.execute("DROP TRIGGER full")
        blocker.close()
        assert page.answer(1, question=key)["done"] == 1
        assert len(judgments_of(home)) == 1
