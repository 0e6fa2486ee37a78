"""Rerankers and teachers that compare share a budget: a call scores one image, or shows several."""

import json
from collections import defaultdict

import pytest

from command_line import vdistill
from vdistill.database import Database
from vdistill.label.jury.shares import Means, Offer, dealt, shares
from vdistill.preferences import Trust


def label(home, reranker, chat, *options, others=()):
    """The command with a reranker and a teacher that compares, each at its server."""
    given = ["--teacher", f"rerank:rr@{reranker.url}", "--teacher", f"vlm@{chat.url}", *others]
    return vdistill("label", "catalog", "--queries", "queries.txt", "--images-per-call", 4, "--holdout", 0.4, *given,
                    *options, cwd=home)  # fmt: skip


def judged(home, workspace=".vdistill"):
    with Database.open(home / workspace / "vdistill.db") as database:
        return database.judgments()


def test_a_reranker_and_a_teacher_that_compares_share_a_budget(home, truth):
    with truth.reranker(0.7) as reranker, truth.chat(2.0) as chat:
        plan = label(home, reranker, chat, "--budget", 400, "--dry-run", "--json")
        assert plan.code == 0, plan.err
        assert reranker.calls == chat.calls == 0
        done = label(home, reranker, chat, "--budget", 400, "--json")
        assert done.code == 0, done.err
        again = label(home, reranker, chat, "--budget", 400, "--json")
        known = label(home, reranker, chat, "--budget", 400, "--dry-run", "--json")
        assert not chat.repeated
    found, (score, compare) = done.json, done.json["teachers"]
    assert 360 < plan.json["calls"] <= 400
    assert 360 < found["calls"] <= 400
    assert score["calls"] == score["images_shown"] > 0, "a call is an image"
    assert compare["calls"] == compare["judgments"] == chat.calls, "a call is a question"
    assert score["calls"] + compare["calls"] == found["calls"]
    assert score["bits"] > compare["bits"] / 3 > 0, "an answer about four images is three numbers"
    assert set(truth.shown.values()) == {1}, "each image once for a query"
    assert (again.json["calls"], again.json["reused"]) == (0, found["judgments"])
    assert (known.json["calls"], known.json["reused"]) == (0, found["judgments"])
    assert "of the calls get" in done.err
    judgments = judged(home)
    compared = {(one.query, item) for one in judgments if one.answer.level is None for item in one.items}
    both = {(one.query, item) for one in judgments if one.answer.level is not None for item in one.items} & compared
    sides = {one.query: one.split for one in judgments}
    assert {sides[query] for query, _ in both} == {"train", "heldout"}, "on both sides of the split"


def test_the_core_is_scored_once_and_compared_twice(home, truth):
    with truth.reranker(0.7) as reranker, truth.chat(0.7) as chat:
        assert label(home, reranker, chat, "--budget", 400, "--json").code == 0
    by_query = defaultdict(lambda: ([], []))
    for one in judged(home):
        by_query[one.query][one.answer.level is None].append(one.items)
    core = [both for both in by_query.values() if set(both[0]) & set(both[1])]
    assert core
    for scored, compared in core:
        images = {item for items in set(scored) & set(compared) for item in items}
        within = [items for items in compared if set(items) <= images]
        assert len(within) >= 2 * len(images) // 4 - 1, "in two deals"


