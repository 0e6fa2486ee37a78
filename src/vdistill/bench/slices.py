"""Where a student is good and where it fails: queries in groups, by length, by persona, or by what they seek."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vdistill.bench.graded import Graded
from vdistill.errors import VdistillError
from vdistill.evaluation import metrics
from vdistill.evaluation.metrics import Interval

METRIC = "ndcg@10"
MOST = 12  # groups of a slice; the smallest go together
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
    """All queries, in groups."""

    by: str
    groups: tuple[Group, ...]

    def to_json(self) -> dict[str, Any]:
        """An entry of `slices` in `bench --json`."""
        return {"by": self.by, "groups": [asdict(group) for group in self.groups]}


def slices(
    report: Graded, columns: Sequence[str], metadata: Mapping[str, Mapping[str, Any]], personas: Mapping[str, str]
) -> tuple[Slice, ...]:
    """The queries by length, by persona where they have one, and by each metadata column of what they seek.

    metadata: of the items, by id.  personas: of the queries, by text.
    What a query seeks is its winner. Raises VdistillError for a column that no item has.
    """
    queries = report.held_out.queries
    order = [label for _, label in LENGTHS]
    found = [_slice(report, "query length", [_length(query) for query in queries], order)]
    if personas and any(personas.get(query) for query in queries):
        found.append(_slice(report, "persona", [personas.get(query) or NONE for query in queries]))
    for column in columns:
        if not any(column in row for row in metadata.values()):
            known = sorted({name for row in metadata.values() for name in row})
            raise VdistillError(f"--slice: no column {column!r} in the metadata", hint=f"columns: {', '.join(known)}")
        winners = [report.held_out.items[_winner(verdict)] for verdict in report.held_out.judged]
        found.append(_slice(report, column, [str(metadata.get(key, {}).get(column, NONE)) for key in winners]))
    return tuple(found)


def _slice(report: Graded, by: str, names: Sequence[str], order: Sequence[str] = ()) -> Slice:
    """Queries grouped by `names` (q,), in the `order` given, else the largest group first."""
    sizes = {name: names.count(name) for name in dict.fromkeys(names)}
    kept = sorted(sizes, key=lambda name: (-sizes[name], name))
    if len(kept) > MOST:
        kept = kept[: MOST - 1]
    named = np.array([name if name in kept else OTHERS for name in names])
    groups = [*(name for name in order or kept if name in kept), *([OTHERS] if len(kept) < len(sizes) else [])]
    return Slice(by, tuple(_group(report, name, named == name) for name in groups))


def _group(report: Graded, name: str, inside: np.ndarray) -> Group:
    values = {
        model: report.values[model][METRIC][inside] for model in ("backbone", "student") if model in report.values
    }
    found = {model: metrics.mean(part) for model, part in values.items()}
    shown = {model: value if np.isfinite(value) else None for model, value in found.items()}
    gain, between = None, None
    if len(values) == 2:
        differences = values["student"] - values["backbone"]
        mean = metrics.mean(differences)
        gain, between = (mean if np.isfinite(mean) else None), metrics.interval(differences, report.seed)
    return Group(name, int(inside.sum()), shown.get("backbone"), shown.get("student"), gain, between)


def _length(query: str) -> str:
    words = len(query.split())
    return next(label for most, label in LENGTHS if words <= most)


def _winner(verdict: Any) -> int:
    return int(verdict.rows[np.argmax(verdict.utilities)])
