"""An audit of a reranker: a call is an image, no order is tried, and beside others it is weighed like them."""

import hashlib
import json
from collections import Counter

import pytest

from chat_server import ChatServer
from command_line import QUERIES, errors, vdistill
from vdistill.label.audit.questions import units


def label(home, *options):
    return vdistill("label", "catalog", "--queries", "queries.txt", "--images-per-call", 4, "--holdout", 0.4, *options,
                    cwd=home)  # fmt: skip


def deaf():
    """A server that scores images alike for every query."""

    def answer(body):
        sizes = [len(document["content"][0]["image_url"]["url"]) for document in body["documents"]]
        results = [{"index": at, "relevance_score": 0.2 + size % 97 / 200} for at, size in enumerate(sizes)]
        return {"results": results, "usage": {"total_tokens": 500 * len(sizes)}}

    return ChatServer(answer)


def test_one_that_hears_the_query_is_worth_its_calls(home, truth):
    with truth.reranker(0.7) as server:
        done = label(home, "--teacher", f"rerank:rr@{server.url}", "--audit", 200, "--json")
        assert done.code == 0, done.err
        scored = sum(truth.shown.values())
        again = label(home, "--teacher", f"rerank:rr@{server.url}", "--audit", 200, "--json")
    found = done.json
    assert 120 < found["calls"] == scored <= 200
    assert found["reliability"] is None
    assert found["sizes"] == []
    assert found["hears_query"][1] > 0.5
    assert found["self_agreement"] == 1.0
    assert found["verdict"] == "worth its calls"
    assert again.json["calls"] < 0.2 * found["calls"], "only what is asked twice on purpose is asked again"


def test_no_order_of_images_is_tried(home, truth):
    with truth.reranker(0.7) as server:
        shown = label(home, "--teacher", f"rerank:rr@{server.url}", "--audit", 100)
    assert shown.code == 0, shown.err
    assert "scores of single images" in shown.out
    assert "query sensitivity" in shown.out
    assert "flips" not in shown.out
    assert "images per call" not in shown.out


def test_one_that_scores_images_alike_for_every_query_is_worthless(home):
    with deaf() as server:
        found = label(home, "--teacher", f"rerank:rr@{server.url}", "--audit", 200, "--json").json
    assert found["verdict"] == "worthless"
    assert found["reason"] == "it says the same whatever the query is"


def test_the_cap_in_dollars_counts_images(home, truth):
    with truth.reranker(0.7) as server:
        capped = label(home, "--teacher", f"rerank:rr@{server.url}", "--audit", 200, "--max-cost", 0.08, "--json")
        assert capped.code == 0, capped.err
    assert capped.json["calls"] >= 30
    assert capped.json["cost_usd"] <= 0.08
    assert capped.json["verdict"] in ("worth its calls", "undecided")


def test_beside_those_who_compare_it_is_weighed_on_the_same_images(home, truth):
    with truth.reranker(0.5) as good, truth.reranker(4.0) as poor, truth.chat(1.0) as chat:
        given = ["--teacher", f"rerank:rr@{good.url}", "--teacher", f"rerank:other@{poor.url}"]
        given += ["--teacher", f"vlm@{chat.url}"]
        done = label(home, *given, "--audit", 200, "--budget", 600, "--json")
        assert done.code == 0, done.err
        shown = label(home, *given, "--audit", 200, "--budget", 600)
    careful, careless, compares = json.loads(done.out)["teachers"]
    assert all(one["calls"] + one["reused"] <= 200 for one in (careful, careless, compares))
    assert careful["bits"] > 2 * careless["bits"]
    assert compares["bits"] > careful["bits"], "an answer about four images tells three numbers"
    assert careful["noise"] < careless["noise"]
    assert careful["buy_calls"] > careless["buy_calls"]
    assert careful["flip_rate"] is careful["reliability"] is None
    assert compares["flip_rate"] is not None
    assert careful["bits_per_usd"] > compares["bits_per_usd"]
    assert careful["agreement"] is not None
    assert "what to buy" in shown.out


def test_auto_asks_nothing_to_find_out_how_many_images_a_reranker_takes(home, truth):
    with truth.reranker(0.7) as server:
        done = vdistill("label", "catalog", "--queries", "queries.txt", "--teacher", f"rerank:rr@{server.url}",
                        "--images-per-call", "auto", "--budget", 60, cwd=home)  # fmt: skip
    assert done.code == 0, done.err
    assert "rerank:rr scores each image by itself" in done.err
    assert "audit" not in done.err


def test_one_that_says_something_else_each_time_is_weak(home):
    asked = Counter()

    def answer(body):
        places = [hashlib.sha256(repr((body["query"], one)).encode()).digest()[0] for one in body["documents"]]
        asked[tuple(places)] += 1
        scores = [place if asked[tuple(places)] % 2 else 255 - place for place in places]
        results = [{"index": at, "relevance_score": 0.1 + score / 400} for at, score in enumerate(scores)]
        return {"results": results, "usage": {"total_tokens": 500 * len(results)}}

    with ChatServer(answer) as server:
        found = label(home, "--teacher", f"rerank:rr@{server.url}", "--audit", 200, "--json").json
    assert found["verdict"] == "weak"
    assert found["reason"] == "asked the same once more, it says something else"


def test_no_score_is_paid_for_again_and_again(home, truth):
    with truth.reranker(0.7) as server:
        found = label(home, "--teacher", f"rerank:rr@{server.url}", "--audit", 100_000, "--json").json
    assert found["calls"] <= 24 * len(QUERIES)


@pytest.mark.parametrize("calls", [47, 65, 100, 399])
def test_a_plan_is_within_its_calls(calls):
    found = units([f"q {number}" for number in range(20)], [f"{number}" for number in range(40)], calls, 0, scores=True)
    assert 2 * sum(len(unit.turn) for unit in found) * 1.1 <= calls


def test_nobody_is_recommended_who_is_not_known_to_hear_the_query(home, truth):
    with truth.reranker(0.7) as good, deaf() as other:
        given = ["--teacher", f"rerank:rr@{good.url}", "--teacher", f"rerank:deaf@{other.url}"]
        _, row = json.loads(label(home, *given, "--audit", 100, "--json").out)["teachers"]
    assert row["verdict"] == "undecided"
    assert row["buy_calls"] == 0


def test_one_that_never_answers_is_left_out_of_the_comparison(home, truth):
    with truth.reranker(0.7) as good, truth.reranker(0.7, fails_after=0) as down:
        given = ["--teacher", f"rerank:rr@{good.url}", "--teacher", f"rerank:down@{down.url}"]
        done = label(home, *given, "--audit", 100, "--json")
    assert done.code == 0, done.err
    assert [row["name"] for row in json.loads(done.out)["teachers"]] == ["rerank:rr"]
    assert "rerank:down is left out" in done.err


def test_an_audit_is_no_plan(home, truth):
    with truth.reranker(0.7) as server:
        refused = label(home, "--teacher", f"rerank:rr@{server.url}", "--audit", 100, "--dry-run")
        assert server.calls == 0
    assert "--dry-run asks nobody" in errors(refused)[0]


def test_questions_that_failed_are_counted_as_questions(home, truth):
    with truth.reranker(0.7) as good, truth.reranker(0.7, fails_after=8) as failing:
        given = ["--teacher", f"rerank:rr@{good.url}", "--teacher", f"rerank:failing@{failing.url}"]
        done = label(home, *given, "--audit", 100, "--json")
    assert done.code == 0, done.err
    _, row = json.loads(done.out)["teachers"]
    assert row["failed"] > 8
    assert row["answered"] < 0.5
