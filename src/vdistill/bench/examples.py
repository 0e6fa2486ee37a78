"""Some queries side by side, as backbone and student answer them: what figures cannot show."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from vdistill.arrays import Ints
from vdistill.bench.graded import Embedded, QueryChange
from vdistill.evaluation import metrics
from vdistill.evaluation.item_vectors import scores_of, vectors_of
from vdistill.evaluation.test_set import HeldOutSet, JudgedQuery

IMAGES = 5  # of a model
EACH = 2  # queries that gained most, that lost most, and others


@dataclass(frozen=True, slots=True)
class Example:
    """A query. kind: why it is shown.  top: the first items of each model.

    winners: what the judge liked best; all images of those products, those that it saw first.
    """

    query: str
    kind: str
    winners: tuple[str, ...]
    top: dict[str, tuple[str, ...]]


def examples(
    held_out: HeldOutSet,
    searchers: Mapping[str, Embedded],
    gained: Sequence[QueryChange],
    lost: Sequence[QueryChange],
) -> tuple[Example, ...]:
    """The queries that changed most and, by their hash, some of the others; all items are candidates."""
    chosen = {one.query: "gained most" for one in gained[:EACH]} | {one.query: "lost most" for one in lost[:EACH]}
    rest = sorted((q for q in held_out.queries if q not in chosen), key=lambda q: hashlib.sha256(q.encode()).digest())
    chosen |= {query: "any other" for query in rest[:EACH]}
    judged = {one.query: one for one in held_out.judged}
    tops = {model: _tops(held_out, searcher, list(chosen)) for model, searcher in searchers.items()}
    found = []
    for number, (query, kind) in enumerate(chosen.items()):
        winners = tuple(held_out.items[row] for row in _winners(held_out, judged[query]))
        found.append(Example(query, kind, winners, {model: top[number] for model, top in tops.items()}))
    return tuple(found)


def _winners(held_out: HeldOutSet, judged: JudgedQuery) -> Ints:
    """The images of the best products, those that made them the best first."""
    best = judged.utilities == judged.utilities.max()
    shown = judged.images[best]
    images = np.flatnonzero(np.isin(held_out.products.number, judged.rows[best]))
    return np.concatenate([shown, images[~np.isin(images, shown)]])


def _tops(held_out: HeldOutSet, searcher: Embedded, queries: Sequence[str]) -> list[tuple[str, ...]]:
    """The best products for each query, by the images that they are found by."""
    products, found = held_out.products, []
    with vectors_of(held_out.items, searcher.vectors) as vectors:
        for scores in scores_of(searcher.encode(queries), vectors):
            images = products.shown(scores)[metrics.top(products.best(scores), IMAGES)]
            found.append(tuple(held_out.items[row] for row in images))
    return found
