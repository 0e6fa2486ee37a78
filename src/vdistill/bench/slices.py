"""Where a student is good and where it fails: queries in groups, by length, by persona, or by what they seek."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from vdistill.arrays import Floats
from vdistill.bench.graded import Graded, differences
from vdistill.errors import VdistillError
from vdistill.evaluation import metrics
from vdistill.evaluation.metrics import Interval

METRIC = "ndcg@10"
MOST = 12  # groups of a slice; the smallest are merged
OTHERS, NONE = "(others)", "(none)"
LENGTHS = ((4, "up to 4 words"), (9, "5 to 9 words"), (10**9, "10 words and more"))


@dataclass(frozen=True, slots=True)
class Group:
    """Some of the queries, and how the models do on them (nDCG@10)."""

    name: str
    queries: int
    backbone: float | None
    student: float | None
    gain: float | None
    ci95: Interval | None


@dataclass(frozen=True, slots=True)
class Slice:
    """All queries, in groups: an entry of `slices` in `bench --json`."""

    by: str
    groups: tuple[Group, ...]


def slices(
    report: Graded, columns: Sequence[str], metadata: Mapping[str, Mapping[str, Any]], personas: Mapping[str, str]
) -> tuple[Slice, ...]:
    """The queries by length, by persona where they have one, and by each metadata column of their winners.

    metadata: of the items, by id.  personas: of the queries, by text. Raises VdistillError for a column that no item
    has.
    """
    queries = report.held_out.queries
    order = [label for _, label in LENGTHS]
    found = [_slice(report, "query length", [_length(query) for query in queries], order)]
    if any(personas.get(query) for query in queries):
        found.append(_slice(report, "persona", [personas.get(query) or NONE for query in queries]))
    winners = [report.held_out.items[one.images[np.argmax(one.utilities)]] for one in report.held_out.judged]
    for column in columns:
        if not any(column in row for row in metadata.values()):
            known = sorted({name for row in metadata.values() for name in row})
            raise VdistillError(f"--slice: no column {column!r} in the metadata", hint=f"columns: {', '.join(known)}")
        found.append(_slice(report, column, [str(metadata.get(key, {}).get(column, NONE)) for key in winners]))
    return tuple(found)


def _slice(report: Graded, by: str, names: Sequence[str], order: Sequence[str] = ()) -> Slice:
    """Queries grouped by `names` (q,), in the `order` given, else the largest group first."""
    sizes = Counter(names)
    kept = sorted(sizes, key=lambda name: (-sizes[name], name))
    if len(kept) > MOST:
        kept = kept[: MOST - 1]
    named = np.array([name if name in kept else OTHERS for name in names])
    groups = [*(name for name in order or kept if name in kept), *([OTHERS] if len(kept) < len(sizes) else [])]
    return Slice(by, tuple(_group(report, name, named == name) for name in groups))


def _group(report: Graded, name: str, inside: np.ndarray) -> Group:
    def mean(values: Mapping[str, Floats] | None) -> float | None:
        found = metrics.mean(values[METRIC][inside]) if values else np.nan
        return found if np.isfinite(found) else None

    gains = differences(report.values)
    between = metrics.interval(gains[METRIC][inside], report.seed) if gains else None
    backbone, student = (mean(report.values.get(model)) for model in ("backbone", "student"))
    return Group(name, int(inside.sum()), backbone, student, mean(gains), between)


def _length(query: str) -> str:
    words = len(query.split())
    return next(label for most, label in LENGTHS if words <= most)
