"""`serve --why`: what `query --why` says of a result, over HTTP: opt-in, prepared by the first, always current."""

import contextlib
import json
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
from jsonschema import Draft202012Validator

from command_line import errors, vdistill
from served import refused, served, served_pack
from vdistill.bundle import manifest
from vdistill.bundle.pack_writer import write_pack
from vdistill.bundle.store import Store
from vdistill.database import Database
from vdistill.errors import VdistillError
from vdistill.query.search import Searcher
from vdistill.serve import explanations, settings

NEWER = 3600  # s


@pytest.fixture
def home(judged, tmp_path):
    """A copy that a test may change, whose images are where they were."""
    shutil.copytree(judged / ".vdistill", tmp_path / ".vdistill", ignore=shutil.ignore_patterns("text_vectors"))
    return tmp_path


def why(site, id_, query="a red thing", **more):
    answer = site.get(f"/v1/why/{id_}", params={"query": query, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def asked(home, *words):
    done = vdistill("query", *words, "--why", "--json", "-k", 6, cwd=home)
    assert done.code == 0, done.err
    return done.json["results"]


def rounded(reasons):
    """Where several results are explained at once, the last digits may differ."""
    return [{**one, "influence": pytest.approx(one["influence"], abs=1e-4)} for one in reasons]


def change(home, sql, *values):
    with contextlib.closing(sqlite3.connect(home / ".vdistill" / "vdistill.db")) as database, database:
        database.execute(sql, values)


def change_student(home, **facts):
    path = home / ".vdistill" / "student" / "student.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))


def publish_again(site, home, **facts):
    """The student's index once more, and wait until it is served."""
    index, loads = home / ".vdistill" / "index", site.service.indexes.loads
    entries = manifest.read(index)
    manifest.write(index, {**entries, "student": replace(entries["student"], **facts)})
    until(lambda: site.service.indexes.loads > loads)


def until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_says_what_the_command_says(judged, explaining):
    """In one shape."""
    document = explaining.get("/openapi.json").json()
    answers, reasons = (
        Draft202012Validator({**document["components"]["schemas"][name], "components": document["components"]})
        for name in ("Why", "Reason")
    )
    seen = set()
    for words in (["a red thing"], ["2:red", "+", "mug", "-", "green"]):
        for hit in asked(judged, *words):
            found = why(explaining, hit["id"], words)
            answers.validate(found)
            assert (found["model"], found["id"]) == ("student", hit["id"])
            assert found["why"] == rounded(hit["why"])
            for reason in hit["why"]:
                reasons.validate(reason)
                seen.add(reason["verdict"])
    assert seen == {"for", "against"}


def test_what_was_shown_comes_along_as_items_without_paths(judged, explaining):
    hit = next(one for one in asked(judged, "a red thing") if one["why"])
    answer = explaining.get(f"/v1/why/{hit['id']}", params={"query": "a red thing"})
    found = answer.json()
    shown = {id_ for reason in found["why"] for id_ in (reason["chosen"], *reason["over"])}
    assert {item["id"] for item in found["items"]} == shown
    for item in found["items"]:
        assert item == explaining.get(f"/v1/items/{item['id']}").json()
        assert explaining.get(item["image"]).status_code == 200
    assert str(judged) not in answer.text


def test_searches_by_image_and_item_are_explained_too(judged, explaining):
    image = judged / "catalog" / "red_mug.png"
    hit = next(one for one in asked(judged, "--image", image) if one["why"])
    form = explaining.post(f"/v1/why/{hit['id']}", files={"image": image.read_bytes()})
    assert form.json()["why"] == rounded(hit["why"])
    terms = [{"text": "red"}, {"id": "red_mug.png", "weight": 2}]
    mixed = explaining.post("/v1/why/blue_mug.png", {"terms": terms, "model": "student"})
    assert (mixed.status_code, mixed.json()["query"]) == (200, "red + 2:red_mug.png")
    words = explaining.post(f"/v1/why/{hit['id']}", {"query": "a red thing"}).json()
    assert words["why"] == why(explaining, hit["id"])["why"]


@pytest.mark.parametrize(
    ("path", "given", "status", "kind"),
    [
        ("/v1/why/no-such.png", {"query": "red"}, 404, "not_found"),
        ("/v1/why/../../etc/passwd", {"query": "red"}, 404, "not_found"),
        ("/v1/why/red_mug.png", {}, 400, "invalid_request"),
        ("/v1/why/red_mug.png", {"query": "x" * 5000}, 400, "invalid_request"),
        ("/v1/why/red_mug.png", {"query": "red", "where": "price < 3"}, 400, "invalid_request"),
        ("/v1/why/red_mug.png", {"query": "red", "model": "backbone"}, 400, "invalid_request"),
        ("/v1/why/red_mug.png", {"query": "red", "model": "teacher"}, 404, "model_not_found"),
    ],
)
def test_what_cannot_be_explained_is_refused(explaining, path, given, status, kind):
    refused(explaining.get(path.replace("..", "%2e%2e"), params=given), status, kind)
    if "query" in given:
        refused(explaining.post(path.replace("..", "%2e%2e"), given), status, kind)


def test_it_is_told_and_refused_where_it_is_not_turned_on(site, explaining):
    assert (site.get("/v1/info").json()["why"], explaining.get("/v1/info").json()["why"]) == (False, True)
    refused(site.get("/v1/why/red_mug.png", params={"query": "red"}), 403, "not_enabled")
    refused(site.post("/v1/why/red_mug.png", {"query": "red"}), 403, "not_enabled")


def test_with_a_token_nobody_else_may_ask(home):
    with served(home, why=True, token="secret") as site:
        refused(site.get("/v1/why/red_mug.png", params={"query": "red"}), 401, "unauthorized")
        known = {"Authorization": "Bearer secret"}
        assert site.get("/v1/why/red_mug.png", params={"query": "red"}, headers=known).status_code == 200


def test_too_many_questions_at_once_are_refused(explaining, monkeypatch):
    monkeypatch.setattr(explaining.service.pools.why, "_most", 0)
    answer = explaining.get("/v1/why/red_mug.png", params={"query": "red"})
    refused(answer, 429, "too_many_requests")
    assert answer.headers["retry-after"]
    assert explaining.get("/v1/search", params={"query": "red"}).status_code == 200


def test_without_it_nothing_of_it_is_imported_or_opened():
    program = ("import sys; import vdistill.serve.run; "
               "print([m for m in sys.modules if m.startswith('vdistill.query.why')])")  # fmt: skip
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_database_is_only_read(home):
    path = home / ".vdistill" / "vdistill.db"
    before = path.read_bytes()
    path.chmod(0o444)
    with served(home, why=True) as site:
        assert any(why(site, one["id"])["why"] for one in site.get("/v1/items").json()["items"])
    assert path.read_bytes() == before


def test_images_that_are_gone_or_changed_since_are_named_and_not_shown(home):
    with served(home, why=True) as site:
        (first, *_) = why(site, "red_mug.png")["why"]
        gone = next(id_ for id_ in first["over"] if id_ != first["item"])
        with Searcher.open(home) as searcher:
            old = searcher.hashes([gone])[gone]
        with Database.open(home / ".vdistill" / "vdistill.db") as database:
            database.add_item_sides([("content", "f" * 64, "train")])
        change(home, "UPDATE judgments SET sha256 = replace(sha256, ?, ?)", old, "f" * 64)
        publish_again(site, home)
        found = why(site, "red_mug.png")
    named = {id_ for reason in found["why"] for id_ in (reason["chosen"], *reason["over"])}
    assert gone in named
    assert {item["id"] for item in found["items"]} == named - {gone}


def slow(monkeypatch, seconds):
    """Let texts be encoded slowly. Returns the numbers of texts that were encoded together."""
    encode, together = Searcher.encode, []

    def encoded(self, texts):
        together.append(len(texts))
        time.sleep(seconds)
        return encode(self, texts)

    monkeypatch.setattr(Searcher, "encode", encoded)
    return together


def test_the_first_question_prepares_and_says_how_far_it_is_and_searches_go_on(home, monkeypatch):
    monkeypatch.setattr(settings, "WHY_SECONDS", 0.1)
    monkeypatch.setattr(explanations, "TOGETHER", 1)
    together = slow(monkeypatch, 0.05)
    with served(home, why=True) as site:
        assert not together, "nothing is prepared before anybody asks"
        first = site.get("/v1/why/red_mug.png", params={"query": "a red thing"})
        message = refused(first, 503, "unavailable")
        assert message.startswith("training queries are encoded first, once: 0 of ")
        assert first.headers["retry-after"]
        started = time.monotonic()
        assert site.get("/v1/search", params={"query": "something else"}).status_code == 200
        assert time.monotonic() - started < 1
        until(lambda: site.get("/v1/why/red_mug.png", params={"query": "a red thing"}).status_code == 200)
        assert set(together) == {1}
        before = len(together)
        assert why(site, "blue_mug.png")
        assert len(together) == before, "and it is kept"


def test_a_server_that_prepares_ends_all_the_same(home, monkeypatch):
    monkeypatch.setattr(settings, "WHY_SECONDS", 0.1)
    monkeypatch.setattr(explanations, "TOGETHER", 1)
    slow(monkeypatch, 1.5)
    with served(home, why=True) as site:
        refused(site.get("/v1/why/red_mug.png", params={"query": "a red thing"}), 503, "unavailable")
        started = time.monotonic()
    assert time.monotonic() - started < 10


def test_many_questions_at_once_get_the_same_answers(explaining):
    ids = [one["id"] for one in explaining.get("/v1/items").json()["items"]]
    alone = {id_: why(explaining, id_)["why"] for id_ in ids}
    wrong = []

    def ask(id_):
        if why(explaining, id_)["why"] != alone[id_]:
            wrong.append(id_)

    threads = [threading.Thread(target=ask, args=(id_,)) for id_ in ids * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_what_a_newer_student_was_taught_counts_as_soon_as_its_index_is_served(home):
    with Database.open(home / ".vdistill" / "vdistill.db", write=False) as database:
        (judgment, *_) = database.judgments("train")
    chosen = judgment.items[judgment.answer.best]
    now = time.time()
    change_student(home, judged_until=now)
    change(home, "UPDATE judgments SET asked_at = ? WHERE query = ?", now + NEWER / 2, judgment.query)
    with served(home, why=True) as site:
        assert judgment.query not in {one["query"] for one in why(site, chosen, judgment.query)["why"]}
        change_student(home, judged_until=now + NEWER)
        publish_again(site, home)
        assert judgment.query in {one["query"] for one in why(site, chosen, judgment.query)["why"]}


def test_an_index_of_another_student_is_not_explained_until_there_is_its_own(home):
    student = manifest.read(home / ".vdistill" / "index")["student"]
    other = "0" * 64
    with served(home, why=True) as site:
        hit = next(one["id"] for one in site.get("/v1/items").json()["items"] if why(site, one["id"])["why"])
        change_student(home, adapter_sha256=other)
        assert why(site, hit)["why"], "what is served is still of the student that was there"
        publish_again(site, home, generation=student.generation + 1)
        for _ in range(2):
            answer = site.get(f"/v1/why/{hit}", params={"query": "red"})
            refused(answer, 503, "unavailable")
            assert str(home) not in answer.text
        assert len([line for line in site.said if "of another student" in line]) == 1
        publish_again(site, home, made_from=f"{other}{student.made_from[64:]}")
        assert why(site, hit)["why"]


@pytest.mark.parametrize(
    ("spoil", "words", "why_not", "help_"),
    [
        ("DELETE FROM judgments WHERE split = 'train'", [], "no training judgments", "label --import"),
        ("UPDATE judgments SET asked_at = 1e12", [], "newer than its student", "vdistill distill"),
        (None, ["--model", "backbone"], "taught by no judgments", "leave --model out"),
    ],
)
def test_where_nothing_explains_there_is_one_error_at_the_start(home, spoil, words, why_not, help_):
    if spoil:
        change(home, spoil)
    error, hint = errors(vdistill("serve", "--port", 0, "--why", *words, cwd=home))
    assert why_not in error
    assert help_ in hint


def test_without_a_student_or_a_database_there_is_one_error_at_the_start(home):
    (home / ".vdistill" / "vdistill.db").unlink()
    error, hint = errors(vdistill("serve", "--port", 0, "--why", cwd=home))
    assert "not here" in error
    assert "--workspace" in hint
    shutil.rmtree(home / ".vdistill" / "student")
    error, hint = errors(vdistill("serve", "--port", 0, "--why", cwd=home))
    assert "no student yet" in error
    assert "vdistill distill" in hint


def test_a_pack_has_no_judgments(judged, tmp_path):
    pack = tmp_path / "shop.vdx"
    with contextlib.closing(Store.open(judged / ".vdistill" / "index", "student")) as store:
        write_pack(store, "student", pack)
    error, hint = errors(vdistill("serve", pack, "--port", 0, "--why", cwd=judged))
    assert "a pack has none" in error
    assert "workspace" in hint
    with pytest.raises(VdistillError, match="a pack has none"), served_pack(pack, tmp_path, why=True):
        pass
