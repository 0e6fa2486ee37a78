"""A workspace that an earlier version made opens as before: nothing is asked, trained or embedded again."""

import json
import sqlite3
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from command_line import vdistill
from vdistill.images import DECODER_VERSION

MADE_IN = "/home/anna/shop"
OLD = sorted((Path(__file__).parent / "old_workspaces").glob("*.zip"))


@pytest.fixture(params=OLD, ids=lambda path: path.stem)
def old(request, tmp_path):
    """The shop of 24 images, labelled, distilled, indexed and benched by an earlier version; here instead of there."""
    with zipfile.ZipFile(request.param) as packed:
        packed.extractall(tmp_path)
    for path in (tmp_path / ".vdistill").rglob("*.json"):
        path.write_text(path.read_text().replace(MADE_IN, str(tmp_path)))
    with closing(sqlite3.connect(tmp_path / ".vdistill" / "vdistill.db")) as database, database:
        database.execute("UPDATE settings SET value = replace(value, ?, ?)", (MADE_IN, str(tmp_path)))
    return tmp_path


def same_decoder(old):
    """Whether images are still decoded as they were; else its vectors are computed again, and nothing else is."""
    manifest = json.loads((old / ".vdistill" / "index" / "manifest.json").read_text())
    return all(entry["decoder"] == DECODER_VERSION for entry in manifest["models"].values())


def test_it_is_searched_as_it_is(old):
    index = sorted((old / ".vdistill" / "index").rglob("*"))
    done = vdistill("query", "red mug", "-k", 3, "--json", cwd=old)
    assert (done.code, done.err == "") == (0, same_decoder(old))
    assert len(done.json["results"]) == 3
    assert sorted((old / ".vdistill" / "index").rglob("*")) == index


def test_no_question_is_asked_again(old):
    command = ["label", "catalog", "--teacher", "table:scores.csv", "--queries", "queries.txt", "--images-per-call", 4,
               "--budget", 400, "--pool", 12, "--json"]  # fmt: skip
    done = vdistill(*command, cwd=old)
    assert done.code == 0, done.err
    assert (done.json["calls"], done.json["reused"] > 100) == (0, True)


def test_its_student_is_measured_and_its_runs_are_known(old):
    done = vdistill("bench", "--json", "--no-worse-than", "last", cwd=old)
    assert done.code == 0, done.err
    assert done.json["models"]["student"]


def test_it_is_indexed_without_embedding_and_trained_on(old):
    expected = 0 if same_decoder(old) else 24
    done = vdistill("index", "--json", cwd=old)
    assert (done.code, done.json["added"], done.json["updated"]) == (0, 0, expected)
    done = vdistill("distill", "--epochs", 1, "--rank", 2, "--keep-anyway", "--device", "cpu", cwd=old)
    assert done.code == 0, done.err


def test_its_student_takes_another_strength(old):
    same_decoder(old)
    assert vdistill("distill", "--strength", 0.5, "--json", cwd=old).json == {"strength": 0.5, "before": 1.0}
    assert "strength 0.5" in (old / ".vdistill" / "student" / "README.md").read_text()