def test_a_killed_run_goes_on_as_its_plan_says(home, truth):
    with truth.reranker(0.7) as reranker, truth.chat(1.5) as chat:
        whole = label(home, reranker, chat, "--budget", 300, "--json", "-w", "whole").json
        with Database.open(home / "whole" / "vdistill.db") as database:
            wanted = {(one.query, one.items, one.teacher) for one in database.judgments()}
            rows = database.keyed_judgments()
            settings = {name: value for name, value in database.settings("").items() if name != "sides"}
        assert label(home, reranker, chat, "--budget", 1, "-w", "part").code == 0
        for count in (len(rows) // 4, len(rows) // 2):
            with Database.open(home / "part" / "vdistill.db") as database:  # as a kill in the middle leaves it
                for name, value in settings.items():
                    database.remember(name, value)
                kept = {key for key, _ in database.keyed_judgments()}
                database.add_judgments([(key, "", one) for key, one in rows[:count] if key not in kept])
            plan = label(home, reranker, chat, "--budget", 300, "--dry-run", "--json", "-w", "part").json
            assert 0 < plan["calls"] < whole["calls"]
        rest = label(home, reranker, chat, "--budget", 300, "--json", "-w", "part").json
    assert 0.8 * plan["calls"] <= rest["calls"] <= plan["calls"], "but for what answers make needless"
    assert wanted <= {(one.query, one.items, one.teacher) for one in judged(home, "part")}


def test_dollars_cap_both_kinds_and_each_is_priced(home, truth):
    with truth.reranker(1.0) as reranker, truth.chat(1.0) as chat:
        plan = label(home, reranker, chat, "--max-cost", 4, "--dry-run", "--json")
        assert plan.code == 0, plan.err
        done = label(home, reranker, chat, "--max-cost", 4, "--json")
        assert done.code == 0, done.err
    score, compare = done.json["teachers"]
    assert 3 < plan.json["cost_usd"] <= 4
    assert 2 < done.json["cost_usd"] <= 4
    assert score["cost_usd"] == pytest.approx(score["calls"] * 500 * 2e-6)
    assert score["cost_usd"] + compare["cost_usd"] == pytest.approx(done.json["cost_usd"])
    assert score["calls"] > compare["calls"] > 0, "the cheap one has all images that it can look at"
    assert score["bits_per_usd"] > compare["bits_per_usd"] > 0


def test_questions_go_to_another_of_the_same_kind_and_else_are_left_for_the_next_run(home, truth):
    options = ("--concurrency", 2, "--json", "--budget")  # too few calls for a core: equal shares
    with truth.reranker(0.7) as reranker, truth.chat(0.7, fails_after=1) as chat, truth.chat(2.5) as other:
        two = label(home, reranker, chat, *options, 78, "-w", "two", others=["--teacher", f"second@{other.url}"])
    assert two.code == 0, two.err
    assert "openai:vlm is not asked any more, openai:second instead" in two.err
    assert "are left" not in two.err
    assert sum(one["calls"] for one in two.json["teachers"]) <= 78
    assert two.json["teachers"][2]["judgments"] > two.json["teachers"][1]["judgments"] == 1
    with truth.reranker(0.7) as reranker, truth.chat(0.7, fails_after=4) as chat:
        one = label(home, reranker, chat, *options, 58)
    assert one.code == 0, one.err
    assert "openai:vlm is not asked any more, and nobody else compares images, so its questions are left" in one.err
    assert "questions for openai:vlm are left" in one.err
    assert one.json["teachers"][1]["gone"]
    with truth.reranker(0.7) as reranker, truth.chat(0.7) as chat:
        rest = label(home, reranker, chat, *options, 58)
        assert rest.code == 0, rest.err
        assert reranker.calls == 0, "it has said all"
    assert one.json["teachers"][1]["judgments"] == 4
    assert rest.json["teachers"][1]["judgments"] > 8


def test_who_cannot_be_reached_at_the_core_leaves_its_calls_to_the_other_kind(home, truth):
    class Nowhere:
        url = "http://127.0.0.1:9"

    with truth.reranker(0.7) as reranker, truth.chat(0.7) as chat:
        scored = label(home, reranker, Nowhere, "--budget", 200, "--json", "-w", "scored")
        assert scored.code == 0, scored.err
        score, compare = scored.json["teachers"]
        assert compare["gone"]
        assert 150 < score["calls"] <= 200
        compared = label(home, Nowhere, chat, "--budget", 200, "--json", "-w", "compared")
        assert compared.code == 0, compared.err
        score, compare = compared.json["teachers"]
        assert score["gone"]
        assert 120 < compare["calls"] <= 200


def test_none_of_these_and_rankings_are_for_those_who_compare(home, truth):
    with truth.reranker(0.7) as reranker, truth.chat(0.7) as chat:
        none = label(home, reranker, chat, "--none", "--budget", 300, "--dry-run", "--json")
        assert 'rerank:rr cannot say "none of these": only the others are offered it' in none.err
        assert 0 < none.json["none_asked"] < 0.3 * none.json["teachers"][1]["calls"]
        ranked = label(home, reranker, chat, "--ask", "rank", "--budget", 60, "--json")
        assert ranked.json["teachers"][0]["judgments"] > 0
    assert all(one.answer.level is not None for one in judged(home) if one.teacher == "rerank:rr")


GOOD, FAIR = (Trust(own, 0.0, 6.0, 1.0, soft=True) for own in (1.0, 4.0))


def test_a_reranker_gets_the_images_that_it_can_look_at_and_the_others_the_rest():
    means = Means(400, None, 2.0)  # 200 images
    assert dealt([Offer(GOOD, once=True), Offer(FAIR)], means).round().tolist() == [200, 200]
    assert dealt([Offer(FAIR, once=True), Offer(GOOD, looks=7.0)], means).tolist() == [0, 400]
    cheap = dealt([Offer(FAIR, 0.001, once=True), Offer(GOOD, 0.1, looks=7.0)], Means(4000, 1.0, 20.0))
    assert cheap[0] == pytest.approx(200, abs=10)
    assert cheap @ [0.001, 0.1] <= 1.0 + 1e-6


def test_without_a_core_the_calls_are_shared_alike_as_far_as_there_are_images():
    assert shares([Offer(None, once=True), Offer(None)], Means(100, None, 0.5)).tolist() == [0.5, 0.5]
    assert shares([Offer(None, once=True), Offer(None)], Means(100, None, 4.0)).tolist() == [0.25, 0.75]
    gone = [Offer(None, answered=0.0, once=True), Offer(None)]
    assert shares(gone, Means(100, None, 4.0)).tolist() == [0, 1]
    assert json.dumps(shares(gone, Means(100, None, 4.0)).tolist())
