"""Models graded on the same held-out queries: what every part of `bench` reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from vdistill.arrays import Floats
from vdistill.evaluation.test_set import HeldOutSet

MODELS = ("backbone", "student", "teacher")

Values = dict[str, Floats]  # of one model, by metric: (q,), or (t,) for the literal ones


class Embedded(Protocol):
    """An index with its text encoder: a `vdistill.query.search.Searcher`."""

    @property
    def ids(self) -> Sequence[str]:
        """The ids of all items."""
        ...

    @property
    def catalog_root(self) -> Path:
        """The folder that the ids are relative to."""
        ...

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors (n, d)."""
        ...

    def vectors(self, ids: Sequence[str]) -> np.ndarray:
        """Unit vectors (n, d)."""
        ...

    def metadata(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """What the catalog says of the items."""
        ...

    def hashes(self, ids: Sequence[str]) -> dict[str, str]:
        """The content hashes of the pictures that were embedded."""
        ...


@dataclass(frozen=True)
class Graded:
    """What was measured.

    values:  per model its values by metric, one a query.
    models:  their means; None for a model that is not there.
    heldout: what all of it was measured on.
    seed:    of the bootstrap.
    """

    values: dict[str, Values]
    models: dict[str, dict[str, float] | None]
    held_out: HeldOutSet
    seed: int


@dataclass(frozen=True, slots=True)
class Moved:
    """A query, and its nDCG@10 by backbone and student."""

    query: str
    backbone: float
    student: float


def largest_changes(graded: Graded, count: int) -> list[Moved]:
    """The `count` queries that gained most, or, with a negative count, that lost most; none without a student."""
    if not {"backbone", "student"} <= graded.values.keys():
        return []
    before, after = (graded.values[model]["ndcg@10"] for model in ("backbone", "student"))
    change = np.nan_to_num(after - before) * np.sign(count)
    places = np.argsort(-change, kind="stable")[: abs(count)]
    queries = graded.held_out.queries
    return [Moved(queries[p], float(before[p]), float(after[p])) for p in places if change[p] > 0]


def differences(values: Mapping[str, Values]) -> Values:
    """Student minus backbone, query by query, for each metric that both have."""
    student, backbone = values["student"], values["backbone"]
    return {metric: student[metric] - backbone[metric] for metric in student if metric in backbone}
