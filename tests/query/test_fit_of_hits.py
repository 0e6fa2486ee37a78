"""Hits with a fit, in searches of a catalog whose teacher accepts what the model finds near, and in packs."""

import csv
import json
import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from command_line import errors, vdistill
from vdistill.bundle import manifest
from vdistill.index import fit_sources
from vdistill.query.search import Searcher
from vdistill.workspace import at

WORDS = ("red", "green", "blue", "yellow", "mug", "lamp", "chair", "plant", "teapot", "pot")
ASKED = [f"{one} {two} {three}" for one in WORDS[:4] for two in WORDS[4:] for three in ("", "please")]
UNANSWERED = [f"{number} {word} tyres for nobody" for number in range(12) for word in ("winter", "summer")]


@pytest.fixture(scope="module")
def fitting(drawn_catalog, clip_folder, tmp_path_factory):
    """A workspace without a student, whose teacher accepts what is near to a query by the backbone's own cosines."""
    home = tmp_path_factory.mktemp("fitting")
    command = ("index", drawn_catalog, "--backbone", clip_folder, "--model", "backbone", "--json")
    assert vdistill(*command, cwd=home).json["fit"] is None
    with Searcher.open(home) as searcher:
        cosines = searcher.encode(ASKED) @ searcher.vectors(searcher.ids).T
        items = searcher.ids
    near = (cosines - cosines.mean(axis=1, keepdims=True)) / cosines.std(axis=1, keepdims=True)
    with (home / "scores.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["query", "item", "score"])
        for query, scores in zip(ASKED, near, strict=True):
            rows.writerows([query.strip(), item, 3 * score] for item, score in zip(items, scores, strict=True))
            rows.writerow([query.strip(), "", 2.0])
    known = [{"query": text.strip()} for text in ASKED]
    known += [{"query": text, "answered": False} for text in UNANSWERED[:20]]
    (home / "queries.jsonl").write_text("\n".join(map(json.dumps, known)) + "\n")
    (home / "unseen.txt").write_text("\n".join(UNANSWERED[20:]) + "\n")
    done = vdistill("label", drawn_catalog, "--teacher", "table:scores.csv", "--queries", "queries.jsonl", "--none",
                    "--holdout", 0.5, "--images-per-call", 4, "--json", cwd=home)  # fmt: skip
    assert done.code == 0, done.err
    made = vdistill(*command, cwd=home)
    assert made.json["fit"]["judge"].startswith("table:scores.csv")
    assert made.json["fit"]["unanswered"] > 0
    return home


def hits(home, *options, query="red mug"):
    done = vdistill("query", query, "--json", *options, cwd=home)
    assert done.code == 0, done.err
    return done.json


def test_each_hit_has_a_fit_that_falls_with_its_score(fitting):
    found = hits(fitting, "-k", 24)
    fits = [hit["fit"] for hit in found["results"]]
    assert len(fits) == 24
    assert fits == sorted(fits, reverse=True)
    assert 0 <= fits[-1] < 0.3 < fits[0] <= 1
    assert found["nothing_fits_well"] is (fits[0] < 0.5)


def test_min_fit_gives_fewer_rather_than_worse(fitting):
    every = hits(fitting, "-k", 24)["results"]
    least = sorted(hit["fit"] for hit in every)[-3]
    some = hits(fitting, "-k", 24, "--min-fit", least)["results"]
    assert some == [hit for hit in every if hit["fit"] >= least]
    assert 3 <= len(some) < 24
    diverse = hits(fitting, "-k", 24, "--min-fit", least, "--hybrid")["results"]
    assert {hit["id"] for hit in diverse} == {hit["id"] for hit in some}


def test_where_nothing_fits_the_query_says_so(fitting):
    done = vdistill("query", "red mug", "--min-fit", 0.9999, cwd=fitting)
    assert (done.code, done.err.strip()) == (0, "nothing fits well")
    found = hits(fitting, "--min-fit", 0.9999)
    assert (found["results"], found["nothing_fits_well"]) == ([], True)
    lines = vdistill("query", "--batch", "-", "--min-fit", 0.9999, cwd=fitting, stdin="red mug\nblue pot\n").out
    assert [json.loads(line)["nothing_fits_well"] for line in lines.splitlines()] == [True, True]


def test_a_pack_has_the_fit_too(fitting):
    assert vdistill("index", "--model", "backbone", "--pack", "shop.vdx", cwd=fitting).code == 0
    options = ("-k", 5, "--min-fit", 0.1)
    assert hits(fitting, *options, "--index", "shop.vdx")["results"] == hits(fitting, *options)["results"]


def test_a_database_has_the_fit_too_also_where_a_teacher_orders_the_hits(fitting, tmp_path):
    pytest.importorskip("qdrant_client")
    address = f"qdrant+path:{tmp_path / 'qdrant'}"
    done = vdistill("index", "--model", "backbone", "--to", address, "--json", cwd=fitting)
    assert done.json["to"]["fit"]
    reranked = ("--rerank", 8, "--teacher", "table:scores.csv")  # the same hits in another order
    for options, more in ((("-k", 24), ()), (("-k", 8, "--min-fit", 0.1), reranked)):
        local, found = hits(fitting, *options), hits(fitting, *options, *more, "--from", address)
        fits = [{hit["id"]: hit["fit"] for hit in one["results"]} for one in (local, found)]
        assert fits[0] == pytest.approx(fits[1], abs=1e-3), options
        assert local["nothing_fits_well"] is found["nothing_fits_well"] is not None, options


def test_the_fit_is_known_for_one_text_alone(fitting, drawn_catalog):
    image = drawn_catalog / "red_mug.png"
    found = json.loads(vdistill("query", "--image", image, "--json", cwd=fitting).out)
    assert {hit["fit"] for hit in found["results"]} == {None}
    assert found["nothing_fits_well"] is None
    error, _ = errors(vdistill("query", "--image", image, "--min-fit", 0.5, cwd=fitting))
    assert "one text" in error
    mixed = vdistill("query", "red", "+", "mug", "--json", cwd=fitting).json
    assert mixed["results"][0]["fit"] is None


def test_an_index_without_a_fit_says_what_to_do(fitting, tmp_path):
    index = at(fitting / ".vdistill").index
    entries = manifest.read(index)
    before = (index / manifest.NAME).read_text()
    try:
        manifest.write(index, {name: replace(entry, fit=None) for name, entry in entries.items()})
        assert json.loads((index / manifest.NAME).read_text())["schema_version"] == 3  # older versions read it too
        assert hits(fitting)["results"][0]["fit"] is None
        error, hint = errors(vdistill("query", "red mug", "--min-fit", 0.5, cwd=fitting))
        assert "knows no fit" in error
        assert "vdistill label --none" in hint
    finally:
        (index / manifest.NAME).write_text(before)


def test_an_index_keeps_its_fit_until_judgments_change(fitting, tmp_path, monkeypatch):
    home = shutil.copytree(fitting, tmp_path / "home")
    index = at(home / ".vdistill").index
    before = manifest.read(index)["backbone"].fit
    with monkeypatch.context() as patch:
        patch.setattr(fit_sources, "_fitted", lambda *_: pytest.fail("made again"))
        assert vdistill("index", "--model", "backbone", cwd=home).code == 0
    assert manifest.read(index)["backbone"].fit == before
    with closing(sqlite3.connect(home / ".vdistill" / "vdistill.db")) as database, database:
        database.execute("DELETE FROM judgments WHERE split = 'heldout' AND rowid % 3 = 0")
    assert vdistill("index", "--model", "backbone", cwd=home).code == 0
    assert manifest.read(index)["backbone"].fit["made_from"] != before["made_from"]


def test_bench_measures_the_fit_by_queries_it_was_not_made_from(fitting):
    done = vdistill(
        "bench", "--unanswered", "unseen.txt", "--min-fit", 0.3, "--report", "page.html", "--json", cwd=fitting
    )
    assert done.code == 0, done.err
    fit = done.json["fit"]
    assert 0 <= fit["ece"] < 0.2
    assert fit["ece_ci95"][0] <= fit["ece_ci95"][1]
    assert sum(one["hits"] for one in fit["bins"]) == fit["hits"]
    assert fit["at"]["min_fit"] == 0.3
    assert fit["at"]["unseen"]["queries"] == 4
    assert fit["at_lost"]["lost"]["share"] <= 0.05 + 1 / fit["at_lost"]["lost"]["queries"]
    assert np.all(np.diff([one["lost"]["share"] for one in fit["curve"]]) >= 0)
    page = (fitting / "page.html").read_text()
    assert "Fit of the hits" in page
    assert "Reliability: on the line" in page
    assert "fit of the backbone's hits" in vdistill("bench", cwd=fitting).out
