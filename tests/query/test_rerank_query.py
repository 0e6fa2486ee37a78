"""`query --rerank`: the teacher orders the head, is asked once, and no answer reaches the other side of the split."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pytest

import vlm_models
from chat_server import ChatServer, completion
from command_line import QUERIES, errors, sides_of, vdistill, write_scores
from drawings import draw_catalog
from vdistill.database import Database
from vdistill.inputs.sides import Sides

FOUR = {"VDISTILL_IMAGES_PER_CALL": "4"}
TABLE = ("--teacher", "table:scores.csv")
SOFT = completion("A", {"A": -0.2, "B": -2.0, "C": -3.0, "D": -3.5})


@pytest.fixture(scope="session")
def labelled(tmp_path_factory, clip_folder):
    """A shop with judgments and the backbone's index."""
    home = tmp_path_factory.mktemp("reranked")
    (home / "catalog").mkdir()
    draw_catalog(home / "catalog")
    write_scores(home, sorted(path.name for path in (home / "catalog").glob("*.png")))
    for command in (
        ["label", "catalog", *TABLE, "--queries", "queries.txt", "--backbone", clip_folder, "--images-per-call", 4,
         "--budget", 60, "--holdout", 0.4],
        ["index", "--model", "backbone"],
    ):  # fmt: skip
        done = vdistill(*command, cwd=home)
        assert done.code == 0, done.err
    return home


@pytest.fixture
def shop(labelled, tmp_path):
    """A copy that a test may write to."""
    shutil.copytree(labelled / ".vdistill", tmp_path / ".vdistill")
    for name in ("scores.csv", "queries.txt"):
        shutil.copy(labelled / name, tmp_path)
    return tmp_path


def search(shop, text, *arguments, teacher=TABLE, depth=12, env=FOUR):
    done = vdistill("query", text, "--rerank", depth, *teacher, *arguments, "--json", cwd=shop, env=env)
    assert done.code == 0, done.err
    return done


def query_on(shop, side):
    with Database.open(shop / ".vdistill" / "vdistill.db") as database:
        sides = Sides.read(database)
    return next(text for text in QUERIES if sides.of_query(text) == side)


def rows(shop, file="vdistill.db"):
    path = shop / ".vdistill" / file
    if not path.is_file():
        return []
    with sqlite3.connect(path) as database:
        found = database.execute("SELECT query, split, items FROM judgments").fetchall()
    database.close()
    return [(query, split, json.loads(items)) for query, split, items in found]


def scores_of(shop, text):
    lines = (line.rsplit(",", 2) for line in (shop / "scores.csv").read_text().splitlines()[1:])
    return {item: float(score) for query, item, score in lines if query == text}


def test_the_head_is_in_the_teachers_order_and_repeating_costs_nothing(shop):
    text = query_on(shop, "heldout")
    plain = vdistill("query", text, "-k", 20, "--json", cwd=shop).json["results"]
    first = search(shop, text, "-k", 20)
    found, truth = first.json, scores_of(shop, text)
    ids = [one["id"] for one in found["results"]]
    assert set(ids[:12]) == {one["id"] for one in plain[:12]}
    assert ids[12:] == [one["id"] for one in plain[12:]]
    assert {one["id"]: one["student_rank"] for one in found["results"]} == {one["id"]: one["rank"] for one in plain}
    assert [one["rank"] for one in found["results"]] == list(range(1, 21))
    taught, before = ([truth[one] for one in some[:12]] for some in (ids, [one["id"] for one in plain]))
    assert np.corrcoef(taught, range(12))[0, 1] < -0.8 < np.corrcoef(before, range(12))[0, 1]
    assert (found["reranked"], found["calls"], found["cost_usd"], found["notice"]) == (12, 5, 0.0, None)
    again = search(shop, text, "-k", 20).json
    assert again["calls"] == 0
    assert [one["id"] for one in again["results"]] == ids


def test_answers_to_a_training_query_about_training_images_alone_are_judgments(shop):
    text, sides, before = query_on(shop, "train"), sides_of(shop_catalog(shop), 0.4), rows(shop)
    search(shop, text)
    added = rows(shop)[len(before) :]
    assert added, "searching feeds the next distill"
    for query, split, items in added:
        assert (query, split) == (text, "train")
        assert {sides[item] for item in items} == {"train"}
    apart = rows(shop, "rerank.db")
    assert apart, "the head shows both sides"
    assert all("heldout" in {sides[item] for item in items} for _, _, items in apart)
    assert {split for _, split, _ in apart} == {"heldout"}
    assert search(shop, text).json["calls"] == 0


def test_images_of_both_sides_are_compared_in_the_end(shop):
    text = query_on(shop, "train")
    found = search(shop, text, "-k", 12).json
    truth = scores_of(shop, text)
    taught = [truth[one["id"]] for one in found["results"]]
    assert found["calls"] <= 6
    assert np.corrcoef(taught, range(12))[0, 1] < -0.8


