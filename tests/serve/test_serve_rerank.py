"""`serve --rerank`: POSTs that ask for it get the teacher's order, within caps and in time; late answers are stored."""

import contextlib
import re
import sqlite3
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import httpx2
import pytest
from jsonschema import Draft202012Validator

from chat_server import ChatServer, completion
from command_line import errors, vdistill
from served import refused, served, unpack_shop
from vdistill.label.second_stage import allowance as allowances
from vdistill.label.second_stage.allowance import Allowance

SOFT = completion("A", {"A": -0.2, "B": -2.0, "C": -3.0, "D": -3.5})
QUERY = "something red"


@pytest.fixture
def home(tmp_path):
    return unpack_shop(tmp_path)


@contextlib.contextmanager
def serving(home, server, *arguments, depth=8):
    """A running `vdistill serve` that asks a chat server; a client for it."""
    command = [sys.executable, "-m", "vdistill", "serve", "--port", "0", "--rerank", str(depth), "--teacher", "vlm",
               "--endpoint", server.url, *map(str, arguments)]  # fmt: skip
    running, said = subprocess.Popen(command, cwd=home, stderr=subprocess.PIPE, text=True), []
    reading = threading.Thread(target=lambda: said.extend(running.stderr), daemon=True)
    try:
        for line in running.stderr:
            if found := re.search(r"serving (http://\S+)", line):
                break
            said.append(line)
        else:
            pytest.fail(f"it does not serve: {said}")
        reading.start()
        with httpx2.Client(base_url=found[1], timeout=60, trust_env=False) as client:
            yield client
    finally:
        running.terminate()
        code = running.wait(60)
        if reading.ident:
            reading.join()
        running.stderr.close()
    assert code == 0, said


def post(client, query=QUERY, **more):
    answer = client.post("/v1/search", json={"query": query, "rerank": True, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def stored(home):
    found = []
    for name in ("vdistill.db", "rerank.db"):
        path = home / ".vdistill" / name
        if path.is_file():
            with contextlib.closing(sqlite3.connect(path)) as database:
                found += database.execute("SELECT query FROM judgments WHERE teacher = 'openai:vlm'").fetchall()
    return len(found)


def test_who_asks_for_it_gets_the_teachers_order_and_nobody_else_pays(home):
    with ChatServer(SOFT) as server, serving(home, server) as client:
        assert client.get("/v1/info").json()["rerank"] == 8
        plain = client.post("/v1/search", json={"query": QUERY}).json()
        assert server.calls == 0
        first = post(client, k=8)
        assert {one["id"] for one in first["results"]} == {one["id"] for one in plain["results"][:8]}
        assert [one["rank"] for one in first["results"]] == list(range(1, 9))
        assert (first["reranked"], first["notice"]) == (8, None)
        assert first["calls"] == server.calls == stored(home) > 0
        assert f"vdistill_teacher_calls {float(server.calls)}" in client.get("/metrics").text
        again = post(client, k=8)
        assert again["calls"] == 0
        assert [one["id"] for one in again["results"]] == [one["id"] for one in first["results"]]
        document = client.get("/openapi.json").json()
        schema = {**document["components"]["schemas"]["Answer"], "components": document["components"]}
        Draft202012Validator(schema).validate(first)
        Draft202012Validator(schema).validate(plain)
        refused(client.get("/v1/search", params={"query": QUERY, "rerank": "true"}), 400, "invalid_request")
        refused(client.post("/v1/search", json={"query": ["red", "+", "blue"], "rerank": True}), 400, "invalid_request")


def test_too_late_is_the_students_order_and_is_stored(home):
    with ChatServer(SOFT, delay=1.5) as server, serving(home, server, "--within", "300ms") as client:
        started = time.monotonic()
        found = post(client)
        assert time.monotonic() - started < 1.4
        assert found["reranked"] == 0
        assert "did not answer within 0.3 s" in found["notice"]
        until = time.monotonic() + 20
        while not stored(home):
            assert time.monotonic() < until
            time.sleep(0.05)
        assert stored(home) == server.calls == 1


def test_a_stranger_cannot_spend_without_end(home):
    with ChatServer(SOFT) as server, serving(home, server, "--budget", 5) as client:
        for number in range(8):
            found = post(client, f"something red {number}")
        assert server.calls == 5
        assert "used up" in found["notice"]
        assert found["calls"] == 0
        assert [one["rank"] for one in found["results"]] == [one["student_rank"] for one in found["results"]]


def test_a_teacher_that_fails_is_no_failure_of_the_search(home):
    with ChatServer((401, {"error": {"message": "wrong key"}}, {})) as server, serving(home, server) as client:
        found = post(client)
        assert "wrong key" in found["notice"]
        assert found["reranked"] == 0


def test_a_server_without_a_teacher_says_so(home):
    with served(home) as site:
        info = site.get("/v1/info").json()
        assert (info["rerank"], info["fit"]) == (0, [])
        refused(site.post("/v1/search", {"query": QUERY, "rerank": True}), 403, "not_enabled")


def test_options_that_make_no_sense_are_refused(home):
    assert vdistill("serve", "--teacher", "metadata", cwd=home).code == 2
    assert vdistill("serve", "--rerank", 8, "--mcp", cwd=home).code == 2
    errors(vdistill("serve", "--port", 0, "--rerank", 8, "--teacher", "table:none.csv", cwd=home))
    errors(vdistill("serve", "--port", 0, "--rerank", 8, "--teacher", "metadata", "--within", "2000", cwd=home))


def test_searches_at_the_same_time_cannot_exceed_the_caps_together():
    allowance = Allowance(budget=10, max_cost=1.0)
    purses = [allowance.reserve(4, 0.4) for _ in range(4)]
    assert [purse.budget for purse in purses] == [4, 4, 2, 0]
    purses[0].pay(0, 0.1, None)
    for purse in purses:
        allowance.give_back(purse)
    last = allowance.reserve(100, 10.0)
    assert last.budget == 9
    assert last.max_cost == pytest.approx(0.9)


def test_the_pace_holds_too(monkeypatch):
    clock = iter([0.0, 0.0, 2.0])
    monkeypatch.setattr(allowances, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    allowance = Allowance(per_minute=60)
    assert allowance.reserve(100, 0).budget == 60
    assert allowance.reserve(100, 0).budget == 2
