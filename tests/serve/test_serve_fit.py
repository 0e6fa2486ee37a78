"""The server gives fits, and keeps to a `min_fit`, as the command does."""

import jsonschema
import numpy as np
import pytest

from served import know_fits, served, unpack_shop


@pytest.fixture(scope="module")
def fitting_site(tmp_path_factory):
    """The shop, whose student's index knows fits."""
    with served(know_fits(unpack_shop(tmp_path_factory.mktemp("fitting")))) as site:
        yield site


def test_results_have_a_fit(fitting_site):
    found = fitting_site.get("/v1/search", params={"query": "red mug", "k": 24}).json()
    fits = [one["fit"] for one in found["results"]]
    assert fits == sorted(fits, reverse=True)
    assert fitting_site.get("/v1/info").json()["fit"] == ["student"]
    assert found["nothing_fits_well"] is (max(fits) < 0.5)
    assert np.isclose(np.mean([np.log(fit / (1 - fit)) for fit in fits]), 0, atol=0.1)  # of the mean cosine


def test_min_fit_in_the_url_and_in_a_body(fitting_site):
    every = fitting_site.get("/v1/search", params={"query": "red mug", "k": 24}).json()["results"]
    some = fitting_site.get("/v1/search", params={"query": "red mug", "k": 24, "min_fit": 0.6}).json()["results"]
    assert some == [one for one in every if one["fit"] >= 0.6]
    none = fitting_site.post("/v1/search", json={"query": "red mug", "min_fit": 0.9999}).json()
    assert (none["results"], none["nothing_fits_well"]) == ([], True)


def test_what_has_no_fit(fitting_site):
    refused = fitting_site.get("/v1/search", params={"query": "red mug", "min_fit": 0.5, "model": "backbone"})
    assert refused.status_code == 400
    assert "knows no fit" in refused.json()["error"]["message"]
    found = fitting_site.get("/v1/search", params={"query": "red mug", "model": "backbone"}).json()
    assert {one["fit"] for one in found["results"]} == {None}
    assert found["nothing_fits_well"] is None


def test_answers_are_as_openapi_says(fitting_site):
    document = fitting_site.get("/openapi.json").json()
    answer = {"$ref": "#/components/schemas/Answer", "components": document["components"]}
    jsonschema.validate(fitting_site.get("/v1/search", params={"query": "red mug"}).json(), answer)
    names = {one["name"] for one in document["paths"]["/v1/search"]["get"]["parameters"]}
    assert "min_fit" in names
