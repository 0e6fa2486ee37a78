"""The rankings of the models as TREC run files, and the judgments as qrels, for the tools of others."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from vdistill.arrays import Floats, Ints
from vdistill.bench.graded import Ranker
from vdistill.bench.results import BenchReport
from vdistill.evaluation import metrics
from vdistill.evaluation.test_set import JudgedQuery
from vdistill.evaluation.trec_ids import QueryNames, written
from vdistill.workspace import replacing, writing

DEPTH = 1000  # of a ranking, as TREC has it


def write_runs(report: BenchReport, folder: Path) -> list[Path]:
    """A file `MODEL.trec` in `folder` for each model, of the candidates of each held-out query.

    Raises VdistillError where one cannot be written.
    """
    paths = []
    names = _file_names(report.rankings)
    for model, ranker in report.rankings.items():
        path = folder / f"{names[model]}.trec"
        _write(path, _run_lines(report, model, ranker))
        paths.append(path)
    return paths


def write_qrels(report: BenchReport, path: Path) -> None:
    """What the models are judged by: `QUERY 0 ITEM GRADE` for all that is judged.

    A grade is a gain of the metrics, rounded: 10 for the teacher's first, 1 for its tenth, 0 below; or the grade of the
    qrels that `bench` got. Raises VdistillError where the file cannot be written.
    """
    _write(path, _qrels_lines(report))


def _write(path: Path, lines: Iterator[str]) -> None:
    with writing(path), replacing(path) as aside, aside.open("w", encoding="utf-8", errors="backslashreplace") as file:
        file.writelines(lines)


def _run_lines(report: BenchReport, model: str, ranker: Ranker) -> Iterator[str]:
    held_out, names, tag = report.held_out, QueryNames(report.known.queries), "_".join(model.split())
    for judged, scores in zip(held_out.judged, ranker.scores(held_out, report.known), strict=True):
        if scores is None:
            continue
        query, rows, of_products = names.of(judged.query), _rows(report, judged), held_out.products.best(scores)
        order = metrics.top(of_products[rows], DEPTH)
        ranked = zip(rows[order], _falling(of_products[rows[order]]), strict=True)
        for rank, (row, score) in enumerate(ranked, start=1):
            yield f"{query} Q0 {written(held_out.names[row])} {rank} {score:.9g} {tag}\n"


def _qrels_lines(report: BenchReport) -> Iterator[str]:
    names = QueryNames(report.known.queries)
    for judged in report.held_out.judged:
        query = names.of(judged.query)
        for row, gain in zip(judged.rows, judged.gains, strict=True):
            yield f"{query} 0 {written(report.held_out.names[row])} {int(gain + 0.5)}\n"


def _rows(report: BenchReport, judged: JudgedQuery) -> Ints:
    """The numbers of the products that are candidates of a query."""
    candidates, _, _ = report.held_out.dense(judged)
    return np.arange(len(report.held_out.names))[candidates]


def _falling(scores: Floats) -> Floats:
    """The scores (n,), best first, of which none are equal in float32.

    Tools break ties in ways of their own; so written, they all see our order.
    """
    found = scores.astype(np.float32)
    for place in range(1, len(found)):
        if found[place] >= found[place - 1]:
            found[place] = np.nextafter(found[place - 1], np.float32(-np.inf))
    return found


def _file_names(models: Iterable[str]) -> dict[str, str]:
    """A name for each model that no other has, in small letters either."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for model in models:
        name, number = _file_name(model), 1
        while (one := name if number == 1 else f"{name}-{number}").lower() in taken:
            number += 1
        taken.add(one.lower())
        found[model] = one
    return found


def _file_name(model: str) -> str:
    return re.sub(r"[^\w.@+-]+", "_", model).strip("._") or "model"
