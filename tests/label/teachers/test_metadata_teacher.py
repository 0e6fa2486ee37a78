"""The metadata teacher reads the items' text, with a sentence encoder or with BM25, and says which."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from command_line import vdistill
from vdistill.errors import VdistillError
from vdistill.inputs.words import Bm25, words_of
from vdistill.label.teacher import Teacher
from vdistill.label.teachers import metadata, open_teacher
from vdistill.label.teachers.options import TeacherOptions
from vdistill.records import Failure, Item, Question, ShownImage

ITEMS = [
    Item("can.jpg", Path("can.jpg"), {"title": "watering can", "description": "for beds and pots", "price": 9}),
    Item(
        "pan.jpg", Path("pan.jpg"), {"title": "frying pan", "description": "for eggs and steaks", "tags": ["kitchen"]}
    ),
    Item("mute.jpg", Path("mute.jpg"), {"price": 3}),
]


def opened(say, items=ITEMS, spec="metadata"):
    return open_teacher(spec, TeacherOptions(), items, say)


def about(query, *items):
    return Question(query, tuple(ShownImage(item, Path(item), item) for item in items))


@pytest.fixture
def without_model(monkeypatch):
    """No package carries the sentence encoder, and no hub can be reached."""
    found = importlib.util.find_spec
    monkeypatch.setattr(
        metadata.importlib.util, "find_spec", lambda name: None if name == metadata.PACKAGED else found(name)
    )


def test_without_a_model_it_reads_with_bm25_and_says_so(without_model):
    said = []
    teacher = opened(said.append)
    assert isinstance(teacher, Teacher)
    assert teacher.name == "metadata/bm25"
    assert "BM25" in said[0]
    (answer,) = teacher.ask([about("steaks and eggs", "can.jpg", "pan.jpg")])
    assert answer.probabilities[1] > 0.8
    (even,) = teacher.ask([about("zzz", "can.jpg", "pan.jpg")])
    assert even.probabilities == pytest.approx((0.5, 0.5)), "no word matches: nothing is preferred"


def test_a_sentence_encoder_that_was_named_must_be_there():
    with pytest.raises(VdistillError, match="nobody/none"):
        opened(print, spec="metadata:nobody/none")


def test_edited_metadata_is_another_prompt(without_model):
    edited = [Item(item.id, item.file, {**item.metadata, "title": "teapot"}) for item in ITEMS]
    assert opened(print).prompt == opened(print).prompt != opened(print, edited).prompt


def test_an_item_without_text_is_a_failure(without_model):
    (answer,) = opened(print).ask([about("pan", "mute.jpg", "pan.jpg")])
    assert isinstance(answer, Failure)
    assert "mute.jpg" in answer.reason


def test_items_without_text_are_left_out_and_reported(tmp_path, catalog):
    rows = (catalog / "metadata.jsonl").read_text().splitlines(keepends=True)
    (catalog / "metadata.jsonl").write_text("".join(rows[:16]))
    (tmp_path / "q.txt").write_text("something red\na gift for a cook\nfor my kitchen\n")
    done = vdistill("label", "catalog", "--teacher", "metadata", "--queries", "q.txt", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "does not know 8 of the items, left out" in done.err
    assert (done.json["failed"], done.json["items"]) == (0, 16)


def test_a_catalog_without_text_is_an_error():
    with pytest.raises(VdistillError, match="nothing to read"):
        opened(print, items=[ITEMS[2]])


def test_all_words_are_read_the_title_first():
    assert words_of(ITEMS[1].metadata) == "frying pan. for eggs and steaks. kitchen"


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec(metadata.PACKAGED) is None, reason="needs vdistill[demo]")
def test_minilm_understands_what_words_do_not_say():
    said = []
    teacher = opened(said.append)
    assert teacher.name == "metadata/all-MiniLM-L6-v2"
    assert "all-MiniLM-L6-v2" in said[0]
    garden, kitchen = teacher.ask([
        about("a gift for somebody who loves gardening", "pan.jpg", "can.jpg"),
        about("a gift for a chef", "pan.jpg", "can.jpg"),
    ])  # fmt: skip
    assert garden.probabilities[1] > 0.6
    assert kitchen.probabilities[0] > 0.6


def test_text_search_over_nothing_finds_nothing():
    assert Bm25(["", "?!"]).empty
    assert Bm25(["", ""]).scores("red mug").tolist() == [0, 0]
    search = Bm25(["red mug", "blue mug", "garden chair"])
    assert np.argmax(search.scores("something red")) == 0
    assert search.scores("the").tolist() == [0, 0, 0]
    assert np.argmax(Bm25(["garden gloves", "gift wrap"]).scores("gardens")) == 0, "by the stem, as --hybrid does"
