"""Judgments are precious: committed as they come, never changed, and safe from damage and upgrades."""

import contextlib
import dataclasses
import sqlite3

import pytest

from vdistill.database import Database, migrations
from vdistill.errors import VdistillError
from vdistill.records import Answer, Judgment, Query


def judgment(query="q", items=("a", "b"), probabilities=(0.75, 0.25), **more):
    return Judgment(query, items, tuple(f"hash-{item}" for item in items), "best",
                    Answer(probabilities=probabilities), "teacher", "train", **more)  # fmt: skip


def test_a_judgment_comes_back_as_it_was(tmp_path):
    with Database.open(tmp_path / "v.db") as db:
        db.add_judgments([("k1", "p1", judgment(pool=3))])
    with Database.open(tmp_path / "v.db") as db:
        assert db.judgments("train") == [judgment(pool=3)]
        assert db.judgments("heldout") == []
        assert db.answers(["k1", "other"]) == {"k1": Answer(probabilities=(0.75, 0.25))}


def test_a_ranking_comes_back_as_it_was(tmp_path):
    ranked = Judgment("q", ("a", "b", "c"), ("1", "2", "3"), "rank", Answer(order=(2, 0, 1)), "t", "heldout")
    with Database.open(tmp_path / "v.db") as db:
        db.add_judgments([("k", "p", ranked)])
        assert db.judgments() == [ranked]


def test_the_first_answer_to_a_question_stays(tmp_path):
    with Database.open(tmp_path / "v.db") as db:
        db.add_judgments([("k", "p", judgment())])
        db.add_judgments([("k", "p", judgment(probabilities=(0.1, 0.9)))])
        assert db.answers(["k"])["k"].probabilities == (0.75, 0.25)


def test_a_row_that_breaks_the_schema_is_an_error_and_nothing_of_its_batch_is_lost_silently(tmp_path):
    unbilled = dataclasses.replace(judgment(), answer=Answer(probabilities=(0.5, 0.5), tokens=None))
    with Database.open(tmp_path / "v.db") as db:
        with pytest.raises(VdistillError, match="NOT NULL") as caught:
            db.add_judgments([("k1", "p", judgment()), ("k2", "p", unbilled)])
        assert "damaged" not in caught.value.message
        assert db.judgment_count() == 0


def test_a_transaction_that_an_interrupt_left_open_does_not_stop_the_next_one(tmp_path):
    with Database.open(tmp_path / "v.db") as db:
        db._connection.execute("BEGIN IMMEDIATE")  # as Ctrl-C does between this and what follows
        db.add_judgments([("k", "p", judgment())])
        assert db.judgment_count() == 1


def test_a_query_keeps_the_split_it_was_first_given(tmp_path):
    with Database.open(tmp_path / "v.db") as db:
        db.add_queries([Query("1", "text", "train")])
        db.add_queries([Query("9", "text", "heldout")])
        assert db.queries() == [Query("9", "text", "train")]


def test_a_damaged_database_is_an_error_with_a_remedy(tmp_path):
    (tmp_path / "v.db").write_bytes(b"this is no database " * 500)
    with pytest.raises(VdistillError, match="damaged") as caught, Database.open(tmp_path / "v.db"):
        pass
    assert "recover" in caught.value.hint


def test_a_database_of_a_newer_version_is_left_alone(tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "v.db")) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = (tmp_path / "v.db").read_bytes()
    with pytest.raises(VdistillError, match="version 99") as caught, Database.open(tmp_path / "v.db"):
        pass
    assert "upgrade" in caught.value.hint
    with contextlib.closing(sqlite3.connect(tmp_path / "v.db")) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    assert before


def test_an_upgrade_keeps_a_copy_and_a_failed_one_changes_nothing(tmp_path, monkeypatch):
    with Database.open(tmp_path / "v.db") as db:
        db.add_judgments([("k", "p", judgment())])
    version = len(migrations.MIGRATIONS)
    monkeypatch.setattr(migrations, "MIGRATIONS", (*migrations.MIGRATIONS, ("CREATE TABLE extra (x)", "NONSENSE")))
    with pytest.raises(VdistillError), Database.open(tmp_path / "v.db"):
        pass
    assert (tmp_path / f"v.db.v{version}.bak").is_file()
    monkeypatch.undo()
    with Database.open(tmp_path / "v.db") as db:
        assert db.judgments() == [judgment()]


def test_a_full_disk_is_one_clear_line_and_loses_nothing(tmp_path):
    with Database.open(tmp_path / "v.db") as db:
        db.add_judgments([("k", "p", judgment())])
        pages = db._connection.execute("PRAGMA page_count").fetchone()[0]
        db._connection.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own way to a full disk
        with pytest.raises(VdistillError, match="full") as caught:
            db.add_judgments([(f"k{i}", "p", judgment(query="x" * 4000)) for i in range(50)])
        assert "intact" in caught.value.hint
        assert db.judgments() == [judgment()]


def test_settings_are_remembered(tmp_path):
    with Database.open(tmp_path / "v.db") as db:
        assert db.setting("backbone") is None
        db.remember("backbone", "b1")
        db.remember("backbone", "b2")
    with Database.open(tmp_path / "v.db") as db:
        assert db.setting("backbone") == "b2"
