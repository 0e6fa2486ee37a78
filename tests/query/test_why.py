"""`query --why` names the judgments that taught the student about a hit, and no others."""

import contextlib
import json
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from command_line import errors, vdistill
from indexes import unit, write_index
from vdistill.bundle import manifest
from vdistill.bundle.pack_writer import write_pack
from vdistill.bundle.store import Store
from vdistill.database import Database
from vdistill.databases.address import parse
from vdistill.databases.push import push
from vdistill.encoders.text_vectors import PROBE
from vdistill.errors import VdistillError
from vdistill.inputs.sides import VERSION
from vdistill.query.search import Searcher
from vdistill.query.why import Explainer
from vdistill.records import Answer, Judgment, Query
from vdistill.workspace import create

# Known judgments: a space in which queries and images lie where the test puts them

DIM = 64
AXES = np.eye(DIM, dtype=np.float32)
QUERIES = {"garden": AXES[0], "kitchen": AXES[1], "music": AXES[2], "allotment": AXES[0] + 0.3 * AXES[5]}
TEXTS = {**QUERIES, PROBE: AXES[7], "for a gardener": AXES[0] + 0.2 * AXES[6], "held out": AXES[0] + 0.2 * AXES[6]}
SHOWN = {"00000": AXES[10], "00001": AXES[11], "00002": AXES[12]}  # a trowel, a pan and a drum
LIKE = {"00003": AXES[10] + 0.2 * AXES[20], "00004": AXES[11] + 0.2 * AXES[21]}  # another trowel, another pan


class Texts:
    """Encodes the texts above, and counts them."""

    count = 0

    def encode(self, texts):
        self.count += len(texts)
        found = np.stack([TEXTS[text] for text in texts])
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    def truncated(self, texts):
        return 0


def judged(query, *items, probabilities=None, order=None, split="train", teacher="anna"):
    answer = Answer(probabilities=probabilities, order=order)
    ask = "best" if order is None else "rank"
    return Judgment(query, items, items, ask, answer, teacher, split)  # the hash of an item of the index is its id


class Known:
    """A workspace with a student's index of 200 items and the judgments that are given."""

    def __init__(self, folder):
        self.workspace, self.texts, self.number = create(folder / ".vdistill"), Texts(), 0
        vectors = unit(200, DIM, 3)
        for id_, vector in {**SHOWN, **LIKE}.items():
            vectors[int(id_)] = vector / np.linalg.norm(vector)
        entry = write_index(self.workspace.index, vectors)
        self.workspace.student.mkdir()
        facts = {"schema_version": 1, "backbone": "b", "backbone_fingerprint": "", "adapter_sha256": "a" * 64,
                 "holdout": 0.2, "seed": 0, "judged_until": time.time() + 60}  # fmt: skip
        self.facts(**facts)
        manifest.write(self.workspace.index, {"student": replace(entry, made_from=f"{'a' * 64} on b")})

    def facts(self, **more):
        path = self.workspace.student / "student.json"
        known = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps({**known, **more}))

    def add(self, *judgments, sides=()):
        with Database.open(self.workspace.database) as database:
            database.remember("holdout", 0.2)
            database.remember("split_version", VERSION)
            database.add_queries([Query(one.query, one.query, one.split) for one in judgments])
            rows = [(f"{self.number + number}", "1", one) for number, one in enumerate(judgments)]
            self.number += len(rows)
            database.add_judgments(rows, (), [("content", item, "train") for item in [*SHOWN, *LIKE]])
            database.add_item_sides(sides)

    def reasons(self, text, *ids, count=3):
        store = Store.open(self.workspace.index, "student")
        with Searcher(store, "student", texts=self.texts) as searcher:
            vector = searcher.encode([text])[0]
            with Explainer.open(self.workspace, searcher) as explainer:
                return explainer.reasons(vector, ids, count)


@pytest.fixture
def known(tmp_path):
    return Known(tmp_path)


GARDEN = judged("garden", "00001", "00000", "00002", probabilities=(0.1, 0.8, 0.1))
KITCHEN = judged("kitchen", "00001", "00000", "00002", probabilities=(0.8, 0.1, 0.1))
MUSIC = judged("music", "00002", "00001", probabilities=(1.0, 0.0), teacher="bert")


def test_the_judgment_that_chose_the_like_of_a_hit_for_the_like_of_the_query_is_named_first(known):
    known.add(MUSIC, KITCHEN, GARDEN)
    ((first, *_),) = known.reasons("for a gardener", "00003")
    assert (first.query, first.teacher, first.verdict) == ("garden", "anna", "for")
    assert (first.item.id, first.chosen.id) == ("00000", "00000")
    assert {image.id for image in first.over} == {"00001", "00002"}
    assert first.item.probability == 0.8
    assert first.similarity == pytest.approx(1 / np.sqrt(1.04), abs=1e-3)
    assert first.item_similarity == pytest.approx(1 / np.sqrt(1.04), abs=1e-3)


