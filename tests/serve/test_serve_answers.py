"""The server answers what `vdistill query` answers, to the last digit."""

import base64
import io
import itertools
import json

import httpx2
import numpy as np
import pytest
from PIL import Image

from command_line import vdistill
from served import WHERE_WORKS, needs_where, refused

FLAGS = {
    "k": ("-k", (1, 10, 37)), "per": ("--per", (None, "image")),
    "where": ("--where", (None, "price < 20") if WHERE_WORKS else (None,)),
    "diverse": ("--diverse", (None, 0.4)), "min_score": ("--min-score", (None, 0.0)),
}  # fmt: skip
SWITCHES = {"hybrid": "--hybrid", "exact": "--exact"}


def command(home, words, options):
    """What the command prints, as the server's results."""
    flags = []
    for name, value in options.items():
        if name in SWITCHES:
            flags += [SWITCHES[name]] if value else []
        elif value is not None:
            flags += [FLAGS[name][0], value]
    done = vdistill("query", *words, *flags, "--json", cwd=home)
    assert done.code == 0, done.err
    return [{name: value for name, value in one.items() if name != "path"} for one in done.json["results"]]


def answer(response):
    assert response.status_code == 200, response.text
    return [{name: value for name, value in one.items() if name != "image"} for one in response.json()["results"]]


def combinations():
    """Every third of all combinations of options."""
    values = [*(values for _, values in FLAGS.values()), (False, True), (False, True)]
    for chosen in itertools.islice(itertools.product(*values), 0, None, 3):
        yield dict(zip([*FLAGS, *SWITCHES], chosen, strict=True))


def test_the_same_results_as_the_command_whatever_the_options(large_site, large_shop):
    texts = ["red thing", "a gift for a mother who loves gardening", "x"]
    for number, options in enumerate(combinations()):
        text = texts[number % 3]
        expected = command(large_shop, [text], options)
        given = {name: value for name, value in options.items() if value is not None}
        assert answer(large_site.get("/v1/search", params={"query": text, **given})) == expected, options
        assert answer(large_site.post("/v1/search", {"query": text, **given})) == expected, options
        assert number < 3 or expected or options["min_score"] is not None


@pytest.mark.parametrize("words", [["2:cosy", "+", "lamp", "-", "plastic"], ["-", "red mug"], ["16:9 screen"]])
def test_mixtures_are_those_of_the_command(site, shop, words):
    expected = command(shop, words, {})
    assert answer(site.get("/v1/search", params={"query": words})) == expected
    assert answer(site.post("/v1/search", {"query": words})) == expected


def test_terms_say_the_same_as_words(site, shop):
    expected = command(shop, ["2:cosy", "+", "lamp", "-", "plastic"], {})
    terms = [{"text": "cosy", "weight": 2}, {"text": "lamp"}, {"text": "plastic", "weight": -1}]
    assert answer(site.post("/v1/search", {"terms": terms})) == expected


def test_an_image_is_searched_for_as_by_the_command(site, shop):
    path = shop / "catalog" / "green_chair.png"
    expected = command(shop, ["--image", path], {"k": 5})
    assert answer(site.post("/v1/search", files={"image": path.read_bytes()}, data={"k": 5})) == expected
    encoded = base64.b64encode(path.read_bytes()).decode()
    assert answer(site.post("/v1/search", {"terms": [{"image": encoded}], "k": 5})) == expected
    mixed = command(shop, ["red mug", "+", path], {})
    files = {"image": ("a.png", path.read_bytes())}
    assert answer(site.post("/v1/search", files=files, data={"query": "red mug"})) == mixed


def test_a_text_that_names_a_file_is_a_text(site, shop):
    named = str(shop / "catalog" / "green_chair.png")
    found = answer(site.get("/v1/search", params={"query": named}))
    assert len(found) == 10
    assert found != command(shop, ["--image", named], {})


