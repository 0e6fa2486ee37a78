"""One result a product, with the image that fits best: exactly what ranking every image would give, and always k."""

import json
import re
import sqlite3
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from command_line import vdistill
from drawings import COLOURS, SHAPES, draw, draw_catalog
from indexes import index_of, unit
from vdistill import Searcher
from vdistill.arrays import distinct
from vdistill.bundle import shards
from vdistill.bundle.shards import METRIC_OF
from vdistill.errors import VdistillError
from vdistill.inputs.catalog import scan


def first_of_each(hits, product):
    """What a person would do with a list of images: keep the first of each product."""
    found = {}
    for hit in hits:
        found.setdefault(product(hit), hit)
    return [hit.id for hit in found.values()]


@given(values=st.lists(st.integers(0, 9), max_size=30), kind=st.sampled_from([np.int64, np.uint64]))
def test_the_first_of_each_value_is_what_numpy_finds(values, kind):
    given_, first, place = np.unique(np.array(values, kind), return_index=True, return_inverse=True)
    found = distinct(np.array(values, kind))
    assert [part.tolist() for part in found] == [first.tolist(), place.tolist()]
    assert len(found[0]) == len(given_)


@settings(max_examples=80)
@given(
    count=st.integers(1, 120),
    products=st.integers(1, 30),
    k=st.integers(1, 40),
    distinct=st.integers(1, 20),
    dtype=st.sampled_from(sorted(METRIC_OF)),
    how=st.fixed_dictionaries({}, optional={"where": st.just("n % 3 > 0"), "min_score": st.floats(-0.3, 0.3)}),
    seed=st.integers(0, 99),
)
def test_products_come_as_their_best_images_do(tmp_path_factory, count, products, k, distinct, dtype, how, seed):
    rng = np.random.default_rng(seed)
    vectors = unit(distinct, 8, seed)[rng.integers(0, distinct, count)]
    # Products of very different sizes, and images that belong to none.
    sku = [None if rng.random() < 0.2 else int(products * rng.random() ** 3) for _ in range(count)]
    query = unit(1, 8, seed + 1)[0]
    with index_of(
        tmp_path_factory.mktemp("index"), vectors, dtype, metadata=lambda n: {"sku": sku[n], "n": n}
    ) as found:
        images = found.search(query, count, per="image", **how)
        expected = first_of_each(images, lambda hit: hit.metadata.get("sku") if hit.product else hit.id)[:k]
        hits = found.search(query, k, **how)
        assert [hit.id for hit in hits] == expected
        assert [hit.rank for hit in hits] == list(range(1, len(hits) + 1))
        sizes = {value: sku.count(value) for value in sku if value is not None}
        for hit in hits:
            own = hit.metadata.get("sku")
            assert (hit.product, hit.images) == ((None, 1) if own is None else (str(own), sizes[own]))


@pytest.mark.parametrize("dtype", METRIC_OF)
def test_a_product_of_many_images_starves_no_other(tmp_path, monkeypatch, dtype):
    monkeypatch.setattr(shards, "FLAT", 200)
    query = unit(1, 16, 9)[0]
    vectors = unit(1500, 16)
    crowd = query + 0.01 * vectors[:500]  # all of them nearer than anything else
    vectors[:500] = crowd / np.linalg.norm(crowd, axis=1, keepdims=True)
    with index_of(tmp_path, vectors, dtype, lists=True, metadata=lambda n: {"sku": "crowd" if n < 500 else n}) as found:
        for options in ({}, {"exact": True}, {"where": "id >= '00000'"}):
            hits = found.search(query, 10, **options)
            assert len(hits) == 10
            assert (hits[0].product, hits[0].images) == ("crowd", 500)
            assert {hit.images for hit in hits[1:]} == {1}
        exact = found.search(query, 10, exact=True)
        nearest = first_of_each(found.search(query, 1500, exact=True, per="image"), lambda hit: hit.product)
        assert [hit.id for hit in exact] == nearest[:10]
        assert len(found.search(query, 2000)) == 1001, "all products, where fewer are there than asked for"