def test_without_the_judgment_another_explains_the_hit(known):
    known.add(MUSIC, KITCHEN, GARDEN, judged("allotment", "00000", "00002", probabilities=(0.9, 0.1)))
    ((first, second, *_),) = known.reasons("for a gardener", "00003")
    assert (first.query, second.query) == ("garden", "allotment")
    with contextlib.closing(sqlite3.connect(known.workspace.database)) as database, database:
        database.execute("DELETE FROM judgments WHERE query = 'garden'")
    ((first, *others),) = known.reasons("for a gardener", "00003")
    assert first.query == "allotment"
    assert "garden" not in [reason.query for reason in others]


def test_a_hit_whose_like_lost_has_a_counter_argument(known):
    known.add(MUSIC, KITCHEN, GARDEN)
    ((first, *_),) = known.reasons("for a gardener", "00004")
    assert (first.query, first.verdict) == ("garden", "against")
    assert (first.item.id, first.chosen.id) == ("00001", "00000")
    assert first.item in first.over
    assert first.influence < 0


def test_a_hit_like_nothing_that_was_judged_has_no_reasons(known):
    known.add(GARDEN)
    assert known.reasons("for a gardener", "00077") == [()]


def test_a_ranking_speaks_for_what_stands_high_and_against_what_stands_low(known):
    known.add(judged("garden", "00001", "00002", "00000", order=(2, 1, 0)))
    ((best,), (worst,)) = known.reasons("for a gardener", "00003", "00004")
    assert (best.verdict, worst.verdict) == ("for", "against")
    assert [image.id for image in best.shown] == ["00000", "00002", "00001"]
    assert (best.place, worst.place) == (0, 2)
    assert best.item.probability is None


def test_what_is_held_out_taught_nothing(known):
    known.add(judged("held out", "00000", "00001", probabilities=(1.0, 0.0), split="heldout"), KITCHEN)
    ((*found,),) = known.reasons("for a gardener", "00000")
    assert {reason.query for reason in found} <= {"kitchen"}
    known.add(GARDEN, sides=[("content", "00002", "train")])
    with contextlib.closing(sqlite3.connect(known.workspace.database)) as database, database:
        database.execute("UPDATE queries SET split = 'heldout' WHERE text = 'garden'")
    ((*found,),) = known.reasons("for a gardener", "00000")
    assert "garden" not in {reason.query for reason in found}, "its query was held out later"


def test_a_judgment_that_shows_a_held_out_item_taught_nothing(known):
    known.add(GARDEN, KITCHEN)
    with contextlib.closing(sqlite3.connect(known.workspace.database)) as database, database:
        database.execute("UPDATE sides SET split = 'heldout' WHERE key = '00002'")
    assert known.reasons("for a gardener", "00000") == [()]


def test_what_was_judged_after_the_training_taught_nothing(known):
    known.add(GARDEN, KITCHEN)
    known.facts(judged_until=time.time() - 60)
    with pytest.raises(VdistillError, match="newer than its student"):
        known.reasons("for a gardener", "00000")
    with contextlib.closing(sqlite3.connect(known.workspace.database)) as database, database:
        database.execute("UPDATE judgments SET asked_at = asked_at - 120 WHERE query = 'kitchen'")
    ((*found,),) = known.reasons("for a gardener", "00000")
    assert [reason.query for reason in found] == ["kitchen"]


def test_an_image_that_changed_since_is_not_compared_and_not_shown(known):
    changed = replace(GARDEN, sha256=("00001", "another", "00002"))
    known.add(changed)
    with Database.open(known.workspace.database) as database:
        database.add_item_sides([("content", "another", "train")])
    assert known.reasons("for a gardener", "00003") == [()], "what was chosen is no longer known"
    ((against,),) = known.reasons("for a gardener", "00004")
    assert against.chosen.file is None
    assert against.item.file is not None


def test_an_image_that_was_judged_before_and_after_it_changed_speaks_for_itself_alone(known):
    before = replace(judged("garden", "00000", "00001", probabilities=(0.9, 0.1)), sha256=("another", "00001"))
    after = judged("allotment", "00000", "00001", probabilities=(0.2, 0.8))
    known.add(before, after)
    with Database.open(known.workspace.database) as database:
        database.add_item_sides([("content", "another", "train")])
    for hits in (known.reasons("for a gardener", "00003"), known.reasons("for a gardener", "00000")):
        assert [(one.query, one.verdict) for one in hits[0]] == [("allotment", "against")]
    ((first, *_),) = known.reasons("for a gardener", "00004")
    assert (first.query, first.verdict, first.chosen.id, first.chosen.file) == ("garden", "against", "00000", None)


