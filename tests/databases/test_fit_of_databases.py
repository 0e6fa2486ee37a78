"""The fit of hits goes along into a database: `query --from` tells it as the local index does."""

import contextlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from command_line import errors, vdistill
from vdistill.bundle import manifest
from vdistill.bundle.fit import FitModel
from vdistill.bundle.store import Store
from vdistill.databases import push as pushing
from vdistill.databases.address import parse
from vdistill.databases.opening import open_database

WISHES = ["red mug", "blue chair", "winter tyres"]


@pytest.fixture
def home(indexed, tmp_path):
    """A copy with a fit, as held-out judgments would make one."""
    shutil.copytree(indexed, tmp_path / "home")
    know(tmp_path / "home", fit_of(tmp_path / "home"))
    return tmp_path / "home"


def fit_of(home, offset=-1.0):
    dim = manifest.read(home / ".vdistill" / "index")["backbone"].dim
    reach = tuple(np.random.default_rng(0).normal(size=dim + 1).tolist())
    return FitModel(reach, (2.0, 0.5, -0.5, offset), (0.3, 2.0), (0.1, 0.4, 0.9), (0.05, 0.5, 0.95), {}, "", "")


def know(home, fit):
    index = home / ".vdistill" / "index"
    entries = manifest.read(index)
    manifest.write(index, {name: replace(one, fit=fit and fit.to_json()) for name, one in entries.items()})


def push(home, address):
    """As `index --to` does, which would make the fit anew from judgments, and here are none."""
    with contextlib.closing(Store.open(home / ".vdistill" / "index", "backbone")) as store:
        return pushing.push(store, "backbone", parse(address))


def ask(home, *arguments):
    done = vdistill("query", "--json", *arguments, cwd=home)
    assert done.code == 0, done.err
    return done.json


def same(local, found):
    """Whether these are the same hits with the same fits, but for the precision in which vectors are stored."""
    mine, theirs = ({hit["id"]: hit["fit"] for hit in one["results"]} for one in (local, found))
    return mine == pytest.approx(theirs, abs=1e-3) and local["nothing_fits_well"] == found["nothing_fits_well"]


def test_hits_of_a_database_have_the_fit_of_the_local_index(home, address, tmp_path):
    assert push(home, address).fit
    every = ask(home, "red mug", "-k", 24)
    fits = [hit["fit"] for hit in every["results"]]
    assert 0 < fits[-1] < 0.3 < 0.5 < fits[0] < 1
    between = (fits[5] + fits[6]) / 2
    for options in (["-k", 24], ["-k", 24, "--min-fit", between], ["-k", 2, "--min-fit", between],
                    ["-k", 24, "--hybrid", "--min-fit", between], ["--min-fit", 0.9999],
                    ["--where", "price < 0"], ["--image", "catalog/red_mug.png"]):  # fmt: skip
        wish = [] if "--image" in options else ["red mug"]
        assert same(ask(home, *wish, *options), ask(home, *wish, *options, "--from", address)), options
    assert len(ask(home, "red mug", "-k", 24, "--min-fit", between, "--from", address)["results"]) == 6
    image = vdistill("query", "--image", "catalog/red_mug.png", "--min-fit", 0.5, "--from", address, cwd=home)
    assert "one text" in errors(image)[0]
    nothing = vdistill("query", "red mug", "--min-fit", 0.9999, "--from", address, cwd=home)
    assert (nothing.code, nothing.err.strip()) == (0, "nothing fits well")
    table = vdistill("query", "red mug", "-k", 3, "--from", address, cwd=home)
    assert f"{fits[0]:.2f}" in table.out
    wishes = "\n".join(WISHES)
    batches = [vdistill("query", "--batch", "-", *more, cwd=home, stdin=wishes).out.splitlines()
               for more in ([], ["--from", address])]  # fmt: skip
    assert all(same(json.loads(mine), json.loads(theirs)) for mine, theirs in zip(*batches, strict=True))


def test_a_fit_comes_and_goes_without_the_vectors(home, address):
    know(home, None)
    before = push(home, address)
    assert not before.fit
    assert {hit["fit"] for hit in ask(home, "red mug", "--from", address)["results"]} == {None}
    error, hint = errors(vdistill("query", "red mug", "--min-fit", 0.5, "--from", address, cwd=home))
    assert "the database knows no fit" in error
    assert "index --to" in hint
    with contextlib.closing(open_database(parse(address), reading=True)) as database:
        assert json.loads(database.versions()[0].facts())["schema_version"] == 1  # older versions read it too
    for offset in (-1.0, -3.0):
        know(home, fit_of(home, offset))
        after = push(home, address)
        assert (after.version, after.fit, after.unchanged, after.added, after.updated) == (1, True, 24, 0, 0)
        assert same(ask(home, "red mug"), ask(home, "red mug", "--from", address))
    know(home, None)  # what the database tells is its own
    assert ask(home, "red mug", "--min-fit", 0.01, "--from", address)["results"]


def test_a_fit_does_without_items_that_a_push_has_just_removed(home, address):
    push(home, address)
    for most, left in ((1, 23), (22, 1), (1, 0)):
        with contextlib.closing(open_database(parse(address), reading=False)) as database, database.writing():
            (version,) = database.versions()
            database.remove(version, [*database.vectors(version, version.fit.sample)][:most])
        found = ask(home, "red mug", "-k", 24, "--from", address)["results"]
        assert len(found) == left
        assert all(0 < hit["fit"] < 1 for hit in found)
    assert "knows no fit" in errors(vdistill("query", "x", "--min-fit", 0.5, "--from", address, cwd=home))[0]