def shop_catalog(shop):
    """Where the catalog is: the copy of the workspace is of it."""
    with Database.open(shop / ".vdistill" / "vdistill.db") as database:
        catalog = database.setting("catalog")
    if not (shop / "catalog").exists():
        (shop / "catalog").symlink_to(catalog)
    return shop


@pytest.mark.parametrize("new", [False, True])
def test_a_held_out_query_changes_neither_training_nor_test(shop, new):
    text = query_on(shop, "heldout")
    if new:  # nobody has ever asked this, and its hash says that it is held out
        with Database.open(shop / ".vdistill" / "vdistill.db") as database:
            sides = Sides.read(database)
        text = next(text for text in map("something new {}".format, range(99)) if sides.of_query(text) == "heldout")
    with ChatServer(SOFT) as server:
        before, registered = rows(shop), _registered(shop)
        found = search(shop, text, teacher=("--teacher", "vlm", "--endpoint", server.url)).json
        assert found["calls"] == server.calls == len(rows(shop, "rerank.db")) == 5
        assert (rows(shop), _registered(shop)) == (before, registered)


def _registered(shop):
    with Database.open(shop / ".vdistill" / "vdistill.db") as database:
        return database.queries(), database.item_sides()


def test_a_new_query_is_registered_when_its_answers_are_trained_on(shop):
    with Database.open(shop / ".vdistill" / "vdistill.db") as database:
        sides = Sides.read(database)
    text = next(text for text in map("something new {}".format, range(99)) if sides.of_query(text) == "train")
    with ChatServer(SOFT) as server:
        search(shop, text, teacher=("--teacher", "vlm", "--endpoint", server.url))
    with Database.open(shop / ".vdistill" / "vdistill.db") as database:
        assert [query.split for query in database.queries() if query.text == text] == ["train"]
        assert {one.split for _, one in database.judgments_on([text])} == {"train"}


@pytest.mark.slow
def test_too_late_is_the_students_order_and_what_was_paid_is_stored(shop):
    text = query_on(shop, "heldout")
    plain = vdistill("query", text, "--json", cwd=shop).json["results"]
    # A busy machine may not even come to ask in the shortest time.
    assert any(too_late(shop, text, plain, within) for within in (2, 4, 8)), "it is asked within 8 s"


def too_late(shop, text, plain, within):
    """Whether a teacher was asked that takes twice as long as a search waits."""
    with ChatServer(SOFT, delay=2.0 * within) as server:
        started = time.monotonic()
        done = search(shop, text, "--within", f"{within}s", teacher=("--teacher", "vlm", "--endpoint", server.url))
        assert time.monotonic() - started < 2 * within - 0.1
        found = done.json
        assert [one["id"] for one in found["results"]] == [one["id"] for one in plain]
        assert (found["reranked"], found["calls"]) == (0, 0)
        assert f"did not answer within {within} s" in found["notice"]
        assert done.err.count(found["notice"]) == 1
        if not server.calls:
            return False
        until = time.monotonic() + 40
        while not rows(shop, "rerank.db"):
            assert time.monotonic() < until, "an answer under way is stored when it comes"
            time.sleep(0.05)
        time.sleep(1.0)
        assert len(rows(shop, "rerank.db")) == server.calls == 1, "the first is asked alone, and nothing after it"
        return True


def test_a_teacher_that_fails_is_one_notice(shop):
    with ChatServer((401, {"error": {"message": "wrong key"}}, {})) as server:
        done = search(shop, QUERIES[0], teacher=("--teacher", "vlm", "--endpoint", server.url))
    assert done.json["reranked"] == 0
    assert [one["rank"] for one in done.json["results"]] == [one["student_rank"] for one in done.json["results"]]
    assert done.err.count("wrong key") == 1


def test_images_that_are_gone_keep_their_places(shop, tmp_path):
    catalog = tmp_path / "moved"
    with Database.open(shop / ".vdistill" / "vdistill.db") as database:
        shutil.copytree(database.setting("catalog"), catalog)
    done = vdistill("index", "moved", "--model", "backbone", cwd=shop)
    assert done.code == 0, done.err
    text = query_on(shop, "heldout")
    ids = [one["id"] for one in vdistill("query", text, "-k", 12, "--json", cwd=shop).json["results"]]
    for id_ in ids[1::2]:
        (catalog / id_).unlink()
    found = search(shop, text, "-k", 12).json
    assert (found["reranked"], found["notice"]) == (6, None)
    assert [one["id"] for one in found["results"]][1::2] == ids[1::2]
    for id_ in ids[0::2]:
        (catalog / id_).unlink()
    assert "nothing to order" in search(shop, text, "-k", 12).json["notice"]


@pytest.mark.slow
def test_caps_hold(shop):
    text = query_on(shop, "heldout")
    assert search(shop, text, "--rerank-calls", 3).json["calls"] == 3
    assert search(shop, text, "--rerank-calls", 3).json["calls"] == 0
    with ChatServer(SOFT | {"usage": {"prompt_tokens": 1000, "completion_tokens": 0}}) as server:
        asked = ("--teacher", "vlm", "--endpoint", server.url)
        priced = {**FOUR, "VDISTILL_USD_PER_MILLION": "10,10"}
        done = search(shop, text, "--max-cost", 0.05, teacher=asked, env=priced)
        assert 0 < done.json["cost_usd"] <= 0.05
        assert done.json["calls"] == server.calls == 2
        assert "used up" in done.json["notice"]


