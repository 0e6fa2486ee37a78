"""Thumbs become judgments, and searches a log for the next `--queries`; both only where they are wanted."""

import contextlib
import json
import sqlite3
import time
from urllib.parse import urlencode

import pytest

from browser import BROWSER, browser
from command_line import errors, vdistill
from served import refused, served, unpack_shop
from vdistill.database import Database
from vdistill.inputs.query_log import read
from vdistill.preferences import fit


@pytest.fixture
def home(tmp_path):
    return unpack_shop(tmp_path)


def votes_in(home):
    with Database.open(home / ".vdistill" / "vdistill.db") as database:
        return database.judgments(teacher="human:page")


def listed(site, query, count=8):
    return [one["id"] for one in site.get("/v1/search", params={"query": query, "k": count}).json()["results"]]


def training(home):
    """A query, and the items, of the training side."""
    with contextlib.closing(sqlite3.connect(home / ".vdistill" / "vdistill.db")) as database:
        (query,) = database.execute("SELECT text FROM queries WHERE split = 'train' LIMIT 1").fetchone()
        items = [key for (key,) in database.execute("SELECT key FROM sides WHERE kind = 'id' AND split = 'train'")]
    return query, items


def test_a_thumb_up_is_chosen_among_what_was_passed_on_the_way(home):
    query, items = training(home)
    shown = items[:8]
    with served(home, feedback=True) as site:
        assert site.get("/v1/info").json()["feedback"]
        vote = {"query": query, "id": shown[2], "vote": "up", "shown": shown, "votes": {shown[0]: "up"}}
        assert site.post("/v1/feedback", vote).json() == {"stored": True, "reason": ""}
        assert site.post("/v1/feedback", vote).json()["reason"] == "it was stored before"
        (said,) = votes_in(home)
        assert set(said.items) == {
            shown[1],
            shown[2],
            shown[3],
        }  # not the other one that fits, nor what is further down
        assert said.items[said.answer.best] == shown[2]
        assert site.post("/v1/feedback", {**vote, "undo": True}).json()["reason"] == "taken back"
        assert not votes_in(home)


def test_a_thumb_down_loses_once(home):
    query, items = training(home)
    shown = items[:8]
    with served(home, feedback=True) as site:
        site.post("/v1/feedback", {"query": query, "id": shown[4], "vote": "down", "shown": shown})
        site.post("/v1/feedback", {"query": query, "id": shown[0], "vote": "down", "shown": shown})
    first, second = votes_in(home)
    assert set(first.items) == {shown[3], shown[4]}
    assert first.items[first.answer.best] == shown[3]
    assert set(second.items) == {shown[0], shown[1]}
    ids, mean = fit([first, second]).means(query)
    assert mean[ids.index(shown[4])] < mean[ids.index(shown[3])]


def test_held_out_queries_and_images_are_never_voted_on(home):
    query, items = training(home)
    with contextlib.closing(sqlite3.connect(home / ".vdistill" / "vdistill.db")) as database:
        (held_out,) = database.execute("SELECT text FROM queries WHERE split = 'heldout' LIMIT 1").fetchone()
        (aside,) = database.execute("SELECT key FROM sides WHERE kind = 'id' AND split = 'heldout' LIMIT 1").fetchone()
    with served(home, feedback=True) as site:
        for asked, id_ in ((held_out, items[0]), (query, aside)):
            vote = {"query": asked, "id": id_, "vote": "up", "shown": [items[1], id_, items[2]]}
            said = site.post("/v1/feedback", vote).json()
            assert (said["stored"], "held out" in said["reason"]) == (False, True)
        assert not votes_in(home)
        site.post("/v1/feedback", {"query": query, "id": items[0], "vote": "up", "shown": [aside, items[1], items[0]]})
        assert set(votes_in(home)[0].items) == {items[0], items[1]}


@pytest.mark.parametrize(("change", "status", "kind"), [
    ({"vote": "sideways"}, 400, "invalid_request"),
    ({"vote": None}, 400, "invalid_request"),
    ({"query": "  "}, 400, "invalid_request"),
    ({"query": "x" * 5000}, 400, "invalid_request"),
    ({"shown": ["a"]}, 400, "invalid_request"),
    ({"shown": "abc"}, 400, "invalid_request"),
    ({"shown": ["no such item", "nor this"], "id": "nor this"}, 404, "not_found"),
    ({"id": "../../etc/passwd"}, 404, "not_found"),
    ({"votes": {"a": "maybe"}}, 400, "invalid_request"),
    ({"votes": []}, 400, "invalid_request"),
    ({"name": "anna"}, 400, "invalid_request"),
])  # fmt: skip
def test_a_vote_that_is_none_is_refused(voting, change, status, kind):
    site, vote = voting
    refused(site.post("/v1/feedback", {**vote, **change}), status, kind)


@pytest.fixture(scope="module")
def voting(tmp_path_factory):
    home = unpack_shop(tmp_path_factory.mktemp("voting"))
    query, items = training(home)
    with served(home, feedback=True) as site:
        yield site, {"query": query, "id": items[0], "vote": "up", "shown": items[:4]}


