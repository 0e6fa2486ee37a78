"""`vdistill query --rerank 24` on a labelled shop: nDCG@10 by its qrels, and the calls of a search.

    python tests/benchmarks/rerank_on_demand.py [SHOP] [--queries train] [--rerank-calls N] [--images N] [--sample N]

SHOP: a folder of examples/gift_shop with a finished workspace (`make demo`); it is not changed. Searched for are
queries of one side, among held-out items alone, by one `vdistill query --batch` in a copy of the workspace without the
judgments of `label`, which would save calls. Settings are chosen with `--queries train`, which are no
held-out queries, though the items are; `heldout` is what is reported.
Printed are the student alone, `student + rerank@24`, the teacher's own order of the same 24, and their ideal order.
"""

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

import made_shop
import numpy as np
from side_by_side import bootstrap

from vdistill.database import Database
from vdistill.evaluation.metrics import ndcg
from vdistill.evaluation.qrels import read_qrels
from vdistill.inputs import catalog
from vdistill.inputs.hashes import Hashes
from vdistill.inputs.sides import Sides
from vdistill.label.teachers.table import TableTeacher
from vdistill.records import Question, ShownImage

DEPTH = 24


def main():
    """Measure one setting, and what it costs to search again."""
    options = _options()
    shop = options.shop.resolve()
    made_shop.require(shop, ".vdistill/index", "shoppers.parquet", "qrels.txt")
    held = _held_out(shop)
    grades = read_qrels(shop / "qrels.txt")
    queries = [one for one in _queries(shop, options.queries) if any(key in held for key in grades.get(one["id"], {}))]
    if options.sample:
        chosen = np.random.default_rng(0).permutation(len(queries))[: options.sample]
        queries = [queries[place] for place in chosen]
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder) / ".vdistill"
        shutil.copytree(shop / ".vdistill", workspace)
        with closing(sqlite3.connect(workspace / "vdistill.db")) as database, database:
            database.execute("DELETE FROM judgments")
        (workspace / "rerank.db").unlink(missing_ok=True)  # of searches before
        answers = _searched(shop, workspace, queries, held, options)
        again = _searched(shop, workspace, queries, held, options)
    rows = np.array([_scores(*one, held, grades, shop) for one in zip(queries, answers, strict=True)])
    print(f"{len(rows)} {options.queries} queries among {len(held)} held-out items, {DEPTH} of them re-ordered")
    for name, values in zip(("student", "student + rerank@24", "teacher's order of the 24", "ideal order of the 24"),
                            rows.T, strict=True):  # fmt: skip
        low, high = bootstrap(values)
        print(f"  {name:28} nDCG@10 {values.mean():.3f} [{low:.3f}, {high:.3f}]")
    gain = rows[:, 1] - rows[:, 0]
    print(f"  {'gain':28} nDCG@10 {gain.mean():+.3f} [{bootstrap(gain)[0]:+.3f}, {bootstrap(gain)[1]:+.3f}]")
    calls = np.array([one["calls"] for one in answers])
    print(f"  calls a search: {calls.mean():.2f} ({calls.min()} to {calls.max()}), {calls.sum()} in all; the same "
          f"searches again: {sum(one['calls'] for one in again)}")  # fmt: skip
    same = all([hit["id"] for hit in one["results"]] == [hit["id"] for hit in two["results"]]
               for one, two in zip(answers, again, strict=True))  # fmt: skip
    print(f"  in the same order: {same}")


def _options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shop", type=Path, nargs="?", default=made_shop.SHOP)
    parser.add_argument("--queries", choices=("heldout", "train"), default="heldout")
    parser.add_argument("--rerank-calls", type=int)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--sample", type=int, help="so many queries, drawn at random")
    parser.add_argument("--quick", action="store_true", help="three queries, to see that it runs")
    options = parser.parse_args()
    options.sample = 3 if options.quick else options.sample
    return options


def _queries(shop, split):
    lines = (shop / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    return [one for one in map(json.loads, lines) if one["split"] == split]


def _held_out(shop):
    """The held-out items of the workspace: metadata by id."""
    items = catalog.scan(str(shop / "catalog")).items
    with Hashes.open(None) as hashes:
        contents = hashes.of(items)
    with Database.open(shop / ".vdistill" / "vdistill.db", write=False) as database:
        sides = Sides.read(database).of_items(items, contents)
    return {item.id: item.metadata for item in items if sides.split.get(item.id) == "heldout"}


def _searched(shop, workspace, queries, held, options):
    """The documents of `vdistill query --batch`."""
    skus = ", ".join(f"'{metadata['sku']}'" for metadata in held.values())
    command = [sys.executable, "-m", "vdistill", "query", "--workspace", workspace, "--batch", "-", "-k", DEPTH,
               "--rerank", DEPTH, "--teacher", f"table:{shop / 'shoppers.parquet'}", "--where", f"sku IN ({skus})",
               "--json"]  # fmt: skip
    command += ["--rerank-calls", options.rerank_calls] if options.rerank_calls else []
    done = subprocess.run(
        [*map(str, command)], input="\n".join(one["query"] for one in queries), text=True, capture_output=True,
        check=False, cwd=shop, env={**os.environ, "VDISTILL_IMAGES_PER_CALL": str(options.images)},
    )  # fmt: skip
    if done.returncode:
        sys.exit(done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def _scores(query, answer, held, grades, shop):
    """nDCG@10 of the four orders, among all held-out items."""
    ids = [*held]
    place = {key: row for row, key in enumerate(ids)}
    gains = np.array([grades[query["id"]].get(key, 0) for key in ids], float)
    found = [one["id"] for one in answer["results"]]
    student = sorted(found, key=lambda key: {one["id"]: one["student_rank"] for one in answer["results"]}[key])
    ideal = sorted(student, key=lambda key: -gains[place[key]])
    said = _teacher(shop).ask([Question(query["query"], tuple(ShownImage(key, "", "") for key in student), "rank")])[0]
    taught = [student[position] for position in said.order]
    values = []
    for order in (student, found, taught, ideal):
        scores = np.full(len(ids), -np.inf)
        scores[[place[key] for key in order]] = -np.arange(len(order))
        values.append(ndcg(scores, gains))
    return values


_TEACHERS = []


def _teacher(shop):
    if not _TEACHERS:
        _TEACHERS.append(TableTeacher(shop / "shoppers.parquet"))
    return _TEACHERS[0]


if __name__ == "__main__":
    main()