def test_a_renamed_image_is_known_by_its_content(known):
    known.add(replace(GARDEN, items=("00001", "old name", "00002")))
    ((first,),) = known.reasons("for a gardener", "00003")
    assert first.chosen.id == "00000"


def test_each_training_query_is_named_once(known):
    again = judged("garden", "00000", "00002", probabilities=(0.7, 0.3))
    known.add(GARDEN, again, judged("allotment", "00000", "00002", probabilities=(0.9, 0.1)))
    ((*found,),) = known.reasons("for a gardener", "00003")
    assert [reason.query for reason in found] == ["garden", "allotment"]
    ((*found,),) = known.reasons("for a gardener", "00003", count=1)
    assert len(found) == 1


def test_training_queries_are_encoded_once(known):
    known.add(GARDEN, KITCHEN)
    known.reasons("for a gardener", "00003")
    assert known.texts.count == 2 + 2  # beside the search a text that shows that the encoder is the same
    first = known.reasons("for a gardener", "00003")
    assert known.texts.count == 4 + 2
    known.add(MUSIC)
    known.reasons("for a gardener", "00003")
    assert known.texts.count == 6 + 2 + 1
    (kept,) = known.workspace.cache.rglob("*.npy")
    kept.write_bytes(kept.read_bytes()[:-40])  # damaged: it is only a cache
    assert [one.query for one in known.reasons("for a gardener", "00003")[0]][:1] == [first[0][0].query]
    shutil.rmtree(known.workspace.cache)
    assert known.reasons("for a gardener", "00003")


