"""`bench --report`: one page with all results, for whoever decides."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from vdistill.bench.graded import MODELS, largest_changes
from vdistill.bench.report import fit_plots, plots
from vdistill.bench.report.fit_table import fit_facts
from vdistill.bench.report.table import judged, rerank_facts
from vdistill.bench.results import BenchReport, Gain
from vdistill.bench.runs import Run
from vdistill.bench.speed.measure import Speed
from vdistill.encoders.student import last_validated
from vdistill.evaluation.metrics import METRICS, Interval
from vdistill.images import quiet
from vdistill.images.thumbnails import thumbnail_or_reason
from vdistill.sources import source_at
from vdistill.workspace import write_file

_CHANGED = 5  # queries that gained most, and lost most
_THUMBNAIL = 150  # px

PACKAGES = ("vdistill", "numpy", "scipy", "torch", "transformers", "peft", "usearch", "onnxruntime")


@dataclass(frozen=True, slots=True)
class Around:
    """What the page shows beside the measurement.

    facts: further settings by name.  history: figures of each epoch of the student's training.
    strengths: how it validated at several strengths, and `strength`, the one that it has.
    runs: all that are kept, oldest first.  audits: findings of `label --audit`.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    speed: Speed | None = None
    history: Sequence[Mapping[str, float]] = ()
    strengths: Sequence[Mapping[str, float]] = ()
    strength: float = 1.0
    runs: Sequence[Run] = ()
    audits: Sequence[Mapping[str, Any]] = ()


def write_report(report: BenchReport, path: Path, around: Around | None = None) -> None:
    """Write the page to `path` as a whole. Raises VdistillError where it cannot be written."""
    write_file(path, render(report, around))


def render(report: BenchReport, around: Around | None = None) -> str:
    """The page as HTML, which loads nothing from outside."""
    around = around or Around()
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("vdistill", "bench/report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("page.html.j2").render(
        verdict=report.verdict,
        judged=judged(report),
        models=[(model, model if model in MODELS else "other") for model in report.present],
        compared=bool(report.models["student"] and report.models["backbone"]),
        rows=_rows(report),
        gates=report.gates,
        notes=report.notes,
        plots=[{"svg": Markup(svg), "caption": caption} for svg, caption in _plots(report, around)],
        slices=[one for one in report.slices if len(one.groups) > 1],
        robustness=report.robustness,
        reranking=rerank_facts(report),
        fit=fit_facts(report.fit),
        fit_plots=[{"svg": Markup(svg), "caption": caption} for svg, caption in _fit_plots(report)],
        false_hits=[one for one in report.fit.shown_for if one[1] >= report.fit.at.min_fit][:_CHANGED]
        if report.fit
        else [],
        changed=[("gained most", largest_changes(report, _CHANGED)), ("lost most", largest_changes(report, -_CHANGED))],
        examples=_examples(report),
        audits=around.audits,
        settings=_settings(report, around.facts),
        speed=around.speed.facts() if around.speed else {},
    )


def _plots(report: BenchReport, around: Around) -> Iterator[tuple[str, str]]:
    yield plots.metric_bars(report), "Each metric's mean, with its 95 % interval."
    yield (
        plots.winner_curve(report),
        "The share of queries whose winner a model ranks this high or higher. Higher and further left is better.",
    )
    if around.speed:
        yield (
            plots.recall_speed(around.speed.recall),
            "Recall of the exact ten nearest, and speed. Filled: what vdistill query uses.",
        )
    if len(around.history) > 1:
        refit = last_validated(around.history) is not None
        shaded = " Shaded: on all judgments, including those for validation." if refit else ""
        yield plots.learning_curve(around.history), f"The student's training.{shaded}"
    if any(one["validation_literal_recall@1"] is not None for one in around.strengths):
        yield (
            plots.strengths(around.strengths, around.strength),
            "What the student gains and what it keeps at several strengths of its adapter, on the validation items. "
            "Filled: its strength, which vdistill distill --strength changes.",
        )
    comparable = [run for run in around.runs if run.comparable(report.held_out)]
    if len(comparable) > 1:
        yield plots.trend(comparable), "Runs with this judge, oldest first."
    if len({run.judgments for run in comparable if "student" in run.models}) > 1:
        yield plots.calls(comparable), "What more judgments brought."


def _fit_plots(report: BenchReport) -> Iterator[tuple[str, str]]:
    if report.fit is None:
        return
    yield (
        fit_plots.reliability(report.fit),
        "Reliability: on the line a fit of 0.7 is accepted seven times in ten. Each point is a tenth of the scale, as "
        "large as its number of hits.",
    )
    yield (
        fit_plots.thresholds(report.fit),
        "What --min-fit costs: answered queries for which nothing is shown, and hits where nothing fits.",
    )


def _examples(report: BenchReport) -> list[dict[str, Any]]:
    """The queries side by side, with thumbnails; an image that can no longer be read says why."""
    with quiet():
        return [
            {
                "query": one.query,
                "kind": one.kind,
                "columns": [
                    {"model": model, "cards": [_card(report, key, key in one.winners) for key in keys]}
                    for model, keys in one.top.items()
                ],
                "missed": [
                    _card(report, key, True)
                    for key in one.winners[:1]
                    if not any(set(one.winners) & set(keys) for keys in one.top.values())
                ],
            }
            for one in report.examples
        ]


def _card(report: BenchReport, key: str, chosen: bool) -> dict[str, Any]:
    image, missing = thumbnail_or_reason(source_at(report.file_of(key)), _THUMBNAIL)
    title = str(report.metadata.get(key, {}).get("title") or key)
    return {"title": title, "image": image, "chosen": chosen, "missing": missing}


def _rows(report: BenchReport) -> list[dict[str, Any]]:
    """One per metric: its name, its meaning, a cell per model, and the gain."""
    return [
        {
            "parts": re.split(r"(?<=_)|(?=@)", name),  # where a phone may break the name
            "meaning": METRICS[name],
            "cells": [
                _cell(found.get(name), report.ci95.get(model, {}).get(name)) for model, found in report.present.items()
            ],
            "gain": _gain(report.gain(name)),
        }
        for name in report.metrics
    ]


def _gain(gain: Gain | None) -> dict[str, Any]:
    return _cell(None, None) if gain is None else _cell(gain.value, gain.ci95, "+.3f") | {"tone": gain.direction}


def _cell(value: float | None, interval: Interval | None, style: str = ".3f") -> dict[str, Any]:
    """A cell of the table; an interval without width is not worth showing."""
    if value is None:
        return {"value": "–", "interval": (), "tone": ""}
    ends = () if interval is None or interval.low == interval.high else tuple(format(end, style) for end in interval)
    return {"value": format(value, style), "interval": ends, "tone": ""}


def _settings(report: BenchReport, facts: Mapping[str, Any]) -> dict[str, str]:
    """What it takes to reproduce the figures."""
    return {
        **{name: str(value) for name, value in facts.items()},
        "judged by": " ".join(f"{name} {value}" for name, value in report.judge.items()).removeprefix("name ")
        or report.held_out.judged_by,
        **{
            name: str(report.public_set[name]) for name in ("title", "licence", "citation") if name in report.public_set
        },
        "bootstrap": f"9,999 resamples of the queries, seed {report.seed}",
        "measured": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        "python": f"{sys.version.split()[0]} on {platform.system()} {platform.machine()}",
        **_versions(),
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
