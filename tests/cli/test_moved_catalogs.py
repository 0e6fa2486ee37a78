"""A catalog that moves from a folder to a bucket keeps what was made from it: judgments, split, vectors, figures."""

import json
import shutil

import numpy as np
import pytest

from command_line import sides_of, vdistill, write_scores
from elsewhere import s3  # noqa: F401
from vdistill.database import Database
from vdistill.distill.sources import read
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.query.search import Searcher

HOLDOUT = 0.4


@pytest.fixture
def home(tmp_path, catalog, clip_folder):
    """A catalog in a folder that was judged, indexed and measured."""
    names = sorted(path.name for path in catalog.glob("*.png"))
    write_scores(tmp_path, [*names, *map(other_name, names)])  # another table would be another teacher
    assert label(tmp_path, "catalog", clip_folder)["calls"] > 100
    assert run(tmp_path, "index", "catalog", "--backbone", clip_folder)["added"] == 24
    return tmp_path


def other_name(name):
    return f"2026/{name}"


def run(home, *command):
    done = vdistill(*command, "--json", cwd=home)
    assert done.code == 0, done.err
    return done.json


def label(home, catalog, backbone):
    return run(home, "label", catalog, "--teacher", "table:scores.csv", "--queries", "queries.txt", "--backbone",
               backbone, "--images-per-call", 4, "--budget", 150, "--holdout", HOLDOUT)  # fmt: skip


def move(home, bucket, to, names=None):
    """Copy the catalog below `to` and remove it here.  names: new ones, by the old."""
    for path in sorted((home / "catalog").iterdir()):
        data = path.read_bytes()
        if path.suffix == ".jsonl":
            rows = [json.loads(line) for line in data.splitlines()]
            rows = [{**row, "file_name": (names or {}).get(row["file_name"], row["file_name"])} for row in rows]
            data = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
        bucket.objects[f"{to}/{(names or {}).get(path.name, path.name)}"] = data
    shutil.rmtree(home / "catalog")


def figures(home):
    """All that `bench` measures, but not when it did."""
    report = run(home, "bench")
    assert report["judge"]["judgments"] > 20
    return {name: value for name, value in report.items() if name != "run"}


def taught(home):
    """The judgments that a training would learn from; none is left out."""
    said = []
    with Database.open(home / ".vdistill" / "vdistill.db") as database:
        found = read(database, said.append).judgments
    assert not any("left out" in line for line in said)
    return found


def vectors(home):
    with Searcher.open(home / ".vdistill") as searcher:
        return dict(zip(searcher.ids, np.asarray(searcher.vectors(searcher.ids)), strict=True))


def test_a_catalog_that_moves_to_a_bucket_keeps_judgments_split_vectors_and_figures(home, s3, clip_folder):  # noqa: F811
    before, sides, measured = vectors(home), sides_of(home, HOLDOUT), figures(home)
    assert set(sides.values()) == {"train", "heldout"}
    move(home, s3, "shop/images")
    report = label(home, "s3://shop/images", clip_folder)
    assert report["calls"] == 0
    assert report["reused"] > 100
    report = run(home, "index", "s3://shop/images")
    assert (report["items"], report["added"], report["updated"], report["removed"]) == (24, 0, 0, 0)
    after = vectors(home)
    assert sorted(after) == sorted(before)
    assert all(np.array_equal(after[name], before[name]) for name in before)
    assert sides_of(home, HOLDOUT, catalog="s3://shop/images") == sides
    assert figures(home) == measured


def test_one_that_gets_other_names_on_the_way_is_known_by_its_contents(home, s3, clip_folder, monkeypatch):  # noqa: F811
    before, sides, measured, lessons = vectors(home), sides_of(home, HOLDOUT), figures(home), taught(home)
    names = {name: other_name(name) for name in before}
    embedded, encode = [], DualEncoder.encode_images
    monkeypatch.setattr(DualEncoder, "encode_images", lambda *given: embedded.append(1) or encode(*given))
    move(home, s3, "shop/images", names)
    report = label(home, "s3://shop/images", clip_folder)
    assert report["calls"] == 0
    assert run(home, "index")["items"] == 24
    assert not embedded
    after = vectors(home)
    assert sorted(after) == sorted(names.values())
    assert all(np.array_equal(after[names[name]], before[name]) for name in before)
    moved = sides_of(home, HOLDOUT, catalog="s3://shop/images")
    assert moved == {names[name]: side for name, side in sides.items()}
    assert [one.items for one in taught(home)] == [tuple(names[item] for item in one.items) for one in lessons]
    assert figures(home) == measured
