"""Training on several wordings of a query: they count, and an interrupted training resumes to the same weights."""

import json

import pytest

from command_line import QUERIES, vdistill
from trainings import facts, interrupt_at, trained, weights
from vdistill.database import Database
from vdistill.records import Query


@pytest.fixture
def worded(home, labelled):
    """The labelled shop, with two other wordings of each training query."""
    rows = [
        {"query": query, "paraphrases": [f"{query} for the kitchen", f"a small gift, {query}"]} for query in QUERIES
    ]
    (home / "queries.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    done = vdistill("label", "--teacher", f"table:{labelled / 'scores.csv'}", "--queries", "queries.jsonl",
                    "--images-per-call", 4, "--budget", 800, "--pool", 24, "--json", cwd=home)  # fmt: skip
    assert (done.code, done.json["calls"]) == (0, 0), "the judgments are there already"
    return home


def test_they_are_trained_on_and_told(worded):
    trained(worded)
    data = facts(worded)["data"]
    assert data["wordings"] == 3 * data["queries"]
    card = (worded / ".vdistill" / "student" / "README.md").read_text()
    assert f"{data['queries']} queries in {data['wordings']} wordings" in card
    with_them = weights(worded)
    with Database.open(worded / ".vdistill" / "vdistill.db") as database:
        database.paraphrases.give(dict.fromkeys(QUERIES, ()))
    trained(worded)
    assert weights(worded) != with_them
    assert facts(worded)["data"]["wordings"] == data["queries"]


def test_what_became_a_query_of_its_own_is_no_longer_a_wording_of_another(worded):
    with Database.open(worded / ".vdistill" / "vdistill.db") as database:
        database.add_queries([Query(f"q{n}", f"{text} FOR the kitchen", "heldout") for n, text in enumerate(QUERIES)])
    trained(worded, "--epochs", 1, "--refit", 0)
    data = facts(worded)["data"]
    assert data["wordings"] == 2 * data["queries"]


@pytest.mark.parametrize("moment", [4, -1])
def test_an_interrupted_training_on_wordings_ends_in_the_same_weights(worded, monkeypatch, moment):
    trained(worded)
    whole = weights(worded)
    interrupt_at(monkeypatch, moment)
    trained(worded, code=130)
    trained(worded)
    assert weights(worded) == whole
