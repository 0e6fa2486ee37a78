"""A product feed over HTTP through all commands, and what they say of images that cannot be had."""

import contextlib
import json
import shutil
import sqlite3
import time
from collections import Counter

import numpy as np
import pytest

from command_line import QUERIES, errors, vdistill
from drawings import COLOURS, SHAPES, draw
from forked import start
from shop_server import ShopServer, broken_off, send
from trainings import TRAIN
from vdistill.bundle.store import Store
from vdistill.sources.remote import READERS

SIZES = 22  # of each of 24 drawings: 528 images


def feed_of(shop, rows):
    """A TSV feed whose ids are the names of the files."""
    lines = ["id\ttitle\tdescription\timage_link\tprice"]
    lines += [
        f"{name}\t{title}\t{title}, for the kitchen\t{shop.url}/images/{name}\t{price}.00 EUR"
        for name, title, price in rows
    ]
    return "\n".join(lines).encode() + b"\n"


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "catalog").mkdir()
    with ShopServer(tmp_path / "catalog") as server:
        yield server


def draw_shop(folder, sizes):
    rows = []
    for size in range(sizes):
        for c, colour in enumerate(COLOURS):
            for s, shape in enumerate(SHAPES):
                name = f"{colour}_{shape}{size}.png"
                draw(colour, s, 36 + size + c, 40 + 2 * size + s).save(folder / name)
                rows.append((name, f"{colour} {shape}", s + 1))
    return rows


def serve_feed(shop, rows):
    shop.answers["/feed.tsv"] = lambda request: send(request, feed_of(shop, rows))
    return f"{shop.url}/feed.tsv"


def vectors(home):
    """Of each item, by id."""
    store = Store.open(home / ".vdistill" / "index", "backbone")
    with contextlib.closing(sqlite3.connect(store.items.path)) as db:
        rows = db.execute("SELECT id, key FROM items").fetchall()
    found = {name: store.vectors(np.array([key], np.uint64)).tobytes() for name, key in rows}
    store.close()
    return found


