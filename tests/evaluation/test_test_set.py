"""What models are judged by: nothing of the training may enter, and the figures are the teacher's or the file's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vdistill.errors import VdistillError
from vdistill.evaluation import metrics
from vdistill.evaluation.admissible import admissible
from vdistill.evaluation.grading import evaluate, grade, means, ndcg, teacher_scores
from vdistill.evaluation.qrels import Candidates, from_qrels, read_qrels
from vdistill.evaluation.test_set import MOST_TITLES, from_judgments
from vdistill.inputs.sides import Sides
from vdistill.inputs.split import split_of
from vdistill.records import Answer, Item, Judgment, Query

HOLDOUT = 0.5
ALL = [Item(f"img {number:02d}.png", Path("x"), {"title": f"thing {number % 9}"}) for number in range(40)]
HELD = [item for item in ALL if split_of("item", item.id, HOLDOUT) == "heldout"]
TRAIN = [item for item in ALL if split_of("item", item.id, HOLDOUT) == "train"]
SIDES = {item.id: split_of("item", item.id, HOLDOUT) for item in ALL}
QUERIES = [Query("h1", "for my aunt", "heldout"), Query("h2", "for a hike", "heldout"), Query("t1", "old", "train")]


def ranked(query, items, split="heldout", teacher="metadata"):
    """A teacher that put these items in this order."""
    answer = Answer(order=tuple(range(len(items))))
    return Judgment(query, tuple(item.id for item in items), ("",) * len(items), "rank", answer, teacher, split)


def write(path, *lines):
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def test_the_teachers_best_ten_get_falling_gains():
    held_out = from_judgments([ranked("for my aunt", HELD[:14])], HELD)
    (judged,) = held_out.judged
    by_item = {held_out.items[row]: gain for row, gain in zip(judged.rows, judged.gains, strict=True)}
    assert [by_item[item.id] for item in HELD[:14]] == pytest.approx([10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0, 0])
    assert held_out.candidates.tolist() == [14]
    assert (held_out.source, held_out.judged_by) == ("teacher", "metadata")


def test_training_judgments_and_training_items_never_enter():
    judgments = [
        ranked("for my aunt", [*HELD[:6], *TRAIN[:6]]),
        ranked("old", HELD[:6], split="train"),
        ranked("for a hike", TRAIN[:6]),
    ]
    held_out = from_judgments(judgments, HELD)
    assert held_out.queries == ("for my aunt",)
    assert {held_out.items[row] for row in held_out.judged[0].rows} == {item.id for item in HELD[:6]}
    assert set(held_out.items) == {item.id for item in HELD}


def asked_by(prompt, judgment):
    return replace(judgment, prompt=prompt)


def test_of_several_teachers_the_one_with_most_judgments_is_the_judge():
    judgments = [
        ranked("for my aunt", HELD[:6]),
        ranked("for a hike", HELD[:6]),
        ranked("for my aunt", HELD[5::-1], teacher="import:five pairs"),
    ]
    found = admissible(judgments, {}, Sides(HOLDOUT))
    assert found.judgments == judgments[:2]
    assert "judged by metadata (2 held-out judgments), not by import:five pairs (1)" in found.notes[0]
    other = admissible(judgments, {}, Sides(HOLDOUT), "import:five pairs")
    assert other.judgments == judgments[2:]
    with pytest.raises(VdistillError, match="judged by 'metadat'") as error:
        admissible(judgments, {}, Sides(HOLDOUT), "metadat")
    assert "did you mean 'metadata'" in error.value.hint


def test_of_judges_with_as_many_judgments_the_latest_counts():
    judgments = [ranked("for my aunt", HELD[:6], teacher=name) for name in ("b", "a", "c")]
    assert admissible(judgments, {}, Sides(HOLDOUT)).judge.teacher == "c"


def test_a_teacher_that_was_asked_in_other_words_is_another_judge():
    old = [asked_by("v1", ranked(query.text, HELD[:6])) for query in QUERIES[:2]]
    new = [asked_by("v2", ranked("for my aunt", HELD[5::-1]))]
    found = admissible([*old, *new], {}, Sides(HOLDOUT))
    assert found.judgments == old
    assert "judged by metadata#v1 (2 held-out judgments), not by metadata#v2 (1)" in found.notes[0]
    assert from_judgments(found.judgments, HELD).prompt == "v1"
    assert admissible([*old, *new], {}, Sides(HOLDOUT), "metadata#v2").judgments == new


def test_judgments_of_queries_that_are_trained_on_do_not_count():
    sides = Sides(HOLDOUT, queries={"for a hike": "train"})
    judgments = [ranked("for my aunt", HELD[:6]), ranked("For a  HIKE", HELD[:6])]
    found = admissible(judgments, {}, sides)
    assert found.judgments == judgments[:1]
    assert found.notes == ("1 of 2 held-out judgments left out: their queries are used for training",)


def test_an_image_that_changed_since_it_was_judged_does_not_count():
    judgments = [ranked("for my aunt", HELD[:6])]
    found = admissible(judgments, {HELD[0].id: "another", HELD[1].id: ""}, Sides(HOLDOUT))
    held_out = from_judgments(found.judgments, HELD)
    (judged,) = held_out.judged
    assert {held_out.items[row] for row in judged.rows} == {item.id for item in HELD[1:6]}
    assert found.notes[0].startswith("1 held-out images changed")


@pytest.mark.parametrize(
    "judgments", [[], [ranked("old", HELD[:5], split="train")], [ranked("for my aunt", TRAIN[:5])]]
)
def test_nothing_to_judge_by_is_an_error_with_a_way_out(judgments):
    with pytest.raises(VdistillError, match="no held-out judgments") as error:
        from_judgments(judgments, HELD)
    assert "vdistill label" in error.value.hint


def test_a_query_with_no_preferences_is_left_out_and_counted():
    same = Judgment("for a hike", (HELD[0].id, HELD[1].id), ("", ""), "best", Answer(probabilities=(0.5, 0.5)), "m",
                    "heldout")  # fmt: skip
    held_out = from_judgments([ranked("for my aunt", HELD[:5]), same], HELD)
    assert held_out.queries == ("for my aunt",)
    assert held_out.notes == ("1 held-out queries left out: the teacher rates their images all alike",)


def test_the_teacher_is_perfect_by_its_own_preferences():
    held_out = from_judgments([ranked("for my aunt", HELD[:12]), ranked("for a hike", HELD[3:15])], HELD)
    values = grade(held_out, teacher_scores(held_out, []))
    assert np.stack(list(values.values())) == pytest.approx(1)


def test_a_model_is_graded_on_what_the_teacher_judged_and_on_titles():
    rng = np.random.default_rng(0)
    held_out = from_judgments([ranked("for my aunt", HELD[:12])], HELD)
    items = unit(rng.normal(size=(len(HELD), 2048)))
    rows = [held_out.items.index(item.id) for item in HELD[:12]]
    query = unit((items[rows] * np.linspace(2, 0.1, 12)[:, None]).sum(axis=0, keepdims=True))
    titles = np.stack([items[same[0]] for same in held_out.with_title])
    values = means(evaluate(held_out, items, query, titles))
    assert list(values) == [metric for metric in metrics.METRICS if metric != "gap_closed"]
    assert values["ndcg@10"] > 0.9
    assert values["literal_recall@1"] == 1
    assert means(evaluate(held_out, items, -query, titles))["mpr"] < 0.2


def test_ndcg_alone_is_that_of_all_figures():
    held_out = from_judgments([ranked("for my aunt", HELD[:12]), ranked("for a hike", HELD[3:9])], HELD)
    rng = np.random.default_rng(0)
    items, queries, titles = (unit(rng.normal(size=(count, 8))) for count in (len(HELD), 2, len(held_out.titles)))
    assert ndcg(held_out, items, queries).tolist() == evaluate(held_out, items, queries, titles)["ndcg@10"].tolist()


def test_a_catalog_without_titles_has_no_literal_figures():
    bare = [Item(item.id, item.file) for item in HELD]
    held_out = from_judgments([ranked("for my aunt", bare[:5])], bare)
    vectors = unit(np.random.default_rng(0).normal(size=(len(bare), 8)))
    assert "literal_recall@10" not in evaluate(held_out, vectors, vectors[:1], vectors[:0])


def test_many_titles_are_sampled_the_same_way_each_time():
    items = [Item(f"{number:05d}", Path("x"), {"title": f"thing {number}"}) for number in range(MOST_TITLES + 500)]
    first = from_judgments([ranked("for my aunt", items[:5])], items)
    again = from_judgments([ranked("for my aunt", items[:5])], items[::-1])
    assert len(first.titles) == MOST_TITLES
    assert first.titles == again.titles
    assert all(items[row[0]].title == title for row, title in zip(first.with_title, first.titles, strict=True))


def test_a_model_of_another_dimension_is_an_error():
    held_out = from_judgments([ranked("for my aunt", HELD[:5])], HELD)
    with pytest.raises(VdistillError, match="8 dimensions, the queries 9"):
        evaluate(
            held_out, np.ones((len(HELD), 8), np.float32), np.ones((1, 9), np.float32), np.ones((1, 9), np.float32)
        )


def test_qrels_are_read_with_spaces_in_ids_and_negative_grades(tmp_path):
    path = write(tmp_path / "qrels", "\ufeffh1 0 img 01.png 2", "", "h1\t0\timg 02.png\t-1", "h1 0 img 01.png 2")
    assert read_qrels(path) == {"h1": {"img 01.png": 2, "img 02.png": 0}}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("h1 0 img.png", "line 2: 3 columns instead of 4"),
        ("h1", "line 2: 1 columns instead of 4"),
        ("h1 0 img.png high", "line 2: grade 'high' is not a whole number"),
        ("h1 0 img.png 0.5", "line 2: grade '0.5' is not a whole number"),
        ("h1 0 a.png 1", "line 2: 'a.png' has grade 1 for query 'h1', and 3 further up"),
    ],
)
def test_a_broken_line_of_qrels_is_named(tmp_path, line, message):
    with pytest.raises(VdistillError, match=message):
        read_qrels(write(tmp_path / "qrels", "h1 0 a.png 3", line))


def test_a_qrels_file_that_is_missing_empty_or_binary_is_an_error(tmp_path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    for path, message in [
        (tmp_path / "absent", "cannot read"),
        (write(tmp_path / "empty", "", ""), "holds no judgments"),
        (tmp_path / "binary", "not UTF-8"),
    ]:
        with pytest.raises(VdistillError, match=message):
            read_qrels(path)


def test_of_qrels_only_held_out_queries_and_items_enter():
    qrels = {
        "h1": {HELD[0].id: 2, TRAIN[0].id: 3, HELD[1].id: 0},
        "t1": {HELD[2].id: 1},
        "h2": {TRAIN[1].id: 1},
    }
    held_out = from_qrels(qrels, "qrels.txt", QUERIES, Candidates(ALL, SIDES))
    assert held_out.queries == ("for my aunt",)
    assert held_out.items == tuple(item.id for item in HELD)
    _, gains, _ = held_out.dense(held_out.judged[0])
    assert gains.sum() == gains[held_out.items.index(HELD[0].id)] == 2
    assert held_out.candidates.tolist() == [len(HELD)]
    assert held_out.notes == ("1 held-out queries left out: no relevant held-out item",)


def test_unknown_ids_are_counted_with_a_close_match():
    qrels = {"h1": {HELD[0].id: 1, "img_01.png": 1, "zzz": 1}, "h22": {HELD[0].id: 1}}
    notes = from_qrels(qrels, "qrels.txt", QUERIES, Candidates(ALL, SIDES)).notes
    assert notes[0] == "1 of the queries in qrels.txt are not known, e.g. 'h22' (close: 'h2')"
    assert notes[1].startswith("2 of the items in qrels.txt are not known, e.g. 'img_01.png' (close: 'img 01.png')")


def test_an_id_of_two_queries_is_left_out():
    queries = [*QUERIES, Query("h2", "another text", "heldout")]
    held_out = from_qrels({"h1": {HELD[0].id: 1}, "h2": {HELD[0].id: 1}}, "q", queries, Candidates(ALL, SIDES))
    assert held_out.queries == ("for my aunt",)
    assert held_out.notes == ("1 query ids left out: each names more than one query of the workspace",)


def test_qrels_that_fit_nothing_say_what_is_wrong():
    with pytest.raises(VdistillError, match=r"1 of the queries in q are not known, e.g. 'h9'"):
        from_qrels({"h9": {HELD[0].id: 1}}, "q", QUERIES, Candidates(ALL, SIDES))


def test_by_qrels_the_teacher_is_a_ranker_like_others():
    qrels = {"h1": {HELD[1].id: 1, HELD[9].id: 1}, "h2": {HELD[0].id: 1}}
    held_out = from_qrels(qrels, "q", QUERIES, Candidates(ALL, SIDES))
    scores = teacher_scores(held_out, [ranked("for my aunt", HELD[:5])])
    assert scores[held_out.queries.index("for a hike")] is None
    values = grade(held_out, scores)
    first = held_out.queries.index("for my aunt")
    assert 0 < values["ndcg@10"][first] < 1  # found one on rank 2, never saw the other
    assert np.isnan(values["ndcg@10"][1 - first])
