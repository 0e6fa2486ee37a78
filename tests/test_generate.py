"""Queries that the teacher writes: kept, cleaned, and not paid for twice."""

import json

import pytest

import vlm_models
from chat_server import ChatServer, completion
from shop import errors, vdistill

LINES = '1. a gift for a man who bakes\n- "something for long winter evenings"\n\nHere are the searches:\nlamp\n'


def writes(number):
    return completion(f"{LINES}wish number {number} for an aunt\n")


ANSWER = completion("A", logprobs={"A": -0.4, "B": -1.2, "C": -2.0, "D": -3.0})


def label(home, server, *options):
    return vdistill("label", "catalog", "--teacher", "vlm", "--endpoint", server.url, "--images-per-call", 4,
                    "--holdout", 0.4, "--budget", 60, *options, "--json", cwd=home)  # fmt: skip


def written(home):
    lines = (home / ".vdistill" / "written_queries.jsonl").read_text().splitlines()
    return [json.loads(line)["query"] for line in lines]


def test_written_queries_are_cleaned_kept_and_asked(tmp_path, catalog):
    with ChatServer(writes(1), writes(2), ANSWER) as server:
        done = label(tmp_path, server, "--generate-queries", 4)
        assert done.code == 0, done.err
        assert done.json["queries"] == 4
        assert done.json["calls"] == server.calls
        assert written(tmp_path) == [
            "a gift for a man who bakes", "something for long winter evenings", "wish number 1 for an aunt",
            "wish number 2 for an aunt",
        ]  # fmt: skip
        images = [part for part in server.bodies[0][1]["messages"][1]["content"] if part["type"] == "image_url"]
        assert len(images) == 8
        again = label(tmp_path, server, "--generate-queries", 4)
        assert again.json["calls"] <= 2, "what the first run's cap left out, because writing counted too"
        assert len(written(tmp_path)) == 4


def test_they_join_those_of_a_file(tmp_path, catalog):
    (tmp_path / "q.txt").write_text("mine\na gift for a man who bakes\n")
    with ChatServer(writes(1), ANSWER) as server:
        done = label(tmp_path, server, "--generate-queries", 3, "--queries", "q.txt")
        assert done.json["queries"] == 4


def test_a_model_without_ideas_ends_with_what_there_is(tmp_path, catalog):
    with ChatServer(*[writes(1)] * 6, ANSWER) as server:
        done = label(tmp_path, server, "--generate-queries", 50)
        assert done.code == 0, done.err
        assert "had no more ideas: 3 queries instead of 50" in done.err


def test_a_model_that_writes_nothing_usable_is_an_error(tmp_path, catalog):
    with ChatServer(completion("A")) as server:
        assert "wrote no query that can be used" in errors(label(tmp_path, server, "--generate-queries", 5))[0]


def test_a_dry_run_writes_nothing(tmp_path, catalog):
    with ChatServer(writes(1)) as server:
        done = label(tmp_path, server, "--generate-queries", 5, "--dry-run")
        assert "no queries to plan with" in errors(done)[0]
        assert server.calls == 0


def test_a_teacher_that_cannot_write_says_so(tmp_path, catalog):
    done = vdistill("label", "catalog", "--teacher", "metadata", "--generate-queries", 5, cwd=tmp_path)
    assert "cannot write queries" in done.err


@pytest.mark.slow
def test_a_model_in_this_process_writes(tmp_path, catalog, tmp_path_factory):
    model = vlm_models.qwen2_vl(tmp_path_factory.mktemp("vlm"))
    done = vdistill("label", "catalog", "--teacher", model, "--generate-queries", 2, "--budget", 4, cwd=tmp_path)
    # Random weights write gibberish, of which some lines may pass for queries; or none.
    assert done.code == 0 or "wrote no query that can be used" in done.err, done.err
