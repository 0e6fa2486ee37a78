"""A query is answered from the index alone: rightly, in a fixed order, without torch, and quickly."""

import base64
import io
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from drawings import draw_catalog
from indexes import index_of, unit
from vdistill.bundle import shards
from vdistill.bundle.shards import METRIC_OF
from vdistill.errors import VdistillError
from vdistill.index.build import build
from vdistill.inputs.catalog import scan
from vdistill.query.gallery import render
from vdistill.query.search import Searcher
from vdistill.records import Hit
from vdistill.workspace import create


@pytest.fixture(scope="module")
def home(tmp_path_factory, clip_encoder):
    """A catalog and a workspace with its index, read only."""

    home = tmp_path_factory.mktemp("home")
    (home / "catalog").mkdir()
    draw_catalog(home / "catalog")
    build(create(home / ".vdistill"), scan(home / "catalog"), clip_encoder, "backbone")
    return home


@pytest.fixture
def searcher(home):
    with Searcher.at(home / ".vdistill" / "index", "backbone") as searcher:
        yield searcher


# What comes back


def test_hits_are_the_nearest_items_best_first_with_rank_path_and_metadata(searcher, home):
    vector = searcher.encode(["a red mug"])[0]
    scores = dict(zip(searcher.ids, searcher.vectors(searcher.ids) @ vector, strict=True))
    hits = searcher.search(vector, 5)
    assert [hit.id for hit in hits] == sorted(scores, key=lambda id_: -scores[id_])[:5]
    assert [hit.rank for hit in hits] == [1, 2, 3, 4, 5]
    assert hits[0].score == pytest.approx(scores[hits[0].id], abs=1e-5)
    assert hits[0].path == (home / "catalog").resolve() / hits[0].id
    colour, shape = hits[0].id.removesuffix(".png").split("_")
    assert hits[0].metadata["title"] == f"{colour} {shape}"


def test_a_image_finds_itself(searcher, home):
    vector = searcher.encode_image(home / "catalog" / "green_chair.png")
    assert searcher.search(vector, 1)[0].id == "green_chair.png"
    assert searcher.search(vector, 1)[0].score > 0.999


def test_queries_together_are_answered_as_queries_alone(searcher):
    texts = ["red mug", "a gift for a mother who loves gardening", "x", "green " * 100]
    for text, vector in zip(texts, searcher.encode(texts), strict=True):
        assert searcher.search(vector, 7) == searcher.search(text, 7)


def test_more_than_there_are_gives_all(searcher):
    assert sorted(hit.id for hit in searcher.search(searcher.encode(["mug"])[0], 1000)) == searcher.ids


def test_where_narrows_before_the_k_best_are_taken(searcher):
    vector = searcher.encode(["mug"])[0]
    hits = searcher.search(vector, 3, where="price < 8")
    assert len(hits) == 3
    assert all(hit.metadata["price"] < 8 for hit in hits)
    assert [hit.id for hit in hits] == [h.id for h in searcher.search(vector, 99) if h.metadata["price"] < 8][:3]
    assert searcher.search(vector, 3, where="price > 1000") == []


def test_the_facts_of_the_index_are_at_hand(searcher, home, clip_encoder):
    assert len(searcher) == searcher.manifest.count == 24
    assert searcher.manifest.model_fingerprint == clip_encoder.fingerprint
    assert searcher.catalog_root == str((home / "catalog").resolve())
    assert searcher.metadata(["red_mug.png"])[0]["title"] == "red mug"


@pytest.mark.parametrize("text", ["", " ", "mug " * 3000, "🎁👩‍🌾", "مرحبا", "<|endoftext|>", "\0", "\ud7ff"])
def test_any_text_has_a_vector(searcher, text):
    assert np.linalg.norm(searcher.encode([text])[0]) == pytest.approx(1, abs=1e-5)


def test_no_texts_have_no_vectors(searcher):
    assert searcher.encode([]).shape == (0, searcher.manifest.dim)


# Order and precision


@pytest.mark.parametrize("dtype", METRIC_OF)
def test_equal_items_are_ordered_by_id_whatever_their_keys(tmp_path, dtype):
    vectors = np.repeat(unit(3, 8), 40, axis=0)
    with index_of(tmp_path, vectors, dtype) as searcher:
        for k in (1, 5, 39, 40, 41, 120):
            hits = searcher.search(vectors[50], k)
            assert [hit.id for hit in hits][:40] == [f"{n:05}" for n in range(40, 80)][:k]
            assert [(-hit.score, hit.id) for hit in hits] == sorted((-hit.score, hit.id) for hit in hits)


@pytest.mark.parametrize(("dtype", "tolerance"), [("f32", 1e-6), ("f16", 1e-3), ("bf16", 1e-2), ("i8", 2e-2)])
def test_scores_are_cosines_in_every_precision(tmp_path, dtype, tolerance):
    vectors = unit(200, 64)
    with index_of(tmp_path, vectors, dtype) as searcher:
        hits = searcher.search(vectors[7], 200)
        assert hits[0].id == "00007"
        for hit in hits:
            assert hit.score == pytest.approx(float(vectors[int(hit.id)] @ vectors[7]), abs=tolerance)


def test_vectors_come_in_the_order_asked_for(tmp_path):
    vectors = unit(50, 16)
    with index_of(tmp_path, vectors) as searcher:
        np.testing.assert_allclose(searcher.vectors(["00003", "00040", "00003"]), vectors[[3, 40, 3]], atol=1e-6)
        assert searcher.vectors([]).shape == (0, 16)
        with pytest.raises(VdistillError, match="'nothing' is not indexed"):
            searcher.vectors(["nothing"])


