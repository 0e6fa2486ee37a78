"""A person as a teacher, by the requests of the judge page: what is asked, what is stored, what is taken back."""

import json
import random

import pytest

from command_line import errors, vdistill
from sittings import Sitting, judged_shop, judgments_of, plain_shop, sitting, stored


@pytest.fixture
def plain(tmp_path):
    return plain_shop(tmp_path)


@pytest.fixture
def judged(tmp_path):
    return judged_shop(tmp_path)


QUERIES = ("--queries", "queries.txt", "--images-per-call", 4, "--pool", 12)


def identities(home, table="judgments", name="anna"):
    rows = stored(home, f"SELECT query, sha256 FROM {table} WHERE teacher = ? ORDER BY rowid", f"human:{name}")
    return [(query, frozenset(json.loads(contents))) for query, contents in rows]


def test_an_answer_is_a_judgment_of_the_person_and_none_of_these_is_kept_apart(plain):
    with sitting(plain, "anna", "--budget", 4, "--json", *QUERIES) as page:
        first = page.state()
        assert (first["done"], first["count"], first["person"]) == (0, 4, "human:anna")
        after = page.answer(2)
        assert after["done"] == 1
        assert [chances for _, _, chances in judgments_of(plain)] == [[0.0, 0.0, 1.0, 0.0]]  # before the page moves on
        page.answer("none")
        page.answer("skip")
        page.answer(0)
        last = page.answer(1)
        assert (last["question"], last["done"], last["skipped"]) == (None, 4, 1)
        assert page.finish()["done"] == 4
        page.process.join(30)
        assert page.process.exitcode == 0
        found = json.loads(page.said.read_text().partition("\n")[2])
    assert (found["teacher"], found["calls"], found["judgments"], found["none"], found["skipped_questions"]) == (
        "human:anna", 4, 3, 1, 1)  # fmt: skip
    assert len(judgments_of(plain)) == 3
    assert len(identities(plain, "rejections")) == 1
    assert judgments_of(plain)[0][0] == first["question"]["query"]


def test_the_next_sitting_goes_on_and_asks_nothing_twice_but_repeats(plain):
    for _ in range(2):
        with sitting(plain, "anna", "--budget", 20, *QUERIES) as page:
            chance = random.Random(1)
            while page.state()["question"]:
                page.answer(chance.choice([0, 1, 2, 3, "none"]))
            page.finish()
            page.process.join(30)
    said = identities(plain) + identities(plain, "rejections")
    repeats = stored(plain, "SELECT count(*) FROM people WHERE reason = 'repeat'")[0][0]
    assert (len(said), repeats) == (40, 4)
    assert len(set(said)) == len(said) - repeats
    orders = stored(plain, "SELECT DISTINCT query, sha256 FROM (SELECT * FROM (SELECT query, sha256 FROM judgments "
                    "UNION ALL SELECT query, sha256 FROM rejections))")  # fmt: skip
    assert len(orders) == 40  # a repeat shows the images in another order
    sides = dict(stored(plain, "SELECT key, split FROM sides WHERE kind = 'id'"))
    for query, items, split in stored(plain, "SELECT query, items, split FROM judgments"):
        assert {sides[item] for item in json.loads(items)} == {split}, query


def test_undo_takes_the_answer_back_and_asks_again(plain):
    with sitting(plain, "anna", *QUERIES) as page:
        first = page.state()["question"]
        page.answer(0)
        second = page.answer("none")["question"]
        assert page.undo()["question"]["key"] != second["key"]
        again = page.undo()
        assert again["question"] == first
        assert (again["done"], again["last"]) == (0, None)
        assert not judgments_of(plain)
        assert not identities(plain, "rejections")
        assert stored(plain, "SELECT count(*) FROM people") == [(0,)]
        assert len(stored(plain, "SELECT * FROM withdrawn")) == 2
        page.answer(3)
        page.answer("skip")
        assert page.undo()["done"] == 1
        repeated = page.client.post("/v1/undo", json={"question": second["key"]})
        assert (repeated.status_code, repeated.json()["error"]["type"]) == (409, "moved_on")
        assert [chances for _, _, chances in judgments_of(plain)] == [[0.0, 0.0, 0.0, 1.0]]


