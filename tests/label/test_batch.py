"""`label --batch`: rounds that are submitted and collected later, and lose, repeat and overspend nothing."""

import json
import random
import time

import pytest

import forked
from batch_server import BatchServer
from chat_server import completion, refusal
from command_line import QUERIES, errors, vdistill
from vdistill.database import Database
from vdistill.label.batch import servers

PRICE = {"VDISTILL_USD_PER_MILLION": "10,10,0.5"}
BILL = {"usage": {"prompt_tokens": 3350, "completion_tokens": 1}}  # 0.0335 dollars, and half of it in a batch


def answer(body):
    """Probabilities that depend on what is shown."""
    shown = sum(json.dumps(body["messages"]).encode())
    return completion("A", {letter: -0.3 - 0.7 * ((shown + 3 * at) % 4) for at, letter in enumerate("ABCD")}) | BILL


@pytest.fixture
def home(tmp_path, catalog):
    (tmp_path / "queries.txt").write_text("\n".join(QUERIES) + "\n")
    return tmp_path


def command(*options):
    return ["label", "catalog", "--teacher", "vlm", "--queries", "queries.txt", "--images-per-call", 4, "--holdout",
            0.4, *options]  # fmt: skip


def label(home, server, *options, batch="--batch"):
    return vdistill(*command("--endpoint", server.url, batch, *options), "--json", cwd=home, env=PRICE)


def to_the_end(home, server, *options, most=40):
    """The reports of the same command until nothing is under way any more."""
    found = []
    while not found or found[-1].json["batch_waiting"]:
        found.append(label(home, server, *options))
        assert found[-1].code == 0, found[-1].err
        assert len(found) < most
    return [done.json for done in found]


def stored(home):
    if not (home / ".vdistill" / "vdistill.db").exists():
        return {}
    with Database.open(home / ".vdistill" / "vdistill.db") as database:
        return {(one.query, one.items): one for one in database.judgments()}


def test_rounds_are_submitted_and_collected_by_the_same_command_at_the_price_of_a_batch(home):
    with BatchServer(answer) as server:
        plan = label(home, server, "--budget", 200, "--dry-run").json
        first, *others = to_the_end(home, server, "--budget", 200)
        assert first["batch_submitted"] == first["batch_waiting"] > 100
        assert len(others) > 1, "the held-out side goes on by its answers"
        calls = sum(server.processed.values())
        assert not server.paid_twice
        assert server.asked_at_once == 1, "to know what the server accepts"
        assert len(stored(home)) == calls + 1
        assert 0.9 * 200 <= calls + 1 <= 200
        paid = sum(one["cost_usd"] for one in [first, *others])
        assert paid == pytest.approx(0.0335 * (1 + 0.5 * calls), rel=1e-2)
        assert plan["cost_usd"] == pytest.approx(paid, rel=0.1)
        again = label(home, server, "--budget", 200).json
        assert (again["calls"], again["batch_submitted"], again["reused"]) == (0, 0, calls + 1)


def test_answers_are_those_that_the_plain_command_gets_and_it_asks_none_again(home):
    with BatchServer(answer) as server:
        to_the_end(home, server, "--budget", 100)
        plain = label(home, server, "--budget", 100, batch="--quiet").json
        assert (plain["calls"], plain["reused"]) == (0, sum(server.processed.values()) + 1)


def test_what_is_under_way_is_not_asked_again_by_any_command(home):
    with BatchServer(answer, "in_progress") as server:
        first = label(home, server, "--budget", 60)
        assert "a job is under way" in first.err
        again = label(home, server, "--budget", 60).json
        assert (again["batch_submitted"], again["batch_waiting"]) == (0, first.json["batch_waiting"])
        with BatchServer(answer) as another:
            asked = label(home, another, "--budget", 60)
            assert (asked.json["batch_submitted"], len(another.jobs)) == (0, 0), "though it does not know the job"
            assert server.url in asked.err
        label(home, server, "--budget", 90)
        assert "--batch" in errors(label(home, server, "--budget", 60, batch="--quiet"))[1]
        sent = [json.loads(line)["custom_id"] for file in server.files.values() for line in file.splitlines()]
        assert len(sent) == len(set(sent))


@pytest.mark.parametrize("fate", ["expired", "partly", "twice", "failed"])
def test_a_job_that_goes_wrong_loses_and_repeats_nothing(home, fate):
    with BatchServer(answer, fate, "completed") as server:
        reports = to_the_end(home, server, "--budget", 100)
        assert not server.paid_twice
        assert len(stored(home)) == sum(server.processed.values()) + 1 >= 90
        assert sum(one["judgments"] for one in reports) == len(stored(home))
    assert (sum(one["failed"] for one in reports) > 0) == (fate == "partly")


def test_a_question_that_always_fails_is_not_asked_for_ever(home):
    with BatchServer(answer, "partly") as server:
        reports = to_the_end(home, server, "--budget", 100)
        assert reports[-1]["batch_submitted"] == 0
        assert not server.paid_twice