def test_words_find_products_too(tmp_path):
    names = {7: "a rare zebrawood bowl", 8: "a rare zebrawood bowl", 9: "zebrawood"}
    sku = {7: "bowl", 8: "bowl", 9: "bowl", 11: "bowl"}

    def metadata(n):
        return {"title": names.get(n, "thing"), "sku": sku.get(n, f"s{n // 3}"), "n": n}

    vectors = unit(2000, 32)
    with index_of(tmp_path, vectors, metadata=metadata) as searcher:
        from vdistill.query.search import SearchOptions

        query = unit(1, 32, 5)[0]
        hits = searcher.hits(query, 10, SearchOptions(hybrid=True), "zebrawood")
        bowl = [hit for hit in hits if hit.product == "bowl"]
        assert len(bowl) == 1
        best = max((7, 8, 9, 11), key=lambda n: float(vectors[n] @ query))
        assert bowl[0].id == f"{best:05}", "the image that fits best, also one without the word"
        assert len({hit.product for hit in hits}) == len(hits) == 10
        allowed = searcher.hits(query, 10, SearchOptions(hybrid=True, where=f"n != {best}"), "zebrawood")
        assert f"{best:05}" not in {hit.id for hit in allowed}
        assert sum(hit.product == "bowl" for hit in allowed) == 1
        plain = searcher.hits(query, 10, SearchOptions(), "zebrawood")
        assert searcher.hits(query, 10, SearchOptions(hybrid=True), "quagga") == plain
        assert searcher.hits(query, 10, SearchOptions(hybrid=True, where="n < 0"), "zebrawood") == []


