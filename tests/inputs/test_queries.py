"""Queries from files and the built-in ones, each on its side of the split."""

import json
import os

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vdistill.errors import VdistillError
from vdistill.inputs.queries import TEMPLATES, load
from vdistill.inputs.split import split_of


def test_the_built_in_personas_are_many_and_distinct():
    queries = load(None, 0.2)
    assert len(queries) >= 200
    assert len({query.text for query in queries}) == len(queries)
    assert 0.1 < sum(query.split == "heldout" for query in queries) / len(queries) < 0.3


def test_a_text_file_gives_one_query_a_line_whatever_it_begins_with(tmp_path):
    (tmp_path / "q.txt").write_bytes(
        "\ufefffirst\r\n\n#1 dad mug\n  second  \nfirst\nred mug\u2028for a baker\nblue\fchair\x85".encode()
    )
    wanted = ["first", "#1 dad mug", "second", "red mug\u2028for a baker", "blue\fchair"]
    assert [query.text for query in load(tmp_path / "q.txt", 0.2)] == wanted
    assert not any(query.text.startswith("#") for query in load(None, 0.2)), "the built-in ones have a heading"


def test_half_a_character_in_a_query_becomes_a_mark(tmp_path):
    (tmp_path / "q.jsonl").write_text('{"query": "mug \\ud83d"}\n{"query": "cup \\ud83c\\udf81"}\n')
    assert [query.text for query in load(tmp_path / "q.jsonl", 0.2)] == ["mug \ufffd", "cup \U0001f381"]


def test_a_named_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "q.txt")
    with pytest.raises(VdistillError, match="named pipe"):
        load(tmp_path / "q.txt", 0.2)


def test_the_split_column_decides(tmp_path):
    (tmp_path / "q.jsonl").write_text('{"query": "a", "split": "test", "id": "q7"}\n{"query": "b", "split": "train"}\n')
    a, b = load(tmp_path / "q.jsonl", 0.2)
    assert (a.split, a.id, b.split) == ("heldout", "q7", "train")


def test_an_unknown_split_is_named_by_its_line(tmp_path):
    (tmp_path / "q.csv").write_text("query,split\na,train\nb,tset\n")
    with pytest.raises(VdistillError, match="line 3: unknown split 'tset'"):
        load(tmp_path / "q.csv", 0.2)


@pytest.mark.parametrize("name", ["missing.txt", "missing.jsonl"])
def test_a_missing_file_is_an_error(tmp_path, name):
    with pytest.raises(VdistillError):
        load(tmp_path / name, 0.2)


def test_a_persona_becomes_a_query_by_template(tmp_path):
    personas = [
        "A 34-year-old nurse who hikes at night. She has two dogs.",
        "Mary Jones is a retired teacher from Leeds.",
        "the neighbour with the loud parrot",
    ]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps({"persona": persona}) + "\n" for persona in personas))
    nurse, mary, neighbour = load(tmp_path / "q.jsonl", 0.2)
    assert "a 34-year-old nurse who hikes at night" in nurse.text
    assert "dogs" not in nurse.text
    assert "Mary Jones, a retired teacher from Leeds" in mary.text
    assert "the neighbour with the loud parrot" in neighbour.text
    assert nurse.persona == personas[0]
    assert len({template.format("x") for template in TEMPLATES}) == len(TEMPLATES)


def test_queries_of_one_persona_fall_on_one_side(tmp_path):
    rows = [{"persona": f"person {n // 2}", "query": f"wish {n}"} for n in range(200)]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    queries = load(tmp_path / "q.jsonl", 0.3)
    assert all(one.split == other.split for one, other in zip(queries[::2], queries[1::2], strict=True))
    assert {query.split for query in queries} == {"train", "heldout"}


def test_a_row_with_neither_is_named_by_its_line(tmp_path):
    (tmp_path / "q.csv").write_text("query,persona\na,\n,\n")
    with pytest.raises(VdistillError, match="line 3: no 'query'"):
        load(tmp_path / "q.csv", 0.2)


def test_a_url_is_fetched_through_fsspec(tmp_path):
    pq.write_table(pa.table({"persona": ["A baker", "A boxer"]}), tmp_path / "train-00000.parquet")
    local = load(tmp_path / "train-00000.parquet", 0.2)
    assert load((tmp_path / "train-00000.parquet").as_uri(), 0.2) == local
    with fsspec.open("memory://people/train.parquet", "wb") as file:
        file.write((tmp_path / "train-00000.parquet").read_bytes())
    assert load("memory://people/train.parquet", 0.2) == local


@pytest.mark.parametrize(
    "url", ["memory://nowhere.txt", "noscheme://x/y.txt", "hf://datasets/nobody/nothing/a.parquet"]
)
def test_a_url_that_cannot_be_fetched_is_an_error(url):
    with pytest.raises(VdistillError, match="cannot fetch"):
        load(url, 0.2)


def test_an_empty_file_is_an_error(tmp_path):
    (tmp_path / "q.txt").write_text("\n\n")
    with pytest.raises(VdistillError, match="no queries"):
        load(tmp_path / "q.txt", 0.2)


def test_the_split_is_stable_and_only_grows():
    keys = [f"images/{i}.jpg" for i in range(2000)]
    small = {key for key in keys if split_of("item", key, 0.2) == "heldout"}
    large = {key for key in keys if split_of("item", key, 0.3) == "heldout"}
    assert small < large
    assert abs(len(small) / 2000 - 0.2) < 0.03
    assert split_of("item", "images/1.jpg", 0.2) == split_of("item", "images/1.jpg", 0.2)