def test_told_to_end_it_tells_what_it_has(plain):
    with sitting(plain, "anna", "--json", *QUERIES) as page:
        page.answer(2)
        page.process.terminate()
        page.process.join(30)
        assert page.process.exitcode == 0
        assert json.loads(page.said.read_text().partition("\n")[2])["calls"] == 1


def test_what_is_sent_twice_counts_once_and_what_is_late_not_at_all(plain):
    with sitting(plain, "anna", *QUERIES) as page:
        key = page.state()["question"]["key"]
        after = page.answer(1, question=key)
        assert page.answer(1, question=key) == after  # the answer got lost on its way back
        for question, choice in ((key, 2), ("0" * 64, 1)):
            late = page.try_answer(question, choice)
            assert (late.status_code, late.json()["error"]["type"]) == (409, "moved_on")
        assert len(judgments_of(plain)) == 1


@pytest.mark.parametrize("choice", [4, -1, 1.5, True, "first", None, [0], 10**30])
def test_a_choice_that_is_none_is_refused(shared_sitting, choice):
    key = shared_sitting.state()["question"]["key"]
    refused = shared_sitting.try_answer(key, choice)
    assert (refused.status_code, refused.json()["error"]["type"]) == (400, "invalid_request")


@pytest.fixture(scope="module")
def shared_sitting(tmp_path_factory):
    with sitting(plain_shop(tmp_path_factory.mktemp("shared")), "anna", *QUERIES) as page:
        yield page


def test_strangers_learn_nothing_and_change_nothing(shared_sitting):
    client = shared_sitting.client
    assert client.get("/v1/sitting", headers={"Authorization": "Bearer guessed"}).status_code == 401
    assert client.get("/v1/sitting", headers={"Host": "evil.example"}).status_code == 421
    assert client.get("/v1/sitting", headers={"Origin": "http://evil.example"}).status_code == 403
    assert client.get("/v1/sitting", headers={"X-Tab": "<b>"}).status_code == 400
    for body in (b"[1]", b"{", b"[" * 4000, b"x" * 100_000):
        assert client.post("/v1/answer", content=body).status_code in (400, 413)
    for path in ("/../sitting.py", "/v1/images/x/0", "/%2e%2e/app.py", "/v1/items/a"):
        assert client.get(path).status_code == 404
    page = client.get("/", headers={"Authorization": ""})
    assert page.status_code == 200
    assert "script-src 'self'" in page.headers["content-security-policy"]


def test_the_page_is_blind_to_names_and_models(shared_sitting):
    state = shared_sitting.state()
    assert set(state) == {"person", "done", "count", "skipped", "seconds", "question", "last", "agreement"}
    assert set(state["question"]) == {"key", "query", "images"}
    image = shared_sitting.client.get(f"/v1/images/{state['question']['key']}/0?size=160")
    assert image.headers["content-type"] == "image/jpeg"
    assert "filename" not in str(image.headers)


def test_another_tab_takes_over_only_when_told(shared_sitting):
    shared_sitting.state()
    other = Sitting(shared_sitting.address)
    refused = other.client.get("/v1/sitting")
    assert (refused.status_code, refused.json()["error"]["type"]) == (409, "elsewhere")
    assert other.client.post("/v1/take").status_code == 200
    assert shared_sitting.client.get("/v1/sitting").status_code == 409
    assert other.client.post("/v1/leave").status_code == 204
    assert shared_sitting.state()["question"]
    other.close()


