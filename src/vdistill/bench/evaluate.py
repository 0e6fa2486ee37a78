"""`bench`: backbone, student and teacher on the same held-out queries and items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vdistill.bench import baselines
from vdistill.bench.examples import Example, examples
from vdistill.bench.gates import Gate, Outcome, check_gates
from vdistill.bench.graded import MODELS, Embedded, Graded, Values, differences, largest_changes
from vdistill.bench.robustness import Change
from vdistill.bench.slices import Slice, slices
from vdistill.errors import VdistillError
from vdistill.evaluation import metrics
from vdistill.evaluation.admissible import Admitted, admissible
from vdistill.evaluation.grading import evaluate, grade, means, teacher_scores
from vdistill.evaluation.metrics import Interval
from vdistill.evaluation.qrels import from_qrels, read_qrels
from vdistill.evaluation.test_set import HeldOutSet, from_judgments
from vdistill.inputs.sides import Sides
from vdistill.inputs.words import words_of
from vdistill.records import Item

if TYPE_CHECKING:
    from vdistill.database import Database
    from vdistill.records import Judgment

DIFFERENCE = "student-backbone"


@dataclass(frozen=True)
class BenchReport(Graded):
    """What was measured, and what follows from it.

    ci95:    95 % intervals of the means, and under `student-backbone` of the paired difference.
    p_values: of the paired difference, by metric.
    gates:   the outcome of each `--fail-under`.
    metadata: of the held-out items, by id.
    judge:   who judged: its name and, for a teacher, the version of its prompt and how many judgments it gave.
    notes:   what was left out, one line each.
    """

    ci95: dict[str, dict[str, Interval]]
    gates: tuple[Outcome, ...]
    notes: tuple[str, ...]
    p_values: dict[str, float]
    metadata: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    judge: Mapping[str, str | int] = field(default_factory=dict)
    slices: tuple[Slice, ...] = ()
    examples: tuple[Example, ...] = ()
    changes: tuple[Change, ...] = ()
    catalog_root: Path = Path()

    @property
    def present(self) -> dict[str, dict[str, float]]:
        """The means of the models that are there."""
        return {model: found for model, found in self.models.items() if found}

    @property
    def metrics(self) -> list[str]:
        """What any of them was measured by, in the usual order."""
        return [name for name in metrics.METRICS if any(name in found for found in self.present.values())]

    def gain(self, metric: str) -> float | None:
        """Student minus backbone; None where one has no such figure."""
        student, backbone = (self.present.get(model, {}).get(metric) for model in ("student", "backbone"))
        return None if student is None or backbone is None else student - backbone

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """The gates that were not met."""
        return tuple(gate for gate in self.gates if not gate.passed)

    @property
    def verdict(self) -> str:
        """The outcome in one sentence."""
        return _verdict(self)

    def to_json(self) -> dict[str, Any]:
        """The Contract's document."""
        return {
            "models": {model: found and dict(found) for model, found in self.models.items()},
            "ci95": {
                model: {metric: list(found) for metric, found in intervals.items()}
                for model, intervals in self.ci95.items()
            },
            "judge": dict(self.judge),
            "queries": len(self.held_out.judged),
            "items": len(self.held_out.items),
            "gates": [gate.to_json() for gate in self.gates],
            "p_values": dict(self.p_values),
            "gained": [asdict(one) for one in largest_changes(self, 10)],
            "lost": [asdict(one) for one in largest_changes(self, -10)],
            "slices": [one.to_json() for one in self.slices],
            **({"robustness": [one.to_json() for one in self.changes]} if self.changes else {}),
        }


def bench(
    searchers: Mapping[str, Embedded],
    database: Database,
    qrels: Path | None = None,
    *,
    gates: Sequence[Gate] = (),
    seed: int = 0,
    columns: Sequence[str] = (),
    judge: str | None = None,
) -> BenchReport:
    """Measure the models on held-out queries and held-out items, and text search beside them.

    searchers: `backbone`, and `student` where there is one; others stand in the table by their names.
    qrels: a TREC file to judge by instead of the teacher.  seed: of the bootstrap.  columns: to slice the queries by.
    judge: the teacher to judge by, as `admissible` takes it; without it the one with most held-out judgments.
    Raises VdistillError where there is nothing to judge by, and for gates without a student.
    """
    items = _common_items(searchers)
    hashes = next(iter(searchers.values())).hashes([item.id for item in items])
    known = Sides.read(database)
    sides = known.of_items(items, hashes)
    admitted = admissible(database.judgments("heldout"), hashes, known, judge)
    judgments = admitted.judgments
    if qrels is None:
        held_out = from_judgments(judgments, [item for item in items if sides.split.get(item.id) == "heldout"])
    else:
        held_out = from_qrels(read_qrels(qrels), qrels.name, database.queries(), items, sides.split)
    held_out = replace(held_out, notes=(*held_out.notes, *admitted.notes, *sides.notes))
    values = {model: _measure(held_out, searcher) for model, searcher in searchers.items()}
    of_item = {item.id: item.metadata for item in items}
    metadata = {key: of_item[key] for key in held_out.items}
    found = {
        baselines.WORDS: baselines.words(held_out, [words_of(row) for row in metadata.values()]),
        "teacher": _teacher(held_out, judgments),
    }
    values |= {name: row for name, row in found.items() if row is not None}
    report = replace(summarise(held_out, values, gates, seed), metadata=metadata, judge=_judge(held_out, admitted))
    personas = {query.text: query.persona for query in database.queries() if query.persona}
    shown = {model: searcher for model, searcher in searchers.items() if model in MODELS}
    return replace(
        report,
        slices=slices(report, columns, metadata, personas),
        examples=examples(held_out, shown, largest_changes(report, 2), largest_changes(report, -2)),
        catalog_root=searchers[MODELS[0]].catalog_root,
    )


