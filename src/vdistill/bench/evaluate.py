"""`bench`: backbone, student and teacher on the same held-out queries and items."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from vdistill.bench.baselines import TEXT_SEARCH, TextSearch
from vdistill.bench.examples import examples
from vdistill.bench.gates import Gate, check_gates
from vdistill.bench.graded import (
    MODELS,
    RERANKED,
    Embedded,
    Known,
    Ranker,
    Scored,
    Values,
    differences,
    largest_changes,
)
from vdistill.bench.parts import IMAGE
from vdistill.bench.rerank import Rerank
from vdistill.bench.results import DIFFERENCE, BenchReport
from vdistill.bench.slices import slices
from vdistill.database import Database
from vdistill.errors import VdistillError
from vdistill.evaluation import metrics
from vdistill.evaluation.admissible import Admitted, admissible, juries_of
from vdistill.evaluation.by_product import NO_PRODUCTS
from vdistill.evaluation.grading import evaluate, grade, means, teacher_scores
from vdistill.evaluation.item_vectors import vectors_of
from vdistill.evaluation.metrics import Interval
from vdistill.evaluation.qrels import Candidates, from_qrels, read_qrels
from vdistill.evaluation.test_set import HeldOutSet, from_judgments
from vdistill.inputs.renamed import following
from vdistill.inputs.sides import Sides
from vdistill.records import Item, Judgment, Per, Query

_ABSENT = {
    "student": "no student yet: `vdistill distill` makes one",
    "teacher": "no row for the teacher: it was never asked these queries",
}


@dataclass(frozen=True)
class Wanted:
    """What else a report holds. seed: of the bootstrap.  columns: to slice by.  rankers: further rows, by name."""

    gates: Sequence[Gate] = ()
    seed: int = 0
    columns: Sequence[str] = ()
    rankers: Mapping[str, Ranker] = field(default_factory=dict)


def bench(
    searchers: Mapping[str, Embedded],
    database: Database,
    qrels: Path | None = None,
    *,
    judge: str | None = None,
    per: Per = "product",
    only_judged: bool = False,
    **wanted: Any,
) -> BenchReport:
    """Measure the models, and text search beside them, on held-out queries and held-out items.

    searchers: `backbone`, and `student` where there is one; others stand in the table by their names.
    qrels: a TREC file to judge by instead of the teacher.
    judge: the teacher to judge by, as `admissible` takes it; by default the one with most held-out judgments.
    per: whether products are ranked, each by its best image, or every image.
    only_judged: whether only items with a grade are candidates, with `qrels`.  wanted: the fields of `Wanted`.
    Raises VdistillError where there is nothing to judge by, and for gates without a student.
    """
    items = _common_items(searchers)
    known = Sides.read(database)
    hashes = searchers["backbone"].hashes([item.id for item in items])
    sides = known.of_items(items, hashes)
    admitted = admissible(following(database.judgments("heldout"), hashes), hashes, known, judge, juries_of(database))
    products = sides.products()
    asked = Known(items, database.queries(), products)
    if qrels is None:
        kept = [item for item in items if sides.split.get(item.id) == "heldout"]
        held_out = from_judgments(admitted.judgments, kept, products if per == "product" else NO_PRODUCTS)
    else:
        among = Candidates(items, sides.split, products, per, only_judged)
        held_out = from_qrels(read_qrels(qrels), qrels.name, asked.queries, among)
    held_out = replace(held_out, notes=(*held_out.notes, *admitted.notes, *sides.notes))
    return _measured(searchers, held_out, asked, admitted, Wanted(**wanted))


def bench_public(
    models: Mapping[str, Embedded], name: str, qrels: Path, asked: Sequence[Query], known: Sides, **wanted: Any
) -> BenchReport:
    """Measure the models on a public set, all of which is held out but what the workspace has trained on.

    asked: its queries.  known: what the workspace has registered.  wanted: the fields of `Wanted`.
    """
    items = _common_items(models)
    everything = replace(known, holdout=1.0)
    sides = everything.of_items(items, models["backbone"].hashes([item.id for item in items]))
    queries = [replace(query, split=everything.of_query(query.text)) for query in asked]
    among = Candidates(items, sides.split, only_judged=True)
    held_out = from_qrels(read_qrels(qrels), name, queries, among)
    trained = sum(query.split == "train" for query in queries), sum(side == "train" for side in sides.split.values())
    if any(trained):
        note = f"{trained[0]:,} queries and {trained[1]:,} images left out: the workspace uses them for training"
        held_out = replace(held_out, notes=(*held_out.notes, note))
    return _measured(
        models, held_out, Known(items, queries, sides.products()), Admitted([], None, ()), Wanted(**wanted)
    )


def _measured(
    models: Mapping[str, Embedded], held_out: HeldOutSet, asked: Known, admitted: Admitted, wanted: Wanted
) -> BenchReport:
    of_item = {item.id: item.metadata for item in asked.items}
    metadata = {key: of_item[key] for key in held_out.items}
    ranking = {**_text_search(asked.items), **wanted.rankers}
    models, measured, lost = _of_models(held_out, models)
    found = {
        **measured,
        **{name: grade(held_out, ranker.scores(held_out, asked)) for name, ranker in ranking.items()},
        "teacher": _teacher(held_out, admitted.judgments),
    }
    notes = [*lost, *(note for one in ranking.values() for note in (*one.notes, *_circular(one, held_out)))]
    held_out = replace(held_out, notes=(*held_out.notes, *notes))
    rows = {name: row for name, row in found.items() if row is not None}
    report = summarise(held_out, rows, wanted.gates, wanted.seed)
    personas = {query.text: query.persona for query in asked.queries if query.persona}
    shown = {model: searcher for model, searcher in models.items() if model in MODELS}
    return replace(
        report,
        metadata=metadata,
        judge=_judge(held_out, admitted),
        slices=slices(report, wanted.columns, metadata, personas),
        examples=examples(held_out, shown, largest_changes(report, 2), largest_changes(report, -2)),
        reranked=next((one.spent for one in ranking.values() if isinstance(one, Rerank)), None),
        rankings={**{model: Scored(one) for model, one in models.items()}, **ranking},
        known=asked,
        file_of=lambda key: models["backbone"].files([key])[0],
    )


def _of_models(
    held_out: HeldOutSet, models: Mapping[str, Embedded]
) -> tuple[dict[str, Embedded], dict[str, Values], list[str]]:
    """The models with their values, and a note where the row of the images alone cannot be had.

    It alone opens the images again, which an index can do without.
    """
    there: dict[str, Embedded] = {}
    found: dict[str, Values] = {}
    lost = []
    for model, searcher in models.items():
        try:
            found[model] = _measure(held_out, searcher)
            there[model] = searcher
        except VdistillError as error:
            if model != IMAGE:
                raise
            lost.append(f"no row {model}: {error.message}")
    return there, found, lost


def summarise(
    held_out: HeldOutSet, values: dict[str, Values], gates: Sequence[Gate] = (), seed: int = 0
) -> BenchReport:
    """From values per query to means, intervals, gap closed and gates."""
    others = [model for model in values if model not in MODELS]
    beside = [model for model in others if RERANKED in model]
    order = (MODELS[0], *(model for model in others if model not in beside), MODELS[1], *beside, MODELS[2])
    models: dict[str, dict[str, float] | None] = {
        model: means(values[model]) if model in values else None for model in order
    }
    gains = differences(values)
    of_models = {model: found for model, found in [*values.items(), (DIFFERENCE, gains)] if found}
    with ThreadPoolExecutor(os.cpu_count()) as executor:  # most of the time numpy draws and sums
        chances = executor.map(lambda metric: metrics.p_value(gains[metric], seed), gains)
        between = executor.map(lambda found: _intervals(found, seed), of_models.values())
        ci95, p_values = dict(zip(of_models, between, strict=True)), dict(zip(gains, chances, strict=True))
    _add_gap(models, ci95, values, seed)
    return BenchReport(
        values=values,
        models=models,
        ci95=ci95,
        gates=check_gates(gates, models),
        held_out=held_out,
        seed=seed,
        notes=(*held_out.notes, *(reason for model, reason in _ABSENT.items() if models[model] is None)),
        p_values={metric: p for metric, p in p_values.items() if p is not None},
    )


def _circular(ranker: Ranker, held_out: HeldOutSet) -> tuple[str, ...]:
    """What a row cannot tell where the teacher that re-orders is the judge."""
    if not isinstance(ranker, Rerank) or ranker.asking.teacher.name != held_out.judged_by:
        return ()
    return (
        f"{ranker.name}: its teacher is also the judge, so the row shows how close so many calls come to the teacher's "
        "own order; --qrels or --judge NAME measures by another",
    )


def _text_search(items: Sequence[Item]) -> dict[str, Ranker]:
    search = TextSearch(items)
    return {} if search.empty else {TEXT_SEARCH: search}


def _common_items(searchers: Mapping[str, Embedded]) -> list[Item]:
    """The items that every model has a vector for, with their metadata."""
    first, *others = searchers.values()
    keys = sorted(set(first.ids).intersection(*(other.ids for other in others)))
    rows = zip(keys, first.files(keys), first.metadata(keys), strict=True)
    return [Item(key, file, metadata) for key, file, metadata in rows]


def _measure(held_out: HeldOutSet, searcher: Embedded) -> Values:
    queries, titles = searcher.encode(held_out.queries), held_out.titles
    with vectors_of(held_out.items, searcher.vectors) as vectors:
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
    if np.isfinite(gap):
        student["gap_closed"] = gap
        if (between := metrics.gap_interval(ours, theirs, ceiling, seed)) is not None:
            ci95["student"]["gap_closed"] = between


def _intervals(values: Values, seed: int) -> dict[str, Interval]:
    found = {metric: metrics.interval(values[metric], seed) for metric in metrics.METRICS if metric in values}
    return {metric: interval for metric, interval in found.items() if interval is not None}
