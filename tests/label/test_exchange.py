"""Judgments leave and come back: exports, human pairs, qrels; and no leak across the held-out split."""

import json
import sqlite3

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from command_line import errors, sides_of, vdistill, write_scores
from vdistill.database import Database
from vdistill.inputs.queries import load
from vdistill.inputs.split import split_of


@pytest.fixture
def labelled(tmp_path, catalog):
    write_scores(tmp_path, sorted(path.name for path in catalog.glob("*.png")))
    done = vdistill("label", "catalog", "--teacher", "table:scores.csv", "--queries", "queries.txt",
                    "--images-per-call", 4, "--budget", 200, "--holdout", 0.4, cwd=tmp_path)  # fmt: skip
    assert done.code == 0, done.err
    return tmp_path


def contents(home, folder=".vdistill"):
    with Database.open(home / folder / "vdistill.db") as database:
        return {key: judgment for key, judgment in database.keyed_judgments()}


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_an_export_comes_back_whole(labelled, suffix):
    said = vdistill("label", "--export", f"all.{suffix}", "--json", cwd=labelled).json
    before = contents(labelled)
    assert said["judgments"] == len(before) > 100
    assert said["rows"] == 3 * len(before), "four images, so three pairs with the winner"
    again = vdistill("label", "catalog", "--import", f"all.{suffix}", "--holdout", 0.4, "-w", "other", "--json",
                     cwd=labelled)  # fmt: skip
    assert again.code == 0, again.err
    assert again.json["judgments"] == len(before)
    after = contents(labelled, "other")
    assert after.keys() == before.keys()
    for key, judgment in after.items():
        assert judgment.items == before[key].items
        assert judgment.answer.probabilities == before[key].answer.probabilities
        assert (judgment.split, judgment.pool, judgment.teacher) == (
            before[key].split, before[key].pool, before[key].teacher)  # fmt: skip
    relabelled = vdistill("label", "catalog", "--teacher", "table:scores.csv", "--queries", "queries.txt",
                          "--images-per-call", 4, "--budget", 200, "--holdout", 0.4, "-w", "other", "--json",
                          cwd=labelled).json  # fmt: skip
    assert relabelled["calls"] == 0, "what was imported is not asked again"


def test_rows_have_the_columns_of_preference_trainers(labelled):
    vdistill("label", "--export", "all.parquet", cwd=labelled)
    rows = pq.read_table(labelled / "all.parquet").to_pylist()
    assert {"prompt", "chosen", "rejected"} <= rows[0].keys()
    assert all(row["chosen"] != row["rejected"] and 0.5 <= row["probability"] <= 1 for row in rows)
    assert sum(row["items"] is not None for row in rows) == len({row["call"] for row in rows})


def sides(home, queries, holdout=0.4):
    of = sides_of(home, holdout)
    train, held_out = ([item for item in sorted(of) if of[item] == side] for side in ("train", "heldout"))
    query = next(query for query in queries if split_of("query", query, holdout) == "train")
    return query, train, held_out


def items_of(catalog):
    return sorted(path.name for path in catalog.glob("*.png"))