# As it is typed


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A shop of 24 drawings with a student, an index, and the judgments of a table."""
    from sittings import judged_shop

    return judged_shop(tmp_path_factory.mktemp("judged"))


def asked(shop, *words):
    done = vdistill("query", *words, "--why", "--json", cwd=shop)
    assert done.code == 0, done.err
    return done.json["results"]


def test_json_names_stored_training_judgments(shop):
    with Database.open(shop / ".vdistill" / "vdistill.db", write=False) as database:
        stored = {(one.query, one.answer.best, frozenset(one.items)): one for one in database.judgments("train")}
    results = asked(shop, "a red thing", "-k", 5)
    assert any(hit["why"] for hit in results)
    for reason in (reason for hit in results for reason in hit["why"]):
        assert list(reason) == ["query", "similarity", "verdict", "influence", "item", "item_similarity",
                                "place", "probability", "chosen", "chosen_probability", "over", "teacher",
                                "asked_at"]  # fmt: skip
        shown = [reason["chosen"], *reason["over"]]
        judgment = next(
            one for (query, _, items), one in stored.items() if query == reason["query"] and items == frozenset(shown)
        )
        assert judgment.items[judgment.answer.best] == reason["chosen"]
        assert judgment.teacher == reason["teacher"]
        assert shown[reason["place"] - 1] == reason["item"]
        assert judgment.answer.probabilities[judgment.items.index(reason["item"])] == reason["probability"]
        assert max(judgment.answer.probabilities) == reason["chosen_probability"]
        assert (reason["influence"] > 0) == (reason["verdict"] == "for")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", reason["asked_at"])
        assert -1 <= reason["similarity"] <= 1


def test_the_searched_training_query_explains_itself(shop):
    with Database.open(shop / ".vdistill" / "vdistill.db", write=False) as database:
        query = database.judgments("train")[0].query
    results = asked(shop, query, "-k", 24)
    assert query in {reason["query"] for hit in results for reason in hit["why"][:1]}


def test_without_why_nothing_changes(shop):
    plain = vdistill("query", "a red thing", "--json", cwd=shop).json["results"]
    assert "why" not in plain[0]
    explained = asked(shop, "a red thing")
    assert [{name: hit[name] for name in plain[0]} for hit in explained] == plain


def test_without_why_nothing_of_it_is_imported(shop):
    program = ("import sys; from vdistill.cli import main; code = main(['query', 'red', '--json']);"
               "print(code, [m for m in sys.modules if m.startswith('vdistill.query.why')], file=sys.stderr)"
               )  # fmt: skip
    done = subprocess.run([sys.executable, "-c", program], cwd=shop, capture_output=True, text=True, check=True)
    assert done.stderr.strip().splitlines()[-1] == "0 []"


@pytest.mark.parametrize("words", [["--image", "catalog/red_mug.png"], ["2:red", "+", "mug", "-", "green"]])
def test_images_and_mixtures_are_explained_too(shop, words):
    assert any(hit["why"] for hit in asked(shop, *words, "-k", 3))


def test_each_query_of_a_batch_is_explained_as_it_is_alone(shop, tmp_path):
    (tmp_path / "batch.txt").write_text("a red thing\nsomething blue\n")
    done = vdistill("query", "--batch", tmp_path / "batch.txt", "--why", "-k", 3, cwd=shop)
    assert done.code == 0, done.err
    lines = [json.loads(line)["results"] for line in done.out.splitlines()]
    assert lines == [asked(shop, text, "-k", 3) for text in ("a red thing", "something blue")]


def test_the_table_says_what_was_chosen_over_what_and_by_whom(shop):
    done = vdistill("query", "a red thing", "--why", "-k", 3, cwd=shop, env={"COLUMNS": "200"})
    assert done.code == 0, done.err
    assert re.search(r"[+−] +0\.\d\d “", done.out)
    assert "table:scores.csv" in done.out
    assert " over " in done.out or "was chosen" in done.out


def test_the_page_shows_the_judged_images_and_escapes_what_they_say(shop, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(shop, home)
    with contextlib.closing(sqlite3.connect(home / ".vdistill" / "vdistill.db")) as database, database:
        for table, column in (("judgments", "query"), ("queries", "text")):
            database.execute(f"UPDATE {table} SET {column} = '<script>' || {column}")
    plain, page = home / "plain.html", home / "page.html"
    assert vdistill("query", "a red thing", "-k", 2, "--gallery", plain, cwd=home).code == 0
    done = vdistill("query", "a red thing", "-k", 2, "--why", "--gallery", page, cwd=home)
    assert done.code == 0, done.err
    html = page.read_text()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html
    assert html.count('src="data:image/jpeg') > plain.read_text().count('src="data:image/jpeg') == 2
    assert "What taught it" in html
    assert "why" not in plain.read_text()


def packed(home, path):
    with contextlib.closing(Store.open(home / ".vdistill" / "index", "student")) as store:
        write_pack(store, "student", path)
    return path


def test_a_pack_is_explained_where_the_judgments_are(shop, tmp_path):
    pack = packed(shop, tmp_path / "shop.vdx")
    assert [hit["why"] for hit in asked(shop, "red", "--index", pack)] == [hit["why"] for hit in asked(shop, "red")]
    error, hint = errors(vdistill("query", "red", "--index", pack, "--why", cwd=tmp_path))
    assert "stay in the workspace" in error
    assert "--workspace" in hint


def test_a_database_is_explained_by_the_index_it_was_filled_from(shop, tmp_path):
    pytest.importorskip("qdrant_client")
    address = f"qdrant+path:{tmp_path / 'qdrant'}"
    with contextlib.closing(Store.open(shop / ".vdistill" / "index", "student")) as store:
        push(store, "student", parse(address))
    there, here = (asked(shop, "a red thing", "-k", 3, *more) for more in (["--from", address], []))
    assert [[one["query"] for one in hit["why"]] for hit in there] == [
        [one["query"] for one in hit["why"]] for hit in here
    ]


@pytest.mark.parametrize(
    ("words", "why", "help_"),
    [
        (["--model", "backbone"], "taught by no judgments", "leave --model out"),
        (["--index", "other.vdx"], "of another student", "--workspace"),
    ],
)
def test_what_no_judgments_taught_is_refused_with_one_error(shop, tmp_path, words, why, help_):
    home = tmp_path / "home"
    shutil.copytree(shop, home)
    if "--index" in words:
        packed(home, home / "other.vdx")
        facts = home / ".vdistill" / "student" / "student.json"
        facts.write_text(json.dumps({**json.loads(facts.read_text()), "adapter_sha256": "0" * 64}))
    error, hint = errors(vdistill("query", "red", "--why", *words, cwd=home))
    assert why in error
    assert help_ in hint


def test_without_judgments_or_a_student_there_is_one_error(shop, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(shop, home)
    with contextlib.closing(sqlite3.connect(home / ".vdistill" / "vdistill.db")) as database, database:
        database.execute("DELETE FROM judgments WHERE split = 'train'")
    error, hint = errors(vdistill("query", "red", "--why", cwd=home))
    assert "no training judgments" in error
    assert "label --import" in hint
    shutil.rmtree(home / ".vdistill" / "student")
    error, hint = errors(vdistill("query", "red", "--why", cwd=home))
    assert "no student yet" in error
    assert "vdistill distill" in hint


def test_paths_alone_cannot_be_explained(shop):
    assert vdistill("query", "red", "--why", "--paths0", cwd=shop).code == 2
