"""Queries from files and the built-in ones, each on its side of the split."""

import pytest

from vdistill.errors import VdistillError
from vdistill.queries import load
from vdistill.splits import split_of


def test_the_built_in_personas_are_many_and_distinct():
    queries = load(None, 0.2)
    assert len(queries) >= 200
    assert len({query.text for query in queries}) == len(queries)
    assert 0.1 < sum(query.split == "heldout" for query in queries) / len(queries) < 0.3


def test_a_text_file_gives_one_query_a_line(tmp_path):
    (tmp_path / "q.txt").write_text("first\n\n# a remark\n  second  \nfirst\n")
    assert [query.text for query in load(tmp_path / "q.txt", 0.2)] == ["first", "second"]


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