def test_human_pairs_are_taken_in_and_mixed_ones_left_out(tmp_path, catalog):
    query, train, held_out = sides(tmp_path, [f"wish {n}" for n in range(20)])
    rows = [
        {"prompt": query, "chosen": train[0], "rejected": train[1]},
        {"prompt": query, "chosen": train[0], "rejected": train[1]},  # a second person agrees
        {"prompt": [{"role": "user", "content": query}], "chosen": [{"role": "assistant", "content": train[2]}],
         "rejected": [{"role": "assistant", "content": train[1]}], "probability": 0.7},
        {"prompt": query, "chosen": train[0], "rejected": held_out[0]},
        {"prompt": query, "chosen": train[0], "rejected": "nowhere.png"},
    ]  # fmt: skip
    (tmp_path / "human.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = vdistill("label", "catalog", "--import", "human.jsonl", "--holdout", 0.4, "--json", cwd=tmp_path)
    assert done.json["judgments"] == 3
    assert "left out: 1 rows that mix training and held-out" in done.err
    assert "left out: 1 rows with items that are not in the catalog" in done.err
    assert {judgment.split for judgment in contents(tmp_path).values()} == {"train"}
    again = vdistill("label", "catalog", "--import", "human.jsonl", "--holdout", 0.4, "--json", cwd=tmp_path)
    assert (again.json["judgments"], again.json["reused"]) == (0, 3)


def test_the_chosen_one_is_not_always_at_the_first_position(tmp_path, catalog):
    query, train, _ = sides(tmp_path, [f"wish {n}" for n in range(20)])
    rows = [{"prompt": query, "chosen": a, "rejected": b} for a in train[:6] for b in train[6:]]
    (tmp_path / "human.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    vdistill("label", "catalog", "--import", "human.jsonl", "--holdout", 0.4, cwd=tmp_path)
    first = [judgment.answer.probabilities[0] for judgment in contents(tmp_path).values()]
    assert 0.2 < sum(first) / len(first) < 0.8


def test_qrels_become_choices_of_one_side(tmp_path, catalog):
    items, queries = items_of(catalog), [f"wish {n}" for n in range(20)]
    (tmp_path / "queries.jsonl").write_text("".join(json.dumps({"id": f"q{n}", "query": q}) + "\n"
                                                    for n, q in enumerate(queries)))  # fmt: skip
    (tmp_path / "grades.txt").write_text("".join(f"q{n} 0 {item} {n % 3}\n" for n in range(20) for item in items[::3])
                                         + "q99 0 x 1\n")  # fmt: skip
    done = vdistill("label", "catalog", "--import", "grades.txt", "--queries", "queries.jsonl", "--holdout", 0.4,
                    "--json", cwd=tmp_path)  # fmt: skip
    assert done.code == 0, done.err
    assert "unknown queries" in done.err
    of = sides_of(tmp_path, 0.4)
    for judgment in contents(tmp_path).values():
        assert {of[item] for item in judgment.items} == {judgment.split}
        assert split_of("query", judgment.query, 0.4) == judgment.split
        best = judgment.items[judgment.answer.probabilities.index(1.0)]
        assert best in items[::3]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"chosen": "a", "rejected": "b"}, "line 1: no prompt"),
        ({"prompt": "q", "chosen": "a"}, "line 1: no rejected"),
        ({"prompt": "q", "chosen": "a", "rejected": "a"}, "is chosen and rejected"),
        ({"prompt": "q", "chosen": "a", "rejected": "b", "probability": 2}, "must be between 0 and 1, got 2"),
        ({"prompt": "q", "items": ["a", "b"], "probabilities": [0.9, 0.9]}, "the call cannot be read"),
        ({"prompt": "q", "items": ["a", "a"], "order": [0, 1]}, "the call cannot be read"),
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, "no judgment that can be used"),
    ],
)
def test_bad_rows_are_named_and_nothing_is_stored(tmp_path, catalog, row, reason):
    (tmp_path / "bad.jsonl").write_text(json.dumps(row) + "\n")
    done = vdistill("label", "catalog", "--import", "bad.jsonl", cwd=tmp_path)
    assert done.code == 1
    assert reason in errors(done)[0]
    assert contents(tmp_path) == {}


def test_an_image_that_changed_is_left_out(labelled):
    vdistill("label", "--export", "all.jsonl", cwd=labelled)
    name = next(iter(contents(labelled).values())).items[0]
    other = next(path for path in (labelled / "catalog").glob("*.png") if path.name != name)
    (labelled / "catalog" / name).write_bytes(other.read_bytes())
    done = vdistill("label", "catalog", "--import", "all.jsonl", "--holdout", 0.4, "-w", "other", cwd=labelled)
    assert "rows whose images have changed since" in done.err
    assert all(name not in judgment.items for judgment in contents(labelled, "other").values())


def test_an_export_needs_a_known_format_and_judgments(tmp_path, labelled, workspace):
    assert "cannot export to all.csv" in errors(vdistill("label", "--export", "all.csv", cwd=labelled))[0]
    with sqlite3.connect(labelled / ".vdistill" / "vdistill.db") as connection:
        connection.execute("DELETE FROM judgments")
    connection.close()
    assert "no judgments" in errors(vdistill("label", "--export", "all.jsonl", cwd=labelled))[0]
    assert not (labelled / "all.jsonl").exists()


# What ids mean


def graded(home, items, key, file="grades.txt"):
    (home / file).write_text("".join(f"{key} 0 {item} {int(place % 3 == 0)}\n" for place, item in enumerate(items)))


def judged_queries(home):
    return {judgment.query for judgment in contents(home).values() if judgment.teacher.startswith("import")}