def test_a_batch_is_answered_as_single_queries_are(large_site):
    texts = ["red thing", "x", "grün 🎁"]
    together = large_site.post("/v1/search/batch", {"queries": texts, "k": 3, "hybrid": True}).json()["answers"]
    assert [one["query"] for one in together] == texts
    for one, text in zip(together, texts, strict=True):
        alone = large_site.get("/v1/search", params={"query": text, "k": 3, "hybrid": True}).json()
        assert one["results"] == alone["results"]


def test_another_models_results_beside(site, shop):
    both = site.get("/v1/compare", params={"query": "red mug", "k": 4}).json()
    for model in ("student", "backbone"):
        alone = site.get("/v1/search", params={"query": "red mug", "k": 4, "model": model}).json()
        assert alone["model"] == model
        assert both[model]["results"] == alone["results"]
    assert both["student"]["results"] != both["backbone"]["results"]
    assert refused(site.get("/v1/search?query=x&model=other"), 404, "model_not_found")


def test_what_looks_like_an_item_without_its_own_product(site, large_site):
    found = site.get("/v1/similar/red_mug.png", params={"k": 23}).json()["results"]
    assert len(found) == 23
    assert "red_mug.png" not in [one["id"] for one in found]
    assert [one["rank"] for one in found] == list(range(1, 24))
    products = [one["product"] for one in large_site.get("/v1/similar/00042").json()["results"]]
    assert len(products) == 10
    assert large_site.get("/v1/items/00042").json()["product"] not in products
    images = large_site.get("/v1/similar/00042", params={"per": "image"}).json()["results"]
    assert "00042" not in [one["id"] for one in images]
    assert len(images) == 10


def test_an_item_and_an_id_as_part_of_a_query(site):
    item = site.get("/v1/items/red_mug.png").json()
    assert item["metadata"]["title"] == "red mug"
    assert item["image"] == "/v1/images/red_mug.png"
    first = site.post("/v1/search", {"terms": [{"id": "red_mug.png"}], "k": 1}).json()["results"][0]
    assert (first["id"], first["score"]) == ("red_mug.png", 1.0)
    refused(site.get("/v1/items/gone.png"), 404, "not_found")
    refused(site.post("/v1/search", {"terms": [{"id": "gone.png"}]}), 404, "not_found")