@pytest.mark.parametrize(
    ("tokens", "least", "most"), [(3350, 0.85, 1), (5000, 0.85, 1.25)], ids=["as priced", "dearer"]
)
def test_a_cap_in_dollars_holds_over_all_runs_and_leaves_the_held_out_side_its_share(home, tokens, least, most):
    """But for a round that was sent before its price was known."""
    usage = {"usage": {"prompt_tokens": tokens, "completion_tokens": 1}}
    with BatchServer(lambda body: answer(body) | usage) as server:
        reports = to_the_end(home, server, "--max-cost", 1)
    assert least <= sum(one["cost_usd"] for one in reports) <= most
    assert {one.split for one in stored(home).values()} == {"train", "heldout"}


def test_what_a_server_refuses_in_a_batch_is_left_out_of_the_next(home):
    def refuses(body):
        return {"message": "top_k is not supported.", "param": "top_k"} if "top_k" in body else None

    with BatchServer(answer, refuses=refuses) as server:
        reports = to_the_end(home, server, "--budget", 60)
        assert sum(one["failed"] for one in reports) == 0
        assert len(stored(home)) >= 50


def test_without_a_known_discount_calls_are_priced_in_full_and_a_server_without_batches_is_named(home):
    with BatchServer(answer) as server:
        done = vdistill(*command("--endpoint", server.url, "--batch", "--budget", 20), cwd=home,
                        env={"VDISTILL_USD_PER_MILLION": "10,10"})  # fmt: skip
        assert "no batch discount" in done.err
    with BatchServer(lambda body: answer(body)) as server:
        server.post = lambda path, body, headers: (
            answer({"messages": ""}) if "chat" in path else refusal("Not Found", 404)[:2]
        )
        assert "no batch API" in errors(label(home, server, "--budget", 60))[1]
    assert "--batch is for servers" in errors(vdistill("label", "catalog", "--teacher", "metadata", "--batch",
                                                       "--queries", "queries.txt", cwd=home))[0]  # fmt: skip


def test_a_file_is_answered_elsewhere_and_read_back(home):
    """What `vllm run-batch` does with the file."""

    def run_batch():
        lines = [json.loads(line) for line in (home / "round.jsonl").read_text().splitlines()]
        assert {line["url"] for line in lines} == {"/v1/chat/completions"}
        assert all(line["body"]["structured_outputs"] for line in lines)
        done = [{"id": "vllm-1", "custom_id": line["custom_id"], "error": None,
                 "response": {"status_code": 200, "body": answer(line["body"])}} for line in lines]  # fmt: skip
        (home / "round.results.jsonl").write_text("\n".join(map(json.dumps, done)) + "\n")
        return len(lines)

    asked, waiting = 0, True
    while waiting:
        done = vdistill(*command("--batch-file", "round.jsonl", "--budget", 100, "--ask", "best"), "--json", cwd=home)
        assert done.code == 0, done.err
        if waiting := done.json["batch_waiting"]:
            assert "vllm run-batch -i" in done.err
            asked += run_batch()
    assert len(stored(home)) == asked >= 90
    (home / "round.results.jsonl").write_text('{"custom_id": "x"')
    assert vdistill(*command("--batch-file", "round.jsonl", "--budget", 100, "--ask", "best"), cwd=home).code == 0


def test_results_that_are_not_complete_and_files_that_are_gone_cost_nothing(home):
    options = command("--batch-file", "round.jsonl", "--budget", 60, "--ask", "best")
    first = vdistill(*options, "--json", cwd=home).json
    (home / "round.results.jsonl").write_text('{"custom_id": "x"')
    assert "not complete" in errors(vdistill(*options, cwd=home))[0]
    for path in home.glob("round*"):
        path.unlink()
    again = vdistill(*options, "--json", cwd=home).json
    assert again["batch_submitted"] == again["batch_waiting"] == first["batch_submitted"]


SOON = """
import sys
from vdistill.cli import main
from vdistill.label.batch import servers
servers.ARRIVES = 1.5
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_killed_at_twenty_moments_of_submit_and_collect_it_loses_and_pays_nothing_twice(home, monkeypatch):
    monkeypatch.setenv("VDISTILL_USD_PER_MILLION", PRICE["VDISTILL_USD_PER_MILLION"])
    rng, killed, number = random.Random(0), 0, 0
    assert servers.ARRIVES >= 5, "a request may take a while; this server is near"
    script = home / "soon.py"
    script.write_text(SOON)
    with BatchServer(answer, delay=0.03) as server:
        options = command("--endpoint", server.url, "--batch", "--ask", "best", "--quiet", "--budget")
        while killed < 20:
            known, before = stored(home), len(server.requests)
            budget = min(100 + 12 * number, 480)
            process = forked.start_script(script, *options, budget, cwd=home, streams=home / "said")
            wanted = before + number % 5  # at each request of a run: jobs, results, the file, the job
            while len(server.requests) < wanted and process.is_alive():
                time.sleep(0.001)
            time.sleep(rng.random() * 0.08)
            killed += process.is_alive()
            process.kill()
            process.join()
            assert known.keys() <= stored(home).keys(), "judgments were lost"
            number += 1
            assert number < 100
        reports = to_the_end(home, server, "--budget", 500, "--ask", "best")
        assert not server.paid_twice
        assert len(stored(home)) == sum(server.processed.values()) + 1
        assert reports[-1]["reused"] >= 450
    answers = sum(server.processed.values())
    print(f"{killed} of {number} runs were killed at work; {len(server.jobs)} jobs, {answers} answers")