def summarise(
    held_out: HeldOutSet, values: dict[str, Values], gates: Sequence[Gate] = (), seed: int = 0
) -> BenchReport:
    """From values per query to means, intervals, gap closed and gates."""
    others = [model for model in values if model not in MODELS]
    models: dict[str, dict[str, float] | None] = {
        model: means(values[model]) if model in values else None for model in (MODELS[0], *others, *MODELS[1:])
    }
    ci95 = {model: _intervals(found, seed) for model, found in values.items()}
    _add_gap(models, ci95, values, seed)
    if {"backbone", "student"} <= values.keys():
        ci95[DIFFERENCE] = _intervals(differences(values), seed)
        p_values = {metric: metrics.p_value(found, seed) for metric, found in differences(values).items()}
    else:
        p_values = {}
    return BenchReport(
        values=values,
        models=models,
        ci95=ci95,
        gates=check_gates(gates, models),
        held_out=held_out,
        seed=seed,
        notes=(*held_out.notes, *_absent(models)),
        p_values={metric: p for metric, p in p_values.items() if p is not None},
    )


def _common_items(searchers: Mapping[str, Embedded]) -> list[Item]:
    """The items that every model has a vector for, with their metadata."""
    first, *others = searchers.values()
    ids = set(first.ids).intersection(*(other.ids for other in others))
    keys = sorted(ids)
    rows = zip(keys, first.metadata(keys), strict=True)
    return [Item(key, first.catalog_root / key, metadata) for key, metadata in rows]


def _measure(held_out: HeldOutSet, searcher: Embedded) -> Values:
    vectors, queries, titles = searcher.vectors(held_out.items), searcher.encode(held_out.queries), held_out.titles
    return evaluate(held_out, vectors, queries, searcher.encode(titles) if titles else queries[:0])


def _judge(held_out: HeldOutSet, admitted: Admitted) -> dict[str, str | int]:
    if held_out.source == "qrels":
        return {"name": held_out.judged_by}
    return {"name": held_out.judged_by, "prompt": held_out.prompt, "judgments": len(admitted.judgments)}


def _teacher(held_out: HeldOutSet, judgments: Sequence[Judgment]) -> Values | None:
    """The teacher's own row, where it was asked any of these queries."""
    scores = teacher_scores(held_out, judgments)
    return grade(held_out, scores) if any(found is not None for found in scores) else None


def _add_gap(
    models: Mapping[str, dict[str, float] | None],
    ci95: Mapping[str, dict[str, Interval]],
    values: Mapping[str, Values],
    seed: int,
) -> None:
    """`gap_closed` of the student, where all three rows are there and the teacher is better than the backbone."""
    student = models["student"]
    if student is None or "backbone" not in values or "teacher" not in values:
        return
    ours, theirs, ceiling = (values[model]["ndcg@10"] for model in ("student", "backbone", "teacher"))
    gap = metrics.gap_closed(ours, theirs, ceiling)
    if not np.isfinite(gap):
        return
    student["gap_closed"] = gap
    between = metrics.gap_interval(ours, theirs, ceiling, seed)
    if between is not None:
        ci95["student"]["gap_closed"] = between


def _intervals(values: Values, seed: int) -> dict[str, Interval]:
    found = {metric: metrics.interval(values[metric], seed) for metric in metrics.METRICS if metric in values}
    return {metric: interval for metric, interval in found.items() if interval is not None}


def _absent(models: Mapping[str, dict[str, float] | None]) -> tuple[str, ...]:
    reasons = {
        "student": "no student yet: `vdistill distill` makes one",
        "teacher": "no row for the teacher: it was never asked these queries",
    }
    return tuple(reason for model, reason in reasons.items() if models[model] is None)


def _verdict(report: BenchReport) -> str:
    """What the paired interval of nDCG@10 allows to say."""
    backbone, student = report.models["backbone"], report.models["student"]
    if backbone is None:
        raise VdistillError("nothing was measured for the backbone", hint="run `vdistill index --model backbone`")
    if student is None:
        return f"The backbone alone reaches an nDCG@10 of {backbone['ndcg@10']:.3f}; there is no student to compare."
    gain = student["ndcg@10"] - backbone["ndcg@10"]
    figures = f"nDCG@10 {student['ndcg@10']:.3f} against {backbone['ndcg@10']:.3f}"
    between = report.ci95[DIFFERENCE].get("ndcg@10")
    if between is None:
        return f"One query is too few to tell student and backbone apart ({figures})."
    spread = f"{gain:+.3f}, 95 % interval {between.low:+.3f} to {between.high:+.3f}"
    if between.low <= 0 <= between.high:
        return f"No difference between student and backbone can be shown: {figures} ({spread})."
    better = "better" if gain > 0 else "worse"
    return f"The student ranks {better} than the backbone it came from: {figures} ({spread})."
