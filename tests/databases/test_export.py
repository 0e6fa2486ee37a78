"""`index --export`: vectors, ids and metadata as a file that other tools read."""

import json
import shutil

import numpy as np
import pytest
from pyarrow import parquet

from command_line import errors, vdistill
from vdistill.query.search import Searcher


@pytest.fixture
def home(indexed, tmp_path):
    shutil.copytree(indexed, tmp_path / "home")
    return tmp_path / "home"


def export(home, name):
    done = vdistill("index", "--model", "backbone", "--export", name, "--json", cwd=home)
    assert done.code == 0, done.err
    return done.json["export"]


def test_a_parquet_file_has_it_all(home):
    assert export(home, "vectors.parquet") == {"files": ["vectors.parquet"], "items": 24, "dim": 16}
    table = parquet.read_table(home / "vectors.parquet")
    with Searcher.at(home / ".vdistill" / "index", "backbone") as searcher:
        assert table["id"].to_pylist() == searcher.ids
        assert np.allclose(np.array(table["vector"].to_pylist()), searcher.vectors(searcher.ids), atol=1e-6)
        assert [json.loads(one) for one in table["metadata"].to_pylist()] == searcher.metadata(searcher.ids)
        known = json.loads(table.schema.metadata[b"vdistill"])
        assert known["model_fingerprint"] == searcher.manifest.model_fingerprint
    assert table["price"].to_pylist()[0] == 17.0
    assert str(table.schema.field("price").type) == "double"


def test_a_npy_file_has_the_items_beside_it(home):
    assert export(home, "out.npy")["files"] == ["out.npy", "out.jsonl", "out.json"]
    vectors, lines = np.load(home / "out.npy"), (home / "out.jsonl").read_text().splitlines()
    assert vectors.shape == (24, 16)
    with Searcher.at(home / ".vdistill" / "index", "backbone") as searcher:
        assert [json.loads(line)["id"] for line in lines] == searcher.ids
        assert np.allclose(vectors, searcher.vectors(searcher.ids), atol=1e-6)
        assert json.loads((home / "out.json").read_text())["made_from"] == searcher.manifest.made_from
    assert json.loads(lines[0])["metadata"]["title"] == "blue chair"


def test_what_cannot_be_written_is_named_before_anything_is_embedded(home):
    for name in ("vectors.csv", "vectors"):
        assert ".parquet" in errors(vdistill("index", "--export", name, cwd=home))[1]
    done = vdistill("index", "--model", "backbone", "--export", "catalog/red_mug.png/x.npy", cwd=home)
    assert done.code == 1
    assert "cannot write" in done.err
