"""Models graded on a test set: the value of each metric for each query, and their means."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, repeat

import numpy as np

from vdistill.arrays import Floats, Ints
from vdistill.errors import VdistillError
from vdistill.evaluation import among_all, metrics
from vdistill.evaluation.item_vectors import Vectors, score_blocks, scores_of
from vdistill.evaluation.metrics import DEPTH, METRICS
from vdistill.evaluation.test_set import HeldOutSet, JudgedQuery, utilities_of
from vdistill.records import Judgment

_AT_ONCE = 8  # rankings held in memory while they are graded
_COUNTED = 1000  # candidates; of fewer all are sorted
_THREADED = 1 << 15  # candidates from which on numpy, which threads share well, takes most of the time


def evaluate(held_out: HeldOutSet, items: Vectors, queries: Floats, titles: Floats) -> dict[str, Floats]:
    """Grade a dual encoder.

    items: (n, d), queries: (q, d), titles: (t, d) unit vectors, in the order of `held_out`. A product scores what the
    best of its images scores.
    Returns for each metric its values for the queries (q,), or for the titles (t,) where it is a `literal_…` one; NaN
    where a metric is undefined for a query. Raises VdistillError where texts and items differ in dimension.
    """
    if items.shape[1] != queries.shape[1]:
        raise VdistillError(
            f"the items have {items.shape[1]} dimensions, the queries {queries.shape[1]}",
            hint="index and text encoder are of different models: run `vdistill index`",
        )
    values = _graded(held_out, score_blocks(queries, items))
    if held_out.titles:
        depths = (1, DEPTH)
        for depth, found in zip(depths, _literal_recalls(held_out, items, titles, depths), strict=True):
            values[f"literal_recall@{depth}"] = found
    return values


def ndcg(held_out: HeldOutSet, items: Floats, queries: Floats) -> Floats:
    """nDCG@10 of a dual encoder for each query (q,): as in `evaluate`, without the cost of the rest."""
    found = []
    for judged, scores in zip(held_out.judged, scores_of(queries, items), strict=True):
        candidates, gains, _ = held_out.dense(judged)
        found.append(metrics.ndcg(held_out.products.best(scores)[candidates], gains))
    return np.array(found)


def literal_recall(held_out: HeldOutSet, items: Floats, titles: Floats, depth: int) -> Floats:
    """Whether each title (t,) finds a product that bears it among the first `depth`; shapes as in `evaluate`."""
    (found,) = _literal_recalls(held_out, items, titles, (depth,))
    return found


def _literal_recalls(held_out: HeldOutSet, items: Vectors, titles: Floats, depths: Sequence[int]) -> list[Floats]:
    """(t,) as `literal_recall` for each of the depths."""
    products, found = held_out.products, []
    for scores, images in zip(scores_of(titles, items), held_out.with_title, strict=True):
        rows, best = np.unique(products.number[images]), products.best(scores)
        found.append([metrics.literal_recall(best, rows, depth) for depth in depths])
    return list(np.array(found).reshape(-1, len(depths)).T)


def means(values: Mapping[str, Floats]) -> dict[str, float]:
    """The mean of each metric that has one, in the order of `METRICS`."""
    found = {name: metrics.mean(values[name]) for name in METRICS if name in values}
    return {name: value for name, value in found.items() if np.isfinite(value)}


def grade(held_out: HeldOutSet, scores: Iterable[Floats | None]) -> dict[str, Floats]:
    """Grade anything that scores images: (n,) for each query, or None.

    Returns for each metric its values for the queries (q,), NaN where there are no scores.
    """
    rankings = iter(scores)
    return _graded(held_out, iter(lambda: list(islice(rankings, _AT_ONCE)), []))


def _graded(held_out: HeldOutSet, blocks: Iterable[Sequence[Floats | None] | Floats]) -> dict[str, Floats]:
    """As `grade`, of scores that come in blocks of queries; each is graded before the next one is made."""
    values = {name: np.full(len(held_out.judged), np.nan) for name in metrics.OF_RANKINGS}
    row = 0
    with ThreadPoolExecutor(os.cpu_count()) as executor:
        each = executor.map if len(held_out.items) >= _THREADED else map
        for block in blocks:
            judged = held_out.judged[row : row + len(block)]
            for found in each(_grades, repeat(held_out, len(block)), judged, block):
                for name, value in found.items():
                    values[name][row] = value
                row += 1
    if row != len(held_out.judged):
        raise ValueError(f"{row} rankings of {len(held_out.judged)} queries")
    return values


def teacher_scores(held_out: HeldOutSet, judgments: Sequence[Judgment]) -> list[Floats | None]:
    """The teacher as a ranker: its fitted utilities (n,), with the images that it never saw below all others.

    None for a query that it was never asked. Judged by its own preferences it is perfect; by qrels it is the ceiling.
    """
    if held_out.source == "teacher":
        return [_spread(one.images, one.utilities, len(held_out.items)) for one in held_out.judged]
    found = utilities_of([one for one in judgments if one.split == "heldout"], held_out.items)
    return [_spread(*found[query], len(held_out.items)) if query in found else None for query in held_out.queries]


def _grades(held_out: HeldOutSet, judged: JudgedQuery, found: Floats | None) -> dict[str, float]:
    """The value of each of `OF_RANKINGS` for one query; none where it has no scores."""
    if found is None:
        return {}
    scores = held_out.products.best(found)
    relevant = np.count_nonzero(judged.gains > 0)
    if held_out.all_items and len(scores) > _COUNTED and 0 < relevant <= among_all.FEW:
        return among_all.grades(scores, judged.rows, judged.gains)
    candidates, gains, utilities = held_out.dense(judged)
    scores = scores[candidates]
    alike = metrics.agreement(scores, utilities)
    return {
        "ndcg@10": metrics.ndcg(scores, gains),
        "recall@10": metrics.recall(scores, gains),
        "mrr": metrics.reciprocal_rank(scores, gains),
        "mpr": metrics.percentile_rank(scores, utilities),
        **{f"winner@{k}": metrics.winner_at(scores, utilities, k) for k in metrics.WINNER_DEPTHS},
        "kendall_tau": alike.tau,
        "pairwise_accuracy": alike.pairwise,
    }


def _spread(rows: Ints, utilities: Floats, count: int) -> Floats:
    scores = np.full(count, utilities.min() - 1)
    scores[rows] = utilities
    return scores