def test_zero_is_an_id(tmp_path, catalog):
    (tmp_path / "q.jsonl").write_text('{"id": 2, "query": "gift for a baker", "split": "train"}\n'
                                      '{"id": 0, "query": "gift for a diver", "split": "train"}\n')  # fmt: skip
    for key, query in ((2, "gift for a baker"), (0, "gift for a diver")):
        graded(tmp_path, items_of(catalog), key)
        done = vdistill("label", "catalog", "--import", "grades.txt", "--queries", "q.jsonl", "-w", f"w{key}",
                        cwd=tmp_path)  # fmt: skip
        assert done.code == 0, done.err
        assert {judgment.query for judgment in contents(tmp_path, f"w{key}").values()} == {query}


def test_paraphrases_of_a_given_file_are_kept_with_what_is_imported(tmp_path, catalog):
    (tmp_path / "q.jsonl").write_text('{"id": 2, "query": "for a baker", "split": "train", "paraphrases": ["oven"]}\n'
                                      '{"id": 3, "query": "not judged", "paraphrases": ["unasked"]}\n')  # fmt: skip
    graded(tmp_path, items_of(catalog), 2)
    done = vdistill("label", "catalog", "--import", "grades.txt", "--queries", "q.jsonl", cwd=tmp_path)
    assert done.code == 0, done.err
    with Database.open(tmp_path / ".vdistill" / "vdistill.db") as database:
        assert database.paraphrases.by_query() == {"for a baker": ["oven"]}


def test_ids_of_a_table_are_those_that_were_written(tmp_path):
    pq.write_table(pa.table({"qid": pa.array([7, None, 0], pa.float64()), "query": ["a", "b", "c"]}),
                   tmp_path / "q.parquet")  # fmt: skip
    (tmp_path / "q.csv").write_text("query_id,query\n007,a\n,b\n0,c\n")
    assert [query.id for query in load(tmp_path / "q.parquet", 0.2)] == ["7", "2", "0"]
    assert [query.id for query in load(tmp_path / "q.csv", 0.2)] == ["007", "3", "0"]


def test_the_given_file_settles_what_an_id_means(tmp_path, catalog):
    write_scores(tmp_path, items_of(catalog))
    for name, query in (("a", "something red"), ("b", "something blue")):
        (tmp_path / f"{name}.txt").write_text(f"{query}\n")
        vdistill("label", "catalog", "--teacher", "table:scores.csv", "--queries", f"{name}.txt", "--budget", 12,
                 cwd=tmp_path)  # fmt: skip
    graded(tmp_path, items_of(catalog), 1)
    error, _ = errors(vdistill("label", "catalog", "--import", "grades.txt", cwd=tmp_path))
    assert "1 queries whose id names several (give the file with their texts as --queries)" in error
    assert vdistill("label", "catalog", "--import", "grades.txt", "--queries", "a.txt", cwd=tmp_path).code == 0
    assert judged_queries(tmp_path) == {"something red"}


def test_an_id_twice_in_one_file_is_refused_by_name(tmp_path, catalog):
    (tmp_path / "q.jsonl").write_text('{"id": "x", "query": "one"}\n{"id": "x", "query": "other"}\n')
    graded(tmp_path, items_of(catalog), "x")
    error, hint = errors(vdistill("label", "catalog", "--import", "grades.txt", "--queries", "q.jsonl", cwd=tmp_path))
    assert "1 ids of the queries file are not unique, e.g. 'x' names 'one' and 'other'" in error
    assert "an id of its own" in hint


def test_an_export_of_a_workspace_with_other_sides_comes_back_whole(labelled):
    """Its sides are those by which it was judged, whatever a hash would say in another workspace."""
    files = items_of(labelled / "catalog")
    for name in files:  # edited in place: no content has the side that its hash would give it
        with Image.open(labelled / "catalog" / name) as image:
            image.resize((64, 64)).save(labelled / "catalog" / name)
    again = vdistill("label", "catalog", "--teacher", "table:scores.csv", "--queries", "queries.txt",
                     "--images-per-call", 4, "--budget", 200, "--json", cwd=labelled).json  # fmt: skip
    vdistill("label", "--export", "all.jsonl", cwd=labelled)
    done = vdistill("label", "catalog", "--import", "all.jsonl", "--holdout", 0.4, "-w", "other", "--json",
                    cwd=labelled)  # fmt: skip
    assert done.json["judgments"] == again["judgments"] > 100
    before, after = contents(labelled), contents(labelled, "other")
    assert {key: judgment.split for key, judgment in after.items()} == {key: before[key].split for key in after}
    assert {judgment.prompt for judgment in after.values()} == {judgment.prompt for judgment in before.values()}
