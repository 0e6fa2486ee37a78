"""Search logs as queries: counted, folded, the most frequent first; ordinary files of queries stay what they are."""

import json
import subprocess
import sys

import numpy as np
import pytest

from command_line import errors, vdistill
from vdistill.errors import VdistillError
from vdistill.inputs.queries import asked, load
from vdistill.inputs.sides import Sides

ROWS = [
    "red mug,5",
    "gift for a mother,7",
    "Red  Mug,4",
    "mugs red,2",
    "gifts for mothers,1",
    "sofa,3",
    "not red,1",
    ",9",
]
LOG = "\n".join(["query,count", *ROWS])


def texts(path):
    return [query.text for query in load(path, 0.2)]


def test_a_table_with_counts_is_folded_and_sorted(tmp_path):
    (tmp_path / "log.csv").write_text(LOG)
    found = asked(str(tmp_path / "log.csv"), Sides(0.2))
    assert [query.text for query in found.queries] == ["red mug", "gift for a mother", "sofa", "not red"]
    assert [query.times for query in found.log.queries] == [11, 8, 3, 1]
    assert found.log.notes == (
        "a search log: 23 searches, 6 different queries",
        "2 of the 6 most frequent are folded into others of the same words",
    )


def test_a_text_file_of_repeated_lines_is_a_log(tmp_path):
    (tmp_path / "log.txt").write_text("sofa\nred mug\nRED MUG\nred mug\na lamp\nmugs, red\n")
    assert texts(tmp_path / "log.txt") == ["red mug", "sofa", "a lamp"]


def test_a_list_of_queries_stays_as_it_is(tmp_path):
    lines = [f"wish {n}" for n in range(20)] + ["gift for a mother", "gifts for mothers", "wish 3"]
    (tmp_path / "q.txt").write_text("\n".join(lines))
    assert texts(tmp_path / "q.txt") == lines[:-1]
    (tmp_path / "q.jsonl").write_text("".join(json.dumps({"query": line}) + "\n" for line in lines))
    assert texts(tmp_path / "q.jsonl") == lines[:-1]


@pytest.mark.parametrize("count", ["many", "-1", "nan"])
def test_a_count_that_is_none_is_named_by_its_line(tmp_path, count):
    (tmp_path / "log.csv").write_text(f"query,count\nred mug,5\nsofa,{count}\n")
    with pytest.raises(VdistillError, match=f"line 3: count '{count}' is not a positive number"):
        load(tmp_path / "log.csv", 0.2)


def test_as_many_are_asked_as_the_budget_serves(tmp_path, catalog):
    rows = "".join(f"wish number {n} in words,{100 - n}\n" for n in range(50))
    (tmp_path / "log.csv").write_text(f"query,count\n{rows}")
    command = ["label", "catalog", "--teacher", "metadata", "--queries", "log.csv", "--images-per-call", 4, "--json"]
    done = vdistill(*command, "--budget", 100, cwd=tmp_path)
    assert (done.code, done.json["queries"], done.json["calls"]) == (0, 10, 100), done.err
    assert "of 50 queries the 10 most frequent are asked" in done.err
    assert "25% of the searches" in done.err
    assert "a search log: 3,775 searches, 50 different queries" in done.err
    (tmp_path / "log.csv").write_text("query,count\n,5\n")
    assert "no queries in" in errors(vdistill(*command, cwd=tmp_path))[0]


MEASURE = """
import resource, sys
from vdistill.inputs.query_log import read
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
from pathlib import Path
log = read(Path(sys.argv[1]))
print(len(log.queries), int(log.searches), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
def test_a_long_log_takes_little_memory(tmp_path):
    rng = np.random.default_rng(0)
    wished = rng.zipf(1.2, 600_000) % 400_000
    (tmp_path / "log.txt").write_text("\n".join(f"wish number {n} of somebody with a long search" for n in wished))
    command = [sys.executable, "-c", MEASURE, str(tmp_path / "log.txt")]
    queries, searches, megabytes = map(int, subprocess.run(command, capture_output=True, check=True).stdout.split())
    assert (queries, searches) == (20_000, 600_000)
    assert megabytes < 150


def test_a_side_is_taken_from_whichever_row_names_it(tmp_path):
    rows = "blue hat,5,\nBlue hat,3,heldout\nred hat,1,\nred hat,2,test\n"
    (tmp_path / "log.csv").write_text(f"query,count,split\n{rows}")
    assert {query.text: query.split for query in load(tmp_path / "log.csv", 0.0)} == {
        "blue hat": "heldout", "red hat": "heldout"}  # fmt: skip


def test_what_names_its_queries_is_no_log(tmp_path):
    (tmp_path / "q.csv").write_text("qid,query,count\nq7,blue hat,5\nq9,hat blue,3\n")
    assert [query.id for query in load(tmp_path / "q.csv", 0.0)] == ["q7", "q9"]