def test_a_batch_is_reranked_line_by_line(shop):
    asked = "\n".join(QUERIES[:4])
    done = vdistill("query", "--batch", "-", "--rerank", 6, *TABLE, "--json", cwd=shop, env=FOUR, stdin=asked)
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [line["query"] for line in lines] == QUERIES[:4]
    assert all(line["reranked"] == 6 and 0 < line["calls"] <= 4 for line in lines)


def test_the_table_shows_what_moved(shop):
    done = vdistill("query", query_on(shop, "heldout"), "--rerank", 12, *TABLE, cwd=shop, env=FOUR)
    assert done.code == 0, done.err
    assert "was" in done.out
    assert "5 calls, 12 judged" in " ".join(done.out.split())


@pytest.mark.slow
def test_scores_of_single_images_are_a_call_each(shop):
    text = query_on(shop, "heldout")

    def answer(body):
        count = len(body["documents"])
        scores = [0.9 - 0.1 * at for at in range(count)]
        return {"results": [{"index": at, "relevance_score": score} for at, score in enumerate(scores)],
                "usage": {"total_tokens": 500 * count}}  # fmt: skip

    with ChatServer(answer) as server:
        asked = ("--teacher", "rerank:vlm", "--endpoint", server.url)
        found = search(shop, text, teacher=asked, depth=10).json
        assert (found["calls"], found["reranked"], server.calls) == (10, 10, 3)
        assert search(shop, text, teacher=asked, depth=10).json["calls"] == 0
        assert search(shop, text, teacher=asked, depth=12).json["calls"] == 2, "what is new in the head"


def test_rankings_are_asked_of_a_teacher_without_probabilities(shop):
    def answer(body):
        ranks = "order" in json.dumps(body["messages"]) or "structured_outputs" not in body
        return completion("D, C, B, A" if ranks else "D")

    with ChatServer(answer) as server:
        asked = ("--teacher", "vlm", "--endpoint", server.url)
        found = search(shop, query_on(shop, "heldout"), teacher=asked).json
    assert found["calls"] == 5
    with sqlite3.connect(shop / ".vdistill" / "rerank.db") as database:
        asks = [ask for (ask,) in database.execute("SELECT ask FROM judgments ORDER BY rowid")]
    database.close()
    assert asks[-1] == "rank"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["", "rerank:"])
def test_models_in_a_process_of_their_own(shop, tmp_path, kind):
    make = vlm_models.jina_m0 if kind else vlm_models.qwen2_vl
    folder = make(tmp_path / "model")
    text = query_on(shop, "heldout")
    found = search(shop, text, teacher=("--teacher", f"{kind}{folder}"), depth=8).json
    assert (found["reranked"], found["notice"]) == (8, None)
    assert found["calls"] == (8 if kind else 4)
    assert search(shop, text, teacher=("--teacher", f"{kind}{folder}"), depth=8).json["calls"] == 0
    late = search(shop, text, "--within", "10ms", teacher=("--teacher", f"{kind}{folder}"), depth=8).json
    assert "did not answer within 0.01 s" in late["notice"]


@pytest.mark.slow
def test_this_process_stays_without_torch(shop):
    program = """
import sys
from vdistill.cli import main
code = main(["query", "something red", "--rerank", "8", "--teacher", "metadata", "--json"])
loaded = {"torch", "transformers", "scipy"} & set(sys.modules)
sys.exit(f"{code} {loaded}" if code or loaded else 0)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=shop, capture_output=True, text=True, timeout=120,
                          check=False, env={**os.environ, "HF_HUB_OFFLINE": "1"})  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["reranked"] == 8


def test_as_a_default_it_is_for_searches_by_one_text(shop):
    (shop / "vdistill.toml").write_text('[query]\nrerank = 12\nteacher = "table:scores.csv"\n')
    done = vdistill("query", query_on(shop, "heldout"), "--json", cwd=shop, env=FOUR)
    assert done.json["reranked"] == 12, done.err
    mixed = vdistill("query", "red", "+", "blue", "--json", cwd=shop)
    assert mixed.code == 0, mixed.err
    assert "reranked" not in mixed.json
    assert len(mixed.json["results"]) == 10


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("red", "--teacher", "metadata"), 2),
        (("red", "--within", "1s"), 2),
        (("red", "--rerank", 12, "--index", "pack.vdistill"), 2),
        (("red", "+", "blue", "--rerank", 12), 1),
        (("red", "--rerank", 12, "--within", "soon"), 1),
        (("red", "--rerank", 12, "--teacher", "table:nothing.csv"), 1),
    ],
)
def test_what_makes_no_sense_is_refused(shop, arguments, code):
    done = vdistill("query", *arguments, cwd=shop)
    assert done.code == code, done.err
    if code == 1:
        errors(done)