def test_votes_are_wanted_or_refused_and_never_too_many(home):
    query, items = training(home)
    vote = {"query": query, "id": items[0], "vote": "up", "shown": items[:4]}
    with served(home) as site:
        assert not site.get("/v1/info").json()["feedback"]
        refused(site.post("/v1/feedback", vote), 403, "not_enabled")
    with served(home, feedback=True) as site:
        found = [site.post("/v1/feedback", vote).status_code for _ in range(30)]
        assert (found[0], found[-1]) == (200, 429)
        assert found.count(200) <= 25


def test_searches_are_logged_for_the_next_queries(home):
    log = home / "searches.jsonl"
    with served(home, log_searches=log) as site:
        for query in ("g", "gi", "gift for", "gift for a gardener", "red mug", "red mug", 'a "quoted"\nline'):
            site.get("/v1/search", params={"query": query})
        site.get("/v1/compare", params={"query": "blue thing"})
        site.post("/v1/search", {"terms": [{"id": listed(site, "red mug")[0]}]})
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["query"]: line["count"] for line in lines} == {
        "gift for a gardener": 1, "red mug": 3, 'a "quoted" line': 1, "blue thing": 1}  # fmt: skip
    assert all(set(line) == {"query", "count", "time"} for line in lines)
    assert "127.0.0.1" not in log.read_text()
    assert next((one.text, one.times) for one in read(log).queries) == ("red mug", 3)


def test_the_log_may_be_moved_away_and_ends_at_its_size(home, tmp_path):
    from vdistill.serve.search_log import SearchLog

    said, path = [], tmp_path / "log.jsonl"
    log = SearchLog(path, said.append, hold=0.0, most=200)
    log.add("first")
    deadline = time.monotonic() + 10
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    path.rename(tmp_path / "old.jsonl")
    log.add("second")
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    log.close()
    assert "second" in path.read_text()
    path.write_text("x" * 300)
    full = SearchLog(path, said.append, hold=0.0, most=200)
    full.add("third")
    full.close()
    assert path.read_text() == "x" * 300
    assert "is full" in said[0]


@pytest.mark.parametrize("name", ["log.txt", "no/such/folder/log.jsonl"])
def test_a_log_that_cannot_be_is_refused_at_the_start(home, name):
    done = vdistill("serve", "--port", 0, "--log-searches", name, cwd=home)
    assert "cannot log searches" in errors(done)[0]


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
def test_the_thumbs_of_a_page_are_stored_taken_back_and_readable(home, tmp_path):
    query, items = training(home)
    with served(home, feedback=True) as site, browser(tmp_path / "profile") as chromium:
        page = chromium.page()
        page.go(f"http://127.0.0.1:{site.port}/docs")
        page.do(f"""import("/app/feedback.js").then(({{ listOf, thumbs }}) => {{
          const list = listOf({json.dumps(query)}, {json.dumps(items[:6])});
          const say = (text) => {{ window.said = text; }};
          const made = thumbs(list, {json.dumps(items[2])}, {{ name: "<b>a mug</b>", say }});
          (document.querySelector("main") ?? document.body).prepend(made);
        }})""")
        page.do("document.querySelector('.thumb.up').click()")
        page.wait("window.said == 'Thank you.'")
        assert len(votes_in(home)) == 1
        assert page.do("document.querySelector('.thumb.up').getAttribute('aria-pressed')") == "true"
        assert page.do("document.querySelector('.thumbs').getAttribute('aria-label')") == "Does <b>a mug</b> fit?"
        page.do("window.said = ''; document.querySelector('.thumb.down').click()")
        page.wait("window.said")
        (said,) = votes_in(home)  # instead of the other
        assert said.items[said.answer.best] == items[1]
        page.do("window.said = ''; document.querySelector('.thumb.down').click()")
        page.wait("window.said.includes('taken back')")
        assert not votes_in(home)
        assert not [one for one in page.axe() if "thumb" in one]
        assert not [one for one in page.complaints() if "favicon" not in one]


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
def test_the_search_page_has_thumbs_where_the_server_takes_them(home, tmp_path):
    query, _ = training(home)
    with served(home) as site, browser(tmp_path / "without") as chromium:
        page = chromium.page()
        page.go(f"http://127.0.0.1:{site.port}/?{urlencode({'q': query})}")
        page.wait("document.querySelector('.card .score')?.textContent")
        assert page.do("document.querySelectorAll('.thumb').length") == 0
    with served(home, feedback=True) as site, browser(tmp_path / "with") as chromium:
        page = chromium.page()
        page.go(f"http://127.0.0.1:{site.port}/?{urlencode({'q': query})}")
        page.wait("document.querySelectorAll('.thumb.up').length > 3")
        before = len(votes_in(home))
        page.do("document.querySelectorAll('.thumb.up')[2].click()")
        page.wait("document.querySelector('#told').textContent.startsWith('Thank you')")
        said = page.do("document.querySelector('#told').textContent")
        assert (len(votes_in(home)) > before) == (said == "Thank you."), said
        page.do("document.querySelector('#more-button').hidden || document.querySelector('#more-button').click()")
        assert page.do("document.querySelectorAll('.thumb.up')[2].getAttribute('aria-pressed')") == "true"
        page.go(f"http://127.0.0.1:{site.port}/?{urlencode({'q': 'red + mug'})}")
        page.wait("document.querySelector('.card .score')?.textContent")
        assert page.do("document.querySelectorAll('.thumb').length") == 0, "a mixture is no query that one could label"
        assert not page.axe()
        assert not [one for one in page.complaints() if "favicon" not in one]