def test_images_come_in_a_few_sizes_and_once(site, shop):
    for size in (160, 1280):
        response = site.get("/v1/images/red_mug.png", params={"size": size})
        assert response.headers["content-type"] == "image/jpeg"
        with (
            Image.open(io.BytesIO(response.content)) as image,
            Image.open(shop / "catalog" / "red_mug.png") as original,
        ):
            assert max(image.size) == min(size, max(original.size))
    tag = response.headers["etag"]
    again = site.get("/v1/images/red_mug.png?size=1280", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    refused(site.get("/v1/images/red_mug.png?size=5000"), 400, "invalid_request")
    assert (shop / ".vdistill" / "cache" / "thumbnails").is_dir()


def test_an_image_that_is_gone_is_missing_alone(large_site):
    assert "cannot be read" in refused(large_site.get("/v1/images/00001"), 404, "image_unreadable")
    assert large_site.get("/v1/items/00001").status_code == 200


def test_texts_become_the_vectors_that_searches_use(site, shop):
    from vdistill import Searcher

    texts = ["red mug", "a lamp"]
    with Searcher.open(shop) as searcher:
        expected = searcher.encode(texts)
    own = site.post("/v1/embed", {"texts": texts}).json()
    assert np.array_equal(np.array(own["vectors"], np.float32), expected)
    body = {"model": "student", "input": texts}
    document = site.post("/v1/embeddings", body, headers={"Authorization": "Bearer sk-any"}).json()
    assert np.array_equal(np.array([one["embedding"] for one in document["data"]], np.float32), expected)
    assert document["usage"]["total_tokens"] > 2
    packed = site.post("/v1/embeddings", {**body, "input": "red mug", "encoding_format": "base64"}).json()
    assert np.array_equal(np.frombuffer(base64.b64decode(packed["data"][0]["embedding"]), "<f4"), expected[0])
    assert [one["id"] for one in site.get("/v1/models").json()["data"]]


def test_a_query_that_is_cut_says_so(site):
    assert site.get("/v1/search", params={"query": "green " * 200}).json()["truncated"]
    assert not site.get("/v1/search", params={"query": "green"}).json()["truncated"]


def test_the_server_tells_about_itself(site):
    info = site.get("/v1/info").json()
    assert (info["items"], info["model"], info["models"]) == (24, "student", ["backbone", "student"])
    assert info["columns"]["price"] == "number"
    assert site.get("/healthz").json() == site.get("/readyz").json() == {"status": "ok"}
    counted = site.get("/metrics").text
    assert 'vdistill_requests_total{route="/v1/info",status="200"}' in counted
    assert "vdistill_index_items 24.0" in counted
    assert "red_mug" not in counted
    assert site.client.head("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("document", "word"),
    [
        ({}, "nothing is looked for"), ({"query": ""}, "empty"), ({"query": 3}, "query"), ({"query": []}, "query"),
        ({"query": "x", "k": 0}, "k"), ({"query": "x", "k": 1001}, "k"), ({"query": "x", "k": "3"}, "k"),
        ({"query": "x", "k": True}, "k"), ({"query": "x", "diverse": 2}, "diverse"),
        ({"query": "x", "per": "y"}, "per"),
        ({"query": "x", "wher": "y"}, "wher"), ({"query": "x", "terms": [{"text": "x"}]}, "both"),
        ({"terms": [{"text": "x", "id": "y"}]}, "one of"), ({"terms": [{"text": "x", "weight": 0}]}, "weight 0"),
        ({"terms": []}, "terms"), ({"terms": [{"image": "%"}]}, "Base64"), ({"query": "x" * 5000}, "letters"),
        ({"query": "a\0b"}, "NUL"), ({"query": ["a", "+"]}, "empty"),
        pytest.param({"query": "x", "where": "prise < 3"}, "prise", marks=needs_where),
        ({"query": "x", "k": 900, "diverse": 0.5}, "diverse"),
        ({"query": "x", "min_score": float(10**30)}, "min_score"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_named(site, document, word):
    message = refused(site.post("/v1/search", document), 400, "invalid_request")
    assert word in message
    assert "--" not in message


def test_other_wrong_requests_are_named_too(site):
    refused(site.post("/v1/search", content=b"{"), 400, "invalid_request")
    refused(site.post("/v1/search", content=b"[" * 100_000), 400, "invalid_request")
    refused(site.post("/v1/search", content=b'{"query": "x", "k": ' + b"9" * 10_000 + b"}"), 400, "invalid_request")
    refused(site.post("/v1/search", content=b'{"query": "x", "min_score": NaN}'), 400, "invalid_request")
    refused(site.post("/v1/search", content=b"x", headers={"Content-Type": "text/html"}), 415, "unsupported_media_type")
    refused(site.get("/v1/search", params={"query": "x", "k": ["1", "2"]}), 400, "invalid_request")
    refused(site.get("/v1/nothing"), 404, "not_found")
    refused(site.client.delete("/v1/search"), 405, "method_not_allowed")
    refused(site.post("/v1/embeddings", {"input": [1, 2], "model": "student"}), 400, "invalid_request")
    refused(site.post("/v1/embeddings", {"input": "x", "dimensions": 7}), 400, "invalid_request")
    refused(site.post("/v1/search/batch", {"queries": ["x"] * 101}), 400, "invalid_request")


def test_pages_are_served_and_load_nothing_from_elsewhere(site):
    for path in ("/", "/docs"):
        page = site.get(path)
        assert page.headers["content-type"].startswith("text/html")
        assert "http://" not in page.text.replace("http://www.w3.org", "")
        assert "https://" not in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]
    assert site.get("/docs.css").headers["content-type"].startswith("text/css")


def test_images_by_address_are_off(site):
    refused(site.post("/v1/search", {"terms": [{"image_url": "http://127.0.0.1/x.png"}]}), 403, "image_urls_off")


def test_a_library_for_http_needs_nothing_special(site):
    with httpx2.stream("GET", f"http://127.0.0.1:{site.port}/v1/search?query=red+mug") as response:
        assert json.loads(response.read())["model"] == "student"