@pytest.mark.slow
def test_a_feed_gives_the_same_vectors_as_its_folder_and_serves_all_commands(shop, tmp_path, clip_folder):
    rows = draw_shop(tmp_path / "catalog", SIZES)
    feed, here, there = serve_feed(shop, rows), tmp_path / "folder", tmp_path / "feed"
    here.mkdir()
    there.mkdir()
    for home, catalog in ((here, tmp_path / "catalog"), (there, feed)):
        done = vdistill("index", catalog, "--backbone", clip_folder, "--dtype", "f32", "--json", cwd=home)
        assert done.code == 0, done.err
        assert done.json["items"] == len(rows)
    assert vectors(here) == vectors(there)
    assert set(Counter(shop.images()).values()) == {1}

    (there / "queries.txt").write_text("\n".join(QUERIES) + "\n")
    judged = rows[:: len(rows) // 60]
    scores = [f"{query},{name},{4.0 * (name.split('_')[0] in query)}" for query in QUERIES for name, *_ in judged]
    (there / "scores.csv").write_text("\n".join(["query,item,score", *scores]) + "\n")
    done = vdistill("label", "--teacher", "table:scores.csv", "--queries", "queries.txt", "--images-per-call", 4,
                    "--budget", 300, "--pool", 24, "--json", cwd=there)  # fmt: skip
    assert done.code == 0, done.err
    assert done.json["judgments"] > 200
    for command in (TRAIN, ["index", "--json"], ["bench", "--json"]):
        done = vdistill(*command, cwd=there)
        assert done.code == 0, done.err
    found = vdistill("query", "red mug", "--where", "price <= 2 and currency = 'EUR'", "--json", cwd=there).json
    assert found["results"][0]["path"].startswith(f"{shop.url}/images/")
    assert set(Counter(shop.images()).values()) == {1}, "no command fetched an image again"


def test_what_cannot_be_had_is_counted_by_kind_and_listed_in_json(shop, tmp_path, clip_folder):
    rows = draw_shop(tmp_path / "catalog", 1)
    rows += [(f"dead{number}.png", "gone", 1) for number in range(5)]
    rows += [("page", "a page", 1)]
    feed = serve_feed(shop, rows)
    shop.answers["/images/page"] = lambda request: send(request, status=301, Location="/page")
    shop.answers["/page"] = lambda request: send(request, b"<html>", Content_Type="text/html")
    done = vdistill("index", feed, "--backbone", clip_folder, "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "skipped 5 images: its server answers 404 (not found), e.g. dead" in done.err
    assert "skipped page: its address redirects to a web page" in done.err
    assert len(done.json["skipped"]) == 6
    shutil.copy(tmp_path / "catalog" / "red_mug0.png", tmp_path / "catalog" / "dead1.png")
    done = vdistill("index", feed, "--json", cwd=tmp_path)
    assert (done.json["added"], len(done.json["skipped"])) == (1, 5), "what failed is tried again"
    assert shop.images().count("/images/red_mug0.png") == 1


@pytest.mark.slow
def test_a_killed_run_that_is_started_again_fetches_nothing_twice(shop, tmp_path, clip_folder):
    feed = serve_feed(shop, draw_shop(tmp_path / "catalog", 5))
    killed = start("index", feed, "--backbone", clip_folder, cwd=tmp_path)
    while len(shop.images()) < 80:
        assert killed.is_alive()
        time.sleep(0.01)
    killed.kill()
    killed.join()
    assert len(set(shop.images())) < 120
    done = vdistill("index", feed, "--backbone", clip_folder, "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert done.json["items"] == 120
    asked = Counter(shop.images())
    assert len(asked) == 120
    assert asked.total() - 120 <= READERS, "but what was under way"


def test_robots_are_obeyed_until_the_user_says_otherwise_once(shop, tmp_path, clip_folder):
    feed = serve_feed(shop, draw_shop(tmp_path / "catalog", 1))
    shop.robots = "User-agent: *\nDisallow: /images/\n"
    done = vdistill("index", feed, "--backbone", clip_folder, cwd=tmp_path)
    error, _ = errors(done)
    assert "robots.txt forbids it" in error
    assert vdistill("index", feed, "--ignore-robots", "--backbone", clip_folder, cwd=tmp_path).code == 0
    shutil.rmtree(tmp_path / ".vdistill" / "cache")
    assert vdistill("query", "a mug", "--gallery", "page.html", cwd=tmp_path).code == 0
    assert "data:image/jpeg" in (tmp_path / "page.html").read_text()


def test_the_feed_itself_may_fail_and_no_password_is_said(shop, tmp_path):
    feed = shop.url.replace("://", "://me:secret@") + "/feed.tsv?token=hidden"
    shop.answers["/cut"] = broken_off
    shop.answers["/page"] = lambda request: send(request, b"<!doctype html>")
    for address, said in ((feed, "404"), (f"{shop.url}/cut", "breaks off"), (f"{shop.url}/page", "web page"),
                          ("http://127.0.0.1:1/feed.xml", "cannot be reached")):  # fmt: skip
        done = vdistill("index", address, cwd=tmp_path)
        error, _ = errors(done)
        assert said in error
        assert "secret" not in done.err
        assert "hidden" not in done.err
    assert not (tmp_path / ".vdistill").exists()


def test_a_changed_image_has_a_new_address_and_the_rest_is_not_asked_for(shop, tmp_path, clip_folder):
    rows = draw_shop(tmp_path / "catalog", 1)
    vdistill("index", serve_feed(shop, rows), "--backbone", clip_folder, cwd=tmp_path)
    asked = len(shop.images())
    draw("blue", 5, 90, 90).save(tmp_path / "catalog" / "v2.png")
    changed = feed_of(shop, rows).replace(b"/images/blue_mug0.png", b"/images/v2.png")
    shop.answers["/feed.tsv"] = lambda request: send(request, changed)
    done = vdistill("index", "--json", cwd=tmp_path)
    assert (done.json["updated"], done.json["added"], done.json["skipped"]) == (1, 0, [])
    assert shop.images()[asked:] == ["/images/v2.png"]


def test_json_of_label_lists_what_was_left_out(shop, tmp_path, clip_folder):
    rows = [*draw_shop(tmp_path / "catalog", 1), ("dead.png", "red gone", 1)]
    (tmp_path / "queries.txt").write_text("something red\n")
    done = vdistill("label", serve_feed(shop, rows), "--teacher", "metadata", "--queries", "queries.txt", "--backbone",
                    clip_folder, "--budget", 10, "--holdout", 0, "--json", cwd=tmp_path)  # fmt: skip
    assert done.code == 0, done.err
    assert done.json["skipped"] == [{"id": "dead.png", "reason": "its server answers 404 (not found)"}]
    assert json.dumps(done.json)
