"""`bench --rerank`: the teacher beside the student, paid once, and apart from what measures."""

import shutil
import sqlite3

import pytest

from chat_server import ChatServer, completion
from command_line import errors, vdistill
from vdistill.database import Database

FOUR = {"VDISTILL_IMAGES_PER_CALL": "4"}
PRICED = {**FOUR, "VDISTILL_USD_PER_MILLION": "10,10"}


@pytest.fixture
def shop(home, tmp_path):
    """A copy of the workspace that a test may write to."""
    shutil.copytree(home / ".vdistill", tmp_path / ".vdistill")
    shutil.copy(home / "scores.csv", tmp_path)
    return tmp_path


def rerank(shop, *arguments, env=FOUR, depth=6, teacher="table:scores.csv"):
    done = vdistill("bench", "--rerank", depth, "--teacher", teacher, *arguments, "--json", cwd=shop, env=env)
    assert done.code == 0, done.err
    return done


def judgments(shop, file="vdistill.db"):
    with sqlite3.connect(shop / ".vdistill" / file) as database:
        (count,) = database.execute("SELECT count(*) FROM judgments").fetchone()
    database.close()
    return count


def test_the_teacher_orders_the_head_and_is_asked_once(shop):
    before = judgments(shop)
    plain = vdistill("bench", "--json", cwd=shop).json
    first = rerank(shop, "--report", "page.html", "--summary", "summary.md")
    found, spent = first.json["models"], first.json["rerank"]
    name = "student + rerank@6"
    assert list(found)[-3:] == ["student", name, "teacher"]
    assert found["student"]["ndcg@10"] < found[name]["ndcg@10"] <= 1
    assert spent["gain"]["value"] == pytest.approx(found[name]["ndcg@10"] - found["student"]["ndcg@10"])
    assert 2 <= spent["calls_per_query"] <= 4
    assert (spent["model"], spent["depth"], spent["queries"]) == (name, 6, first.json["queries"])
    assert (spent["calls"], spent["reused"], spent["usd_per_query"]) == (judgments(shop, "rerank.db"), 0, 0)
    assert "its teacher is also the judge" in first.err
    again = rerank(shop)
    assert (again.json["rerank"]["calls"], again.json["rerank"]["reused"]) == (0, spent["calls"])
    assert again.json["models"] == first.json["models"]
    assert name in (shop / "page.html").read_text()
    assert "The teacher beside it" in (shop / "page.html").read_text()
    assert f"| {name} |" in (shop / "summary.md").read_text()
    assert judgments(shop) == before, "what it said is no part of the exam"
    after = vdistill("bench", "--json", cwd=shop).json
    assert [after[key] for key in ("models", "judge", "queries")] == [
        plain[key] for key in ("models", "judge", "queries")
    ]


def test_what_searches_ask_changes_no_exam(shop):
    plain = vdistill("bench", "--json", cwd=shop).json
    with Database.open(shop / ".vdistill" / "vdistill.db") as database:
        held = [query.text for query in database.queries("heldout")]
    before = judgments(shop)
    for text in held[:2]:
        done = vdistill("query", text, "--rerank", 8, "--teacher", "table:scores.csv", "--json", cwd=shop, env=FOUR)
        assert done.json["calls"] > 0, done.err
    assert judgments(shop) == before
    after = vdistill("bench", "--json", cwd=shop).json
    assert [after[key] for key in ("models", "queries", "items")] == [
        plain[key] for key in ("models", "queries", "items")
    ]


def test_the_first_is_always_in_the_head_and_the_rest_stays(shop):
    rerank(shop, "--write-run", ".")
    orders = {}
    for model in ("student", "student_+_rerank@6"):
        for line in (shop / f"{model}.trec").read_text().splitlines():
            query, _, item, *_ = line.split()
            orders.setdefault(query, {}).setdefault(model, []).append(item)
    for one in orders.values():
        student, changed = one.values()
        assert set(student[:6]) == set(changed[:6])
        assert student[6:] == changed[6:]


def test_caps_hold_and_the_row_is_about_finished_queries(shop):
    soft = completion("A", {"A": -0.2, "B": -2.0, "C": -3.0, "D": -3.0}) | {
        "usage": {"prompt_tokens": 1000, "completion_tokens": 0}
    }
    with ChatServer(soft) as server:
        asked = ("--endpoint", server.url, "--max-cost", 0.1)
        done = rerank(shop, *asked, teacher="vlm", env=PRICED)
        spent = done.json["rerank"]
        assert 0 < spent["cost_usd"] <= 0.1
        assert spent["calls"] == server.calls
        assert spent["usd_per_query"] == pytest.approx(0.01 * spent["calls_per_query"])
        assert spent["tokens_per_query"] == pytest.approx(1000 * spent["calls_per_query"])
        assert 0 < spent["queries"] < done.json["queries"]
        assert "queries were not re-ordered to the end" in done.err
        more = rerank(shop, "--endpoint", server.url, teacher="vlm", env=PRICED).json["rerank"]
        assert (more["queries"], server.repeated) == (done.json["queries"], 0)


def test_a_budget_holds_too(shop):
    done = rerank(shop, "--budget", 3)
    assert done.json["rerank"]["calls"] == 3


def test_a_small_head_is_one_call(shop):
    spent = rerank(shop, depth=4).json["rerank"]
    assert spent["calls_per_query"] == 1


def test_a_head_that_is_smaller_than_asked_for_takes_fewer_calls(shop):
    done = rerank(shop, depth=400)
    assert done.json["rerank"]["calls_per_query"] <= 2 * -(-done.json["items"] // 4)


def test_without_a_student_the_backbone_is_reordered(shop):
    shutil.rmtree(shop / ".vdistill" / "student")
    assert "backbone + rerank@6" in rerank(shop).json["models"]


def test_the_table_says_what_it_takes(shop):
    done = vdistill("bench", "--rerank", 6, "--teacher", "table:scores.csv", cwd=shop, env=FOUR)
    assert done.code == 0, done.err
    assert "the teacher beside it" in done.out
    assert "gain in nDCG@10" in done.out


def test_a_teacher_without_a_head_is_wrong_usage(shop):
    assert vdistill("bench", "--teacher", "metadata", cwd=shop).code == 2


def test_a_teacher_that_cannot_be_opened_is_one_error(shop):
    error, _ = errors(vdistill("bench", "--rerank", 6, "--teacher", "table:nothing.csv", cwd=shop))
    assert "nothing.csv" in error
