""" "None of these": who is asked, what is stored, and that questions without it stay what they were."""

import csv
import hashlib
import json
import math

import pytest

import chat_teacher
from chat_server import ChatServer, completion
from command_line import QUERIES, errors, vdistill
from vdistill.database import Database
from vdistill.errors import VdistillError
from vdistill.label.batch import files
from vdistill.label.prompts import Wording, read_wording
from vdistill.label.questions import Asked, key_of
from vdistill.records import Question


def table(home, acceptance=2.0):
    """Scores of the drawn catalog; what has the colour is accepted. None for the acceptance: it holds none."""
    lines = (home / "catalog" / "metadata.jsonl").read_text().splitlines()
    items = [json.loads(line)["file_name"] for line in lines]
    with (home / "scores.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["query", "item", "score"])
        for query in QUERIES:
            rows.writerows([query, item, 4.0 * (item.split("_")[0] in query)] for item in items)
            if acceptance is not None:
                rows.writerow([query, "", acceptance])
    (home / "queries.txt").write_text("\n".join(QUERIES) + "\n")


def label(home, *options):
    command = ("label", "catalog", "--teacher", "table:scores.csv", "--queries", "queries.txt", "--images-per-call", 4)
    return vdistill(*command, "--json", *options, cwd=home)


def judgments(home):
    with Database.open(home / ".vdistill" / "vdistill.db") as database:
        return database.judgments()


def test_every_fourth_call_of_a_query_offers_none(catalog):
    home = catalog.parent
    table(home)
    planned = label(home, "--none", "--budget", 240, "--dry-run").json
    done = label(home, "--none", "--budget", 240)
    assert done.code == 0, done.err
    assert planned["none_asked"] == pytest.approx(done.json["none_asked"], abs=6)
    assert done.json["rejected"] == 0
    said = [one for one in judgments(home) if one.answer.none is not None]
    assert 54 <= len(said) == done.json["none_asked"] <= 66  # a quarter, also of queries with other numbers of calls
    for one in said:
        odds = math.exp(2.0) / sum(math.exp(4.0 * (item.split("_")[0] in one.query)) for item in one.items)
        assert one.answer.none == pytest.approx(odds / (1 + odds), abs=1e-5)
        assert sum(one.answer.probabilities) == pytest.approx(1, abs=1e-5)  # of the images, if one is taken


def test_as_a_default_it_is_for_those_who_can_say_it(catalog):
    home = catalog.parent
    table(home, acceptance=None)
    assert 'cannot say "none of these"' in label(home, "--none", "--budget", 40).err
    (home / "vdistill.toml").write_text("[label]\nnone = true\n")
    done = label(home, "--budget", 40)
    assert done.code == 0, done.err
    assert done.json["none_asked"] == 0


def test_it_is_asked_once_and_without_it_nothing_changes(catalog):
    home = catalog.parent
    table(home)
    first = label(home, "--none", "--budget", 240).json
    assert first["calls"] == 240
    again = label(home, "--none", "--budget", 240).json
    assert (again["calls"], again["reused"]) == (0, 240)
    plain = label(home, "--no-none", "--budget", 240).json
    assert plain["calls"] == first["none_asked"]  # without the option those are other questions
    assert plain["reused"] == 240 - first["none_asked"]
    assert label(home, "--budget", 240).json["reused"] == 240  # by default it is not offered


def test_a_table_without_acceptance_cannot_say_it(catalog):
    home = catalog.parent
    table(home, acceptance=None)
    error, hint = errors(label(home, "--none", "--budget", 240))
    assert 'cannot say "none of these"' in error
    assert "empty item" in hint


def test_an_audit_turns_it_on(catalog):
    home = catalog.parent
    table(home)
    audit = label(home, "--audit", 90)
    assert audit.code == 0, audit.err
    assert audit.json["none"][1] > 0
    done = label(home, "--budget", 240)
    assert done.json["none_asked"] > 50
    assert "every fourth call" in done.err
    assert label(home, "--no-none", "--budget", 240).json["none_asked"] == 0


def test_queries_that_nothing_answers_are_not_asked(catalog):
    home = catalog.parent
    table(home)
    rows = [{"query": query} for query in QUERIES] + [{"query": f"tyres {n}", "answered": False} for n in range(9)]
    (home / "queries.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    done = label(home, "--budget", 240, "--queries", "queries.jsonl")
    assert "9 queries are not asked" in done.err
    assert not [one for one in judgments(home) if "tyres" in one.query]
    with Database.open(home / ".vdistill" / "vdistill.db") as database:
        assert database.unanswered() == [f"tyres {n}" for n in range(9)]
    (home / "queries.jsonl").write_text(json.dumps({"query": "mugs", "answered": "perhaps"}))
    assert "answered is 'perhaps'" in errors(label(home, "--queries", "queries.jsonl"))[0]


def with_none(question, ask="best"):
    return Question(question.query, question.images, ask, none=True)


def test_the_letter_behind_the_images_is_none(question):
    tokens = {"A": math.log(0.1), "B": math.log(0.3), "D": math.log(0.4), "x": -2}
    with ChatServer(completion("D", tokens)) as server:
        (answer,) = chat_teacher.ask(server, with_none(question))
    content = server.bodies[0][1]["messages"][1]["content"]
    assert content[-2]["text"] == "D: none of these would please this customer."
    assert server.bodies[0][1]["structured_outputs"] == {"choice": ["A", "B", "C", "D"]}
    assert answer.none == pytest.approx(0.5)
    assert answer.probabilities == pytest.approx((0.25, 0.75, 0.0))
    assert answer.coverage == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("text", "ask", "expected"),
    [
        ("D", "best", (None, None, 1.0, None)),
        ("B", "best", ((0.0, 1.0, 0.0), None, 0.0, None)),
        ("C, D, A, B", "rank", (None, (2, 0, 1), None, 1)),
        ("D, C, A, B", "rank", (None, (2, 0, 1), None, 0)),
        ("C, A, B, D", "rank", (None, (2, 0, 1), None, 3)),
    ],
)
def test_hard_answers_and_rankings(question, text, ask, expected):
    with ChatServer(completion(text)) as server:
        (answer,) = chat_teacher.ask(server, with_none(question, ask))
    assert (answer.probabilities, answer.order, answer.none, answer.accepted) == expected


def test_a_ranking_without_the_option_is_no_answer(question):
    with ChatServer(completion("C, A, B")) as server:
        (said,) = chat_teacher.ask(server, with_none(question, "rank"))
    assert "not an order of the letters ABCD" in said.reason


def test_hard_rejections_are_kept_and_not_asked_again(catalog):
    home = catalog.parent
    (home / "queries.txt").write_text("\n".join(QUERIES[:4]) + "\n")

    def reply(body):
        letters = body["structured_outputs"]["choice"]
        return completion("E" if "E" in letters else "A")

    with ChatServer(reply) as server:
        command = ["label", "catalog", "--teacher", "openai:vlm", "--endpoint", server.url, "--queries", "queries.txt",
                   "--images-per-call", 4, "--holdout", 0, "--budget", 32, "--none", "--ask", "best",
                   "--paraphrases", 0, "--json"]  # fmt: skip
        first = vdistill(*command, cwd=home).json
        again = vdistill(*command, cwd=home).json
    assert (first["judgments"], first["rejected"], first["none_asked"], first["failed"]) == (24, 8, 8, 0)
    assert (again["calls"], again["reused"], server.calls) == (0, 32, 32)
    with Database.open(home / ".vdistill" / "vdistill.db") as database:
        kept = database.rejections.keyed("train")
        assert (len(kept), database.people.rejections()) == (8, [])
        assert len(database.judgments()) == 24


def test_keys_of_questions_without_it_are_as_ever(question):
    teacher = chat_teacher.teacher_at("http://127.0.0.1:9")
    parts = [teacher.name, teacher.prompt, question.query, "best", *(image.sha256 for image in question.images)]
    assert key_of(teacher, question) == hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    assert key_of(teacher, with_none(question)) != key_of(teacher, question)
    assert teacher.prompt.startswith("1/")
    teacher.close()


def test_other_words_for_none_are_no_other_prompt(tmp_path):
    (tmp_path / "words.toml").write_text('none = "{letter}: nothing"\n')
    wording = read_wording(tmp_path / "words.toml")
    assert wording.version == Wording().version
    assert wording.none_version != Wording().none_version
    (tmp_path / "words.toml").write_text('none = "nothing"\n')
    with pytest.raises(VdistillError, match="does not say which letter"):
        read_wording(tmp_path / "words.toml")


def test_a_question_in_a_batch_keeps_the_option(question):
    asked = Asked(with_none(question), "train", 3)
    again = files.from_json(json.loads(json.dumps(files.as_json(asked, "1"))))
    assert (again.question.none, again.split, again.pool) == (True, "train", 3)
    plain = files.as_json(Asked(question, "train"), "1")
    assert "none" not in plain["question"]
    assert not files.from_json(plain).question.none
