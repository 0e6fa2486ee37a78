"""How to ask about the first 24 results: which images are shown together, and what the student's scores are good for.

    python tests/benchmarks/rerank_heads.py [SHOP] [--sample N]

SHOP: as for `rerank_on_demand.py`. A simulation on training queries and held-out items: the teacher answers from the
table of shoppers, with noise of a given standard deviation in each log-probability, and a favour for each position.
Compared are heads whose first calls are dealt like cards (`HeadPlan`) or show consecutive eights; further calls are
`HeadPlan`'s in both cases.
"""

import argparse
import math
from pathlib import Path

import made_shop
import numpy as np
from rerank_on_demand import _held_out, _queries
from scipy.special import softmax
from side_by_side import bootstrap

from vdistill.evaluation.metrics import ndcg
from vdistill.evaluation.qrels import read_qrels
from vdistill.label.schedules import Group
from vdistill.label.second_stage import plan
from vdistill.label.second_stage.plan import Head, HeadPlan
from vdistill.label.teachers.table import TableTeacher
from vdistill.query.search import Searcher
from vdistill.records import Answer, Judgment, Question, ShownImage

DEPTH, IMAGES = 24, 8


def main():
    """Print a line for each way to ask."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shop", type=Path, nargs="?", default=made_shop.SHOP)
    parser.add_argument("--sample", type=int, default=150)
    parser.add_argument("--quick", action="store_true", help="three queries and one kind of answers")
    options = parser.parse_args()
    made_shop.require(options.shop.resolve(), ".vdistill/index", "shoppers.parquet", "qrels.txt")
    heads = _heads(options.shop.resolve(), 3 if options.quick else options.sample)
    for noise, bias in ((0.0, 0.0), (1.5, 0.7))[: 1 if options.quick else 2]:
        for correlation in (0.0, 0.3, 0.6, 0.8)[: 1 if options.quick else 4]:
            plan.CORRELATION = correlation
            for dealt in (True, False):
                for calls in (3, 4, 5, 6):
                    found = np.array([_ndcg(head, calls, dealt, noise, bias) for head in heads])
                    low, high = bootstrap(found)
                    print(f"noise {noise:g}, positions {bias:g}, correlation {correlation:g}, "
                          f"{'dealt' if dealt else 'in eights'}, {calls} calls: {found.mean():.3f} "
                          f"[{low:.3f}, {high:.3f}]", flush=True)  # fmt: skip


def _heads(shop, sample):
    """(the head, scores of the teacher by id, gains of all items, the ids) of some queries."""
    held, grades = _held_out(shop), read_qrels(shop / "qrels.txt")
    queries = [one for one in _queries(shop, "train") if any(key in held for key in grades.get(one["id"], {}))]
    queries = [queries[place] for place in np.random.default_rng(0).permutation(len(queries))[:sample]]
    ids, teacher, heads = [*held], TableTeacher(shop / "shoppers.parquet"), []
    with Searcher.open(shop) as searcher:
        scores = searcher.encode([one["query"] for one in queries]) @ searcher.vectors(ids).T
    for query, row in zip(queries, scores, strict=True):
        first = np.argsort(-row, kind="stable")[:DEPTH]
        head = Head(query["query"], {ids[place]: float(row[place]) for place in first})
        (said,) = teacher.ask([Question(head.query, tuple(ShownImage(key, "", "") for key in head.items))])
        logs = dict(zip(head.items, np.log(said.probabilities), strict=True))
        heads.append((head, logs, np.array([grades[query["id"]].get(key, 0) for key in ids], float), ids))
    return heads


def _ndcg(given, calls, dealt, noise, bias):
    head, logs, gains, ids = given
    rng = np.random.default_rng(sum(map(ord, head.query)))
    favour = rng.normal(0, bias, IMAGES)
    asked, said = HeadPlan(IMAGES, calls), []
    groups = asked.next_round(head, said) if dealt else _eights(head, rng)
    while groups:
        for group in groups:
            values = (
                [logs[key] for key in group.items] + favour[: len(group.items)] + rng.normal(0, noise, len(group.items))
            )
            answer = Answer(tuple(softmax(values).tolist()))
            said.append(Judgment(head.query, group.items, ("",) * len(group.items), "best", answer, "table", "heldout"))
        groups = asked.next_round(head, said)
    scores = np.full(len(ids), -np.inf)
    scores[[ids.index(key) for key in head.order(said)]] = -np.arange(len(head.items))
    return ndcg(scores, gains)


def _eights(head, rng):
    count = math.ceil(len(head.items) / IMAGES)
    parts = [head.items[IMAGES * place : IMAGES * (place + 1)] for place in range(count)]
    return [Group(head.query, tuple(rng.permutation(part).tolist())) for part in parts]


if __name__ == "__main__":
    main()