def test_a_person_sits_once_at_a_time_and_others_beside_them(plain):
    with sitting(plain, "anna", *QUERIES) as page:
        done = vdistill("label", "catalog", "--teacher", "me:anna", *QUERIES, cwd=plain)
        assert "human:anna has another sitting open" in errors(done)[0]
        with sitting(plain, "ben", *QUERIES) as other:
            assert other.state()["question"] == {**page.state()["question"], "key": other.state()["question"]["key"]}
            other.answer(0)
            page.answer(0)
            done = vdistill("label", "catalog", "--teacher", "table:scores.csv", *QUERIES, "--budget", 30, cwd=plain)
            assert done.code == 0, done.err
            page.answer(1)


def test_disputed_questions_come_first_and_a_fair_sample_among_them(judged):
    with sitting(judged, "anna", "--budget", 30, "--json") as page:
        order = []
        while (question := page.state()["question"]) is not None:
            order.append(question["key"])
            page.answer(0)
        page.finish()
        page.process.join(30)
        found = json.loads(page.said.read_text().partition("\n")[2])
    reasons = dict(stored(judged, "SELECT key, reason FROM people"))
    reasons = [reasons[key] for key in order]
    assert reasons[0] == "disputed"
    assert set(reasons) == {"disputed", "drawn", "planned", "repeat"}
    assert reasons.count("repeat") == 3
    split = dict(stored(judged, "SELECT key, split FROM judgments"))
    chosen = [key for key, reason in zip(order, reasons, strict=True) if reason in ("disputed", "drawn")]
    assert {split[key] for key in chosen} == {"train"}  # held-out questions are never chosen
    rows = {tuple(row["judges"]): row for row in found["agreement"]}
    assert rows["human:anna", "human:anna"]["questions"] == 3
    (both,) = [row for judges, row in rows.items() if judges[1].startswith("table:")]
    assert both["fair"]["questions"] < both["questions"]
    assert both["ci95"][0] <= both["agreement"] <= both["ci95"][1]
    assert set(found["noise"]) >= {"human:anna", both["judges"][1]}


def test_a_catalog_whose_image_is_gone_still_asks(judged):
    with sitting(judged, "anna") as page:
        for path in (judged / "catalog").glob("red*"):
            path.unlink()
        for _ in range(5):
            question = page.state()["question"]
            for place in range(question["images"]):
                assert page.client.get(f"/v1/images/{question['key']}/{place}").status_code in (200, 404)
            page.answer("skip")


@pytest.mark.parametrize(("options", "said"), [
    (["--teacher", "me:"], "is no name for a person"),
    (["--teacher", "me:page"], "taken by the search page"),
    (["--teacher", "me:" + "x" * 65], "is no name for a person"),
    (["--teacher", "me:a\nb"], "is no name for a person"),
    (["--teacher", "me:anna", "--audit", "40"], "--audit is not for a person"),
    (["--teacher", "me:anna", "--ask", "rank"], "--ask rank is not for a person"),
    (["--teacher", "me:anna", "--guide", "student"], "--guide is not for a person"),
    (["--teacher", "me:anna", "--generate-queries", "4"], "--generate-queries is not for a person"),
    (["--teacher", "me:anna", "--images-per-call", "auto"], "--images-per-call auto is not for a person"),
])  # fmt: skip
def test_what_makes_no_sense_with_a_person_is_refused(plain, options, said):
    done = vdistill("label", "catalog", *options, cwd=plain)
    assert (done.code, said in errors(done)[0]) == (1, True)


def test_a_plan_asks_nobody(plain):
    done = vdistill("label", "catalog", "--teacher", "me:anna", "--dry-run", "--json", *QUERIES, cwd=plain)
    assert done.json["calls"] == 50
    assert not (plain / ".vdistill").exists()


def test_people_teach_and_measure_like_other_teachers(judged):
    with sitting(judged, "anna", "--budget", 12) as page:
        while page.state()["question"]:
            page.answer(0)
    done = vdistill("label", "--export", "all.jsonl", "--json", cwd=judged)
    assert done.code == 0, done.err
    exported = [json.loads(line)["teacher"] for line in (judged / "all.jsonl").read_text().splitlines()]
    assert "human:anna" in exported
