"""The table teacher answers from a file of query, item, score."""

import json
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vdistill.errors import VdistillError
from vdistill.label.teacher import Teacher
from vdistill.label.teachers import open_teacher
from vdistill.label.teachers.options import TeacherOptions
from vdistill.records import Failure, Question, ShownImage

ROWS = [("red things", "a.png", 2.0), ("red things", "b.png", 0.0), ("blue things", "a.png", -1.0)]


@pytest.fixture(params=["csv", "jsonl", "parquet"])
def table(request, tmp_path):
    path = tmp_path / f"scores.{request.param}"
    if request.param == "csv":
        path.write_text("query,item,score\n" + "".join(f"{q},{i},{s}\n" for q, i, s in ROWS))
    elif request.param == "jsonl":
        path.write_text("".join(json.dumps({"query": q, "item": i, "score": s}) + "\n" for q, i, s in ROWS))
    else:
        columns = list(zip(*ROWS, strict=True))
        pq.write_table(pa.table({"query": columns[0], "item": columns[1], "score": columns[2]}), path)
    return path


def opened(path):
    return open_teacher(f"table:{path}", TeacherOptions(), [], lambda _: None)


def shown(*items, query="red things", ask="best"):
    return Question(query, tuple(ShownImage(item, Path(item), item) for item in items), ask)


def test_it_chooses_by_the_scores(table):
    teacher = opened(table)
    assert isinstance(teacher, Teacher)
    (answer,) = teacher.ask([shown("b.png", "a.png")])
    assert answer.probabilities == pytest.approx((1 / (1 + math.e**2), 1 / (1 + math.e**-2)))


def test_a_ranking_is_the_order_of_the_scores(table):
    assert opened(table).ask([shown("b.png", "a.png", ask="rank")])[0].order == (1, 0)


def test_what_it_does_not_know_is_named(table):
    teacher = opened(table)
    assert teacher.unknown(["red things", "green things"], ["a.png", "b.png"]) == (["green things"], [])
    assert teacher.unknown(["red things", "blue things"], ["a.png", "b.png"]) == ([], ["b.png"])
    by_query, by_item = teacher.ask([shown("a.png", query="green things"), shown("a.png", "c.png")])
    assert isinstance(by_query, Failure)
    assert "green things" in by_query.reason
    assert isinstance(by_item, Failure)
    assert "c.png" in by_item.reason


def test_another_table_is_another_teacher(table):
    before = opened(table).name
    other = table.with_name("other.csv")
    other.write_text("query,item,score\nred things,a.png,9\n")
    other.rename(table.with_suffix(".csv"))
    assert opened(table.with_suffix(".csv")).name != before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("query,item,score\nq,a,1\nq,b,high\n", "line 3: the score 'high' is not a number"),
        ("query,item,score\nq,a,nan\n", "line 2: the score 'nan' is not a number"),
        ("query,item,score\nq,,1\n", "no 'item', only a score of acceptance"),
        ("query,item\nq,a\n", "line 2: the score None is not a number"),
        ("item,score\na,1\n", "line 2: no 'query'"),
        ("query,item,score\nq,a,1\nq,a,1\nq,a,2\n", "line 4: another score of 'a' for 'q'"),
        ("query,item,score\n", "has no rows"),
    ],
)
def test_a_mistake_is_named_by_its_line(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(VdistillError, match=message):
        opened(tmp_path / "t.csv")


def test_a_missing_table():
    with pytest.raises(VdistillError, match="nowhere.csv: no such file"):
        opened("nowhere.csv")
