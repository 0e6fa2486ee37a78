"""The OpenAPI document says what the server does: every request that it allows is answered as it says."""

import json
import re

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import served  # skips without the extra
from vdistill.serve.openapi import document
from vdistill.serve.routes import ROUTES

DOCUMENT = document()
PATHS = [(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods]
VALUES = {
    "query": st.sampled_from(["red mug", "x", "grün"]), "k": st.integers(1, 30),
    "per": st.sampled_from(["product", "image"]),
    "where": st.sampled_from(["price < 12", "title LIKE '%red%'"]),
    "diverse": st.floats(0, 1), "min_score": st.floats(-1, 1), "hybrid": st.booleans(), "exact": st.booleans(),
    "model": st.sampled_from(["student", "backbone"]), "size": st.sampled_from([160, 320]),
    "terms": st.lists(st.sampled_from([{"text": "lamp"}, {"id": "red_mug.png", "weight": 2}]), min_size=1, max_size=3),
    "texts": st.just(["a", "b"]), "queries": st.just(["a", "b"]), "input": st.sampled_from(["a", ["a", "b"]]),
    "rerank": st.just(False),
    "encoding_format": st.sampled_from(["float", "base64"]), "dimensions": st.just(16), "user": st.just("u"),
    "id": st.just("red_mug.png"), "vote": st.sampled_from(["up", "down"]), "undo": st.booleans(),
    "shown": st.just(["red_mug.png", "blue_mug.png"]), "votes": st.just({"blue_mug.png": "down"}),
}  # fmt: skip
OPTIONAL = ("/v1/feedback", "/v1/why/{id}")  # this server was started without them
ANY = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.just([{}])
)


def check(operation, response):
    """The answer's status is one that is documented, and so is its content."""
    told = operation["responses"].get(str(response.status_code))
    assert told, f"{response.status_code} is not documented: {response.text}"
    content = told.get("content")
    if not content:
        return
    kind = response.headers["content-type"].partition(";")[0]
    assert kind in content
    if "schema" in content[kind]:
        schema = {**content[kind]["schema"], "components": DOCUMENT["components"]}
        jsonschema.validate(json.loads(response.content), schema, cls=jsonschema.Draft202012Validator)


def ask(site, path, method, operation, values):
    """Send values, those of the query string where it has them, the rest as JSON."""
    address = re.sub(r"\{\w+\}", "red_mug.png", path)
    if method == "get":
        return site.get(address, params={name: value for name, value in values.items() if value is not None})
    return site.post(address, values)


def fields(operation):
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    if body is not None:
        return body["properties"], body.get("required", [])
    told = [one for one in operation["parameters"] if one["in"] == "query"]
    return {one["name"]: one["schema"] for one in told}, [one["name"] for one in told if one["required"]]


@pytest.mark.parametrize(("path", "method"), PATHS)
def test_right_requests_are_answered_as_documented(site, path, method):
    operation = DOCUMENT["paths"][path][method]
    known, required = fields(operation)
    known = {name: schema for name, schema in known.items() if name != "where" or served.WHERE_WORKS}

    @settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
    @given(st.data())
    def run(data):
        known.pop("min_fit", None)  # this index knows no fit
        chosen = {name: data.draw(VALUES[name]) for name in known if name in required or data.draw(st.booleans())}
        if {"query", "terms"} <= known.keys():
            chosen.pop("terms" if data.draw(st.booleans()) else "query", None)
            if not {"query", "terms"} & chosen.keys():
                chosen["query"] = "lamp"
        response = ask(site, path, method, operation, chosen)
        assert response.status_code == (403 if path in OPTIONAL else 200), response.text
        check(operation, response)

    run()


@pytest.mark.parametrize(("path", "method"), PATHS)
def test_wrong_requests_are_refused_as_documented(site, path, method):
    operation = DOCUMENT["paths"][path][method]
    known, _ = fields(operation)

    @settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
    @given(st.data())
    def run(data):
        names = [*known, "other"]
        chosen = {name: data.draw(ANY) for name in names if data.draw(st.booleans())}
        response = ask(site, path, method, operation, chosen)
        assert response.status_code != 500
        check(operation, response)

    run()


assert served


def test_the_document_is_served_and_complete(site):
    assert site.get("/openapi.json").json() == DOCUMENT
    told = {(re.sub(r"\{(\w+):path\}", r"{\1}", route.path), route.method.lower()) for route in ROUTES}
    assert told == set(PATHS)
    assert all(re.escape(path) for path in DOCUMENT["paths"])
    page = site.get("/docs").text
    assert all(path in page for path in DOCUMENT["paths"])
