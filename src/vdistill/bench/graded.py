"""Models graded on the same held-out queries: what every part of `bench` reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from vdistill.arrays import Floats
from vdistill.evaluation.by_product import NO_PRODUCTS
from vdistill.evaluation.item_vectors import score_blocks, vectors_of
from vdistill.evaluation.test_set import HeldOutSet
from vdistill.records import Item, Query

MODELS = ("backbone", "student", "teacher")
RERANKED = " + rerank@"  # in the name of a model whose head a teacher re-orders

Values = dict[str, Floats]  # of one model, by metric: (q,), or (t,) for the literal ones


class Listed(Protocol):
    """The images of a catalog."""

    @property
    def ids(self) -> Sequence[str]:
        """The ids of all items."""

    @property
    def catalog_root(self) -> str:
        """The catalog: a folder that the ids are relative to, or the address of what was indexed."""

    def metadata(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """The metadata of the items."""

    def files(self, ids: Sequence[str]) -> list[str]:
        """The locators of the images."""

    def hashes(self, ids: Sequence[str]) -> dict[str, str]:
        """The content hashes of the images as they are known."""


class Embedded(Listed, Protocol):
    """A catalog's images as a model embeds them, with its text encoder: a `vdistill.query.search.Searcher`."""

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors (n, d)."""

    def vectors(self, ids: Sequence[str]) -> np.ndarray:
        """Unit vectors (n, d)."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the workspace knows. items: all that every model has embedded.  queries: of both sides.

    products: of the items, as `ByProduct.of` takes them.
    """

    items: Sequence[Item]
    queries: Sequence[Query]
    products: Mapping[str, str] = field(default_factory=lambda: NO_PRODUCTS)


class Ranker(Protocol):
    """What ranks the held-out items in another way than by vectors of their images."""

    @property
    def notes(self) -> Sequence[str]:
        """What the reader of its figures should know, one line each, after `scores`."""

    def scores(self, held_out: HeldOutSet, known: Known) -> Iterable[Floats | None]:
        """(n,) for each query: higher is better, −∞ was not retrieved; None for a query that it does not rank.

        Called again it gives the same.
        """


@dataclass(frozen=True)
class Scored:
    """A `Ranker` by the vectors of a model."""

    model: Embedded
    notes: Sequence[str] = ()

    def scores(self, held_out: HeldOutSet, known: Known) -> Iterator[Floats]:
        """The cosine similarities (n,) of each query."""
        queries = self.model.encode(held_out.queries)
        with vectors_of(held_out.items, self.model.vectors) as items:
            for scores in score_blocks(queries, items):
                yield from (one.copy() for one in scores)  # the block is overwritten


@dataclass(frozen=True)
class Graded:
    """What was measured.

    values:   for each model its values by metric, one per query.
    models:   their means; None for a model that is not there.
    held_out: the test set.
    seed:     of the bootstrap.
    """

    values: dict[str, Values]
    models: dict[str, dict[str, float] | None]
    held_out: HeldOutSet
    seed: int


@dataclass(frozen=True, slots=True)
class QueryChange:
    """A query, and its nDCG@10 with the backbone and with the student."""

    query: str
    backbone: float
    student: float


def largest_changes(graded: Graded, count: int) -> list[QueryChange]:
    """The `count` queries that gained most, or, with a negative count, that lost most; none without a student."""
    if not {"backbone", "student"} <= graded.values.keys():
        return []
    before, after = (graded.values[model]["ndcg@10"] for model in ("backbone", "student"))
    change = np.nan_to_num(after - before) * np.sign(count)
    rows = np.argsort(-change, kind="stable")[: abs(count)]
    queries = graded.held_out.queries
    return [QueryChange(queries[row], float(before[row]), float(after[row])) for row in rows if change[row] > 0]


def differences(values: Mapping[str, Values]) -> Values:
    """Student minus backbone, query by query, for each metric that both have; nothing where one is missing."""
    student, backbone = values.get("student", {}), values.get("backbone", {})
    return {metric: student[metric] - backbone[metric] for metric in student if metric in backbone}