@settings(max_examples=60)
@given(count=st.integers(1, 60), k=st.integers(1, 80), distinct=st.integers(1, 10), seed=st.integers(0, 99))
def test_exact_search_equals_sorting_everything(tmp_path_factory, count, k, distinct, seed):
    vectors = unit(distinct, 8, seed)[np.random.default_rng(seed).integers(0, distinct, count)]
    query = unit(1, 8, seed + 1)[0]
    with index_of(tmp_path_factory.mktemp("index"), vectors) as searcher:
        scores = [round(float((vector * query).sum()), 6) for vector in searcher.vectors(searcher.ids)]
        expected = sorted(range(count), key=lambda n: (-scores[n], n))[:k]
        assert [int(hit.id) for hit in searcher.search(query, k)] == expected


@pytest.mark.parametrize("dtype", METRIC_OF)
def test_beyond_the_limit_lists_are_searched_and_nearly_all_is_found(tmp_path, monkeypatch, dtype):
    monkeypatch.setattr(shards, "FLAT", 500)
    vectors = unit(3000, 32)
    with index_of(tmp_path, vectors, dtype, lists=True) as searcher:
        stored = searcher.vectors(searcher.ids)
        nearest = np.argsort(-vectors[:50] @ stored.T, axis=1)[:, :10]
        for exact, least in ((False, 0.95), (True, 1.0 if dtype != "i8" else 0.99)):
            found = [[int(hit.id) for hit in searcher.search(vector, 10, exact=exact)] for vector in vectors[:50]]
            assert np.mean([len({*a} & {*b}) / 10 for a, b in zip(found, nearest, strict=True)]) >= least
        assert len(searcher.search(vectors[0], 3000)) == 3000


# Bad input


@pytest.mark.parametrize("k", [0, -1])
def test_k_below_one_is_refused(searcher, k):
    with pytest.raises(VdistillError, match="cannot find"):
        searcher.search(searcher.encode(["x"])[0], k)


def test_vectors_of_another_space_are_refused(searcher):
    with pytest.raises(VdistillError, match="dimension 16"):
        searcher.search(np.ones(5, np.float32), 1)
    with pytest.raises(VdistillError, match="not finite"):
        searcher.search(np.full(16, np.nan, np.float32), 1)


def test_a_image_that_cannot_be_read_is_named(searcher, tmp_path):
    with pytest.raises(VdistillError, match=r"cannot search by .*gone.png: no such file"):
        searcher.encode_image(tmp_path / "gone.png")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(VdistillError, match="not an image"):
        searcher.encode_image(tmp_path / "text.png")


# Without torch

SEARCH = """
import sys
from pathlib import Path
from vdistill.query.gallery import render
from vdistill.query.search import Searcher
home = Path(sys.argv[1])
searcher = Searcher.at(home / ".vdistill" / "index", "backbone")
hits = searcher.search(searcher.encode(["red mug"])[0], 3, where="price < 100")
searcher.search(searcher.encode_image(home / "catalog" / "red_mug.png"), 3)
searcher.truncated(["red mug"])
print(len(hits), len(render("red mug", hits)) > 1000)
"""


def test_the_search_path_never_touches_torch(home, tmp_path):
    for name in ("torch", "transformers", "peft", "onnx", "onnxscript"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise RuntimeError('{name} was imported')")
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2] / "src")])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", SEARCH, str(home)], capture_output=True, text=True, env=environment)
    assert done.stdout == "3 True\n", done.stderr
    assert done.stderr == ""


# The gallery


class Resources(HTMLParser):
    """Everything a page refers to, and its text."""

    def __init__(self, page):
        super().__init__()
        self.sources, self.tags, self.text = [], [], ""
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [value for name, value in attributes if name in ("src", "href", "srcset", "action")]

    def handle_data(self, data):
        self.text += data


def hit(path, rank=1, **metadata):
    return Hit(rank, path.name, path, 0.5, metadata)


def test_a_gallery_holds_its_images_and_asks_nobody(searcher):
    page = Resources(render("red mug", searcher.search(searcher.encode(["red mug"])[0], 6)))
    assert len(page.sources) == 6
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    assert not {"script", "link", "iframe"} & set(page.tags)


def test_thumbnails_are_small(tmp_path):
    Image.effect_noise((3000, 1200), 50).save(tmp_path / "large.jpg")
    source = Resources(render("x", [hit(tmp_path / "large.jpg")])).sources[0]
    with Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))) as thumbnail:
        assert thumbnail.size == (240, 96)


def test_whatever_titles_and_queries_hold_is_text(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    nasty = "<script>alert('x')</script>\"'&"
    page = Resources(render(nasty, [hit(tmp_path / "a.png", title=nasty, maker=nasty)]))
    assert "script" not in page.tags
    assert page.text.count(nasty) == 4


def test_a_vanished_image_is_a_placeholder_with_the_reason(tmp_path):
    page = render("x", [hit(tmp_path / "gone.png", title="a lamp")])
    assert "no such file" in page
    assert "a lamp" in page
    assert not Resources(page).sources


def test_the_backbone_stands_beside_the_student(searcher):
    student, backbone = (searcher.search(searcher.encode([text])[0], 4) for text in ("mug", "lamp"))
    page = render("mug", student, compare=backbone)
    assert re.findall(r"<h2>(.*)</h2>", page) == ["backbone", "student"]
    assert len(Resources(page).sources) == 8


def test_an_empty_gallery_says_so():
    assert "No results." in render("x", [])