def test_results_that_differ_are_of_different_products(tmp_path):
    vectors = np.repeat(unit(300, 16), 5, axis=0)
    with index_of(tmp_path, vectors, metadata=lambda n: {"item_id": n // 5}) as searcher:
        hits = searcher.search(vectors[0], 20, diverse=0.4)
        assert len({hit.product for hit in hits}) == 20


def test_without_groups_nothing_is_another(tmp_path):
    with index_of(tmp_path, unit(200, 16), metadata=lambda n: {"group": None if n % 2 else [n]}) as searcher:
        query = unit(1, 16, 5)[0]
        assert searcher.search(query, 50) == searcher.search(query, 50, per="image")
        assert {(hit.product, hit.images) for hit in searcher.search(query, 50)} == {(None, 1)}
        with pytest.raises(VdistillError, match="neither 'product' nor 'image'"):
            searcher.search(query, 5, per="sku")


# The command, on a catalog of 24 products with three images each


@pytest.fixture(scope="module")
def home(tmp_path_factory, clip_folder):
    home = tmp_path_factory.mktemp("home")
    (home / "catalog").mkdir()
    rows = []
    for c, colour in enumerate(COLOURS):
        for s, shape in enumerate(SHAPES):
            for view in range(3):
                name = f"{colour}_{shape}_{view}.png"
                draw(colour, s, 40 + 4 * c + view, 48 + 3 * s).save(home / "catalog" / name)
                rows.append({"file_name": name, "title": f"{colour} {shape}", "sku": float(10 * c + s), "view": view})
    (home / "catalog" / "metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    done = vdistill("index", "catalog", "--model", "backbone", "--backbone", clip_folder, cwd=home)
    assert done.code == 0, done.err
    return home


def ask(home, *arguments):
    done = vdistill("query", *arguments, "--json", cwd=home)
    assert done.code == 0, done.err
    return done


def test_a_query_gives_products_unless_it_asks_for_images(home):
    products = ask(home, "red mug", "-k", 24).json["results"]
    assert len({hit["product"] for hit in products}) == 24
    assert {hit["images"] for hit in products} == {3}
    images = ask(home, "red mug", "-k", 72, "--per", "image").json["results"]
    assert len(images) == 72
    first = {}
    for hit in images:
        first.setdefault(hit["product"], hit["id"])
    assert [hit["id"] for hit in products] == list(first.values())
    assert products[0]["product"] == str(int(products[0]["metadata"]["sku"])), "12.0 is 12"
    assert "only 24 products are indexed, 30 were asked for" in ask(home, "red mug", "-k", 30).err


def test_a_batch_of_products_is_what_each_query_gives_alone(home):
    for how in (["--hybrid"], ["--diverse", 0.3], ["--where", "view > 0"], ["--min-score", 0.1], []):
        texts = ["red mug", "x", "a lamp for my aunt"]
        done = vdistill("query", "--batch", "-", "-k", 7, *how, cwd=home, stdin="\n".join(texts))
        lines = [json.loads(line) for line in done.out.splitlines()]
        for line, text in zip(lines, texts, strict=True):
            assert line["results"] == ask(home, text, "-k", 7, *how).json["results"]


def test_people_see_the_product_and_how_many_images_it_has(home):
    done = vdistill("query", "red mug", "-k", 3, "--gallery", "page.html", "--compare", cwd=home)
    assert done.code == 0, done.err
    head = next(line for line in done.out.splitlines() if "score" in line)
    assert head.split() == ["#", "score", "title", "item", "product", "images"]
    page = (home / "page.html").read_text()
    assert len(re.findall(r"product \d+, 3 images", page)) == 6
    assert "product" not in vdistill("query", "red mug", "--where", "view > 5", cwd=home).out


def test_an_index_of_an_older_version_has_images_and_the_next_build_finds_the_products(home, tmp_path):
    import shutil

    shutil.copytree(home, tmp_path / "old")
    folder = tmp_path / "old" / ".vdistill" / "index"
    document = json.loads((folder / "manifest.json").read_text())
    entry = document["models"]["backbone"]
    entry["catalog"] = str(tmp_path / "old" / "catalog")
    path = folder / entry["items"]["name"]
    with closing(sqlite3.connect(path)) as items:
        items.executescript("DROP TABLE products; DROP TABLE product_images; VACUUM")
    from dataclasses import asdict

    from vdistill.bundle.manifest import FileFacts

    entry["items"] = asdict(FileFacts.measure(folder, entry["items"]["name"]))
    (folder / "manifest.json").write_text(json.dumps(document))
    before = ask(tmp_path / "old", "red mug", "-k", 72).json["results"]
    assert {(hit["product"], hit["images"]) for hit in before} == {(None, 1)}
    done = vdistill("index", "catalog", "--model", "backbone", "--json", cwd=tmp_path / "old")
    assert (done.json["added"], done.json["updated"], done.json["items"]) == (0, 0, 72)
    after = ask(tmp_path / "old", "red mug", "-k", 72).json["results"]
    assert len(after) == 24


def test_a_placeholder_that_products_share_joins_none_of_them(tmp_path, clip_encoder):
    from vdistill.index.build import build
    from vdistill.workspace import create

    (tmp_path / "catalog").mkdir()
    draw_catalog(tmp_path / "catalog")
    (tmp_path / "catalog" / "copy.png").write_bytes((tmp_path / "catalog" / "red_mug.png").read_bytes())
    (tmp_path / "catalog" / "loose.png").write_bytes((tmp_path / "catalog" / "red_mug.png").read_bytes())
    rows = [{"file_name": "red_mug.png", "sku": "b"}, {"file_name": "copy.png", "sku": "a"},
            {"file_name": "blue_mug.png", "sku": "a"}, {"file_name": "green_mug.png", "sku": "c"}]  # fmt: skip
    (tmp_path / "catalog" / "metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    workspace = create(tmp_path / ".vdistill")
    build(workspace, scan(tmp_path / "catalog"), clip_encoder, "backbone")
    with Searcher.at(workspace.index, "backbone") as searcher:
        hits = searcher.search("red mug", 99, per="image")
        product = {hit.id: (hit.product, hit.images) for hit in hits}
        assert product["red_mug.png"] == ("b", 1)
        assert product["copy.png"] == product["blue_mug.png"] == ("a", 2)
        assert product["loose.png"][0] is None
        assert len(searcher.search("red mug", 99)) == len(hits) - 1
