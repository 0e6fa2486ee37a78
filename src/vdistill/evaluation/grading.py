"""Models graded on a test set: the value of each metric for each query, and their means."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from vdistill.arrays import Floats, Ints
from vdistill.errors import VdistillError
from vdistill.evaluation import metrics
from vdistill.evaluation.metrics import DEPTH, METRICS
from vdistill.evaluation.test_set import HeldOutSet, utilities_of
from vdistill.records import Judgment

_BLOCK = 32  # queries scored at once: a matrix of 32 × 100,000 float32 is 13 MB


def evaluate(held_out: HeldOutSet, items: Floats, queries: Floats, titles: Floats) -> dict[str, Floats]:
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
    values = grade(held_out, _scores(queries, items))
    if held_out.titles:
        for depth in (1, DEPTH):
            values[f"literal_recall@{depth}"] = literal_recall(held_out, items, titles, depth)
    return values


def ndcg(held_out: HeldOutSet, items: Floats, queries: Floats) -> Floats:
    """nDCG@10 of a dual encoder for each query (q,): as in `evaluate`, without the cost of the rest."""
    found = zip(held_out.judged, _scores(queries, items), strict=True)
    graded = [(held_out.products.best(scores), *held_out.dense(judged)) for judged, scores in found]
    return np.array([metrics.ndcg(scores[candidates], gains) for scores, candidates, gains, _ in graded])


def literal_recall(held_out: HeldOutSet, items: Floats, titles: Floats, depth: int) -> Floats:
    """Whether each title (t,) finds a product that bears it among the first `depth`; shapes as in `evaluate`."""
    products, found = held_out.products, []
    for scores, images in zip(_scores(titles, items), held_out.with_title, strict=True):
        rows = np.unique(products.number[images])
        found.append(metrics.literal_recall(products.best(scores), rows, depth))
    return np.array(found)


def means(values: Mapping[str, Floats]) -> dict[str, float]:
    """The mean of each metric that has one, in the order of `METRICS`."""
    found = {name: metrics.mean(values[name]) for name in METRICS if name in values}
    return {name: value for name, value in found.items() if np.isfinite(value)}


def grade(held_out: HeldOutSet, scores: Iterable[Floats | None]) -> dict[str, Floats]:
    """Grade anything that scores images: (n,) for each query, or None.

    Returns for each metric its values for the queries (q,), NaN where there are no scores.
    """
    values = {name: np.full(len(held_out.judged), np.nan) for name in metrics.OF_RANKINGS}
    for row, (judged, found) in enumerate(zip(held_out.judged, scores, strict=True)):
        if found is not None:
            candidates, gains, utilities = held_out.dense(judged)
            for name, value in _grades(held_out.products.best(found)[candidates], gains, utilities).items():
                values[name][row] = value
    return values


def teacher_scores(held_out: HeldOutSet, judgments: Sequence[Judgment]) -> list[Floats | None]:
    """The teacher as a ranker: its fitted utilities (n,), with the images that it never saw below all others.

    None for a query that it was never asked. Judged by its own preferences it is perfect; by qrels it is the ceiling.
    """
    if held_out.source == "teacher":
        return [_spread(one.images, one.utilities, len(held_out.items)) for one in held_out.judged]
    found = utilities_of([one for one in judgments if one.split == "heldout"], held_out.items)
    return [_spread(*found[query], len(held_out.items)) if query in found else None for query in held_out.queries]


def _grades(scores: Floats, gains: Floats, utilities: Floats) -> dict[str, float]:
    """The value of each of `OF_RANKINGS` for one query."""
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


def _scores(texts: Floats, items: Floats) -> Iterator[Floats]:
    """The cosine similarities (n,) of each text."""
    for start in range(0, len(texts), _BLOCK):
        yield from texts[start : start + _BLOCK] @ items.T


def _spread(rows: Ints, utilities: Floats, count: int) -> Floats:
    scores = np.full(count, utilities.min() - 1)
    scores[rows] = utilities
    return scores
