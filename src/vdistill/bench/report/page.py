"""`bench --report`: one page that holds everything, for whoever decides."""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vdistill.bench.evaluate import DIFFERENCE, BenchReport
from vdistill.bench.graded import MODELS, largest_changes
from vdistill.bench.report.table import judged
from vdistill.encoders.student import last_validated
from vdistill.workspace import write_file

if TYPE_CHECKING:
    from vdistill.bench.runs import Run
    from vdistill.bench.speed.measure import Speed

_MOVED = 5  # queries that gained most, and lost most
_SIDE = 150  # px, of a thumbnail

MEANING = {
    "ndcg@10": "how well the first ten are ordered",
    "recall@10": "share of the relevant pictures among the first ten",
    "mrr": "reciprocal rank of the first relevant picture",
    "winner@5": "queries whose winner is among the first 5",
    "winner@20": "… among the first 20",
    "winner@100": "… among the first 100",
    "mpr": "mean percentile rank of the winner; 1 is first place",
    "kendall_tau": "agreement of the whole order, −1 to 1",
    "pairwise_accuracy": "share of pairs ordered as judged",
    "literal_recall@1": "a title finds its own picture first: what must not be lost",
    "literal_recall@10": "a title finds its own picture among the first ten",
    "gap_closed": "how much of the way from backbone to teacher, on nDCG@10",
}
PACKAGES = ("vdistill", "numpy", "scipy", "torch", "transformers", "peft", "usearch", "onnxruntime")


@dataclass(frozen=True, slots=True)
class Around:
    """What the page shows beside the measurement.

    facts: names and values among the settings.  history: figures of the epochs of the student's training.
    runs: all that are kept, oldest first.  audits: findings of `label --audit`.
    """

    facts: Mapping[str, Any] = field(default_factory=dict)
    speed: Speed | None = None
    history: Sequence[Mapping[str, float]] = ()
    runs: Sequence[Run] = ()
    audits: Sequence[Mapping[str, Any]] = ()


def write_report(report: BenchReport, path: Path, around: Around | None = None) -> None:
    """Write the page to `path` as a whole. Raises VdistillError where it cannot be written."""
    write_file(path, render(report, around))


def render(report: BenchReport, around: Around | None = None) -> str:
    """The page as HTML. It asks for nothing from outside."""
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
        changes=report.changes,
        moved=[("gained most", largest_changes(report, _MOVED)), ("lost most", largest_changes(report, -_MOVED))],
        examples=_examples(report),
        audits=around.audits,
        settings=_settings(report, around.facts),
        speed=around.speed.facts() if around.speed else {},
    )


def _plots(report: BenchReport, around: Around) -> Iterator[tuple[str, str]]:
    from vdistill.bench.report import plots

    yield plots.metric_bars(report), "Each metric's mean, with its 95 % interval."
    yield (
        plots.winner_curve(report),
        "For how many queries the judge's winner is among a model's first so many pictures. "
        "Higher and further left is better.",
    )
    if around.speed:
        yield (
            plots.recall_speed(around.speed.recall),
            "What searches find of the exact ten nearest, and how fast. Filled: what vdistill query does.",
        )
    if len(around.history) > 1:
        shaded = "" if last_validated(around.history) is None else " Shaded: on all judgments, those of validation too."
        yield plots.learning_curve(around.history), f"The student's training.{shaded}"
    comparable = [run for run in around.runs if run.comparable(report.held_out)]
    if len(comparable) > 1:
        yield plots.trend(comparable), "Runs with this judge, oldest first."
    if len({run.judgments for run in comparable if "student" in run.models}) > 1:
        yield plots.calls(comparable), "What more judgments gave."


def _examples(report: BenchReport) -> list[dict[str, Any]]:
    """The queries side by side, with thumbnails; a picture that cannot be read any more says why."""
    from vdistill.images import quiet

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
                    if not any(key in keys for keys in one.top.values())
                ],
            }
            for one in report.examples
        ]


def _card(report: BenchReport, key: str, chosen: bool) -> dict[str, Any]:
    from vdistill.images.thumbnails import thumbnail_or_reason

    image, missing = thumbnail_or_reason(report.catalog_root / key, _SIDE)
    title = str(report.metadata.get(key, {}).get("title") or key)
    return {"title": title, "picture": image, "chosen": chosen, "missing": missing}


def _rows(report: BenchReport) -> list[dict[str, Any]]:
    """One a metric: name, meaning, a cell a model, and the gain."""
    return [
        {
            "parts": re.split(r"(?<=_)|(?=@)", name),  # a phone may break the name here
            "meaning": MEANING[name],
            "cells": [
                _cell(found.get(name), report.ci95.get(model, {}).get(name)) for model, found in report.present.items()
            ],
            "gain": _gain(report, name),
        }
        for name in report.metrics
    ]


def _gain(report: BenchReport, name: str) -> dict[str, Any] | None:
    gain = report.gain(name)
    if gain is None:
        return None
    interval = report.ci95[DIFFERENCE].get(name)
    cell = _cell(gain, interval, "+.3f")
    if interval is not None and not interval[0] <= 0 <= interval[1]:
        cell["tone"] = "up" if interval[0] > 0 else "down"
    return cell


def _cell(value: float | None, interval: Sequence[float] | None, style: str = ".3f") -> dict[str, Any]:
    """What stands in a place of the table; an interval without width is not worth showing."""
    if value is None:
        return {"value": "–", "interval": (), "tone": ""}
    ends = () if interval is None or interval[0] == interval[1] else tuple(format(end, style) for end in interval)
    return {"value": format(value, style), "interval": ends, "tone": ""}


def _settings(report: BenchReport, facts: Mapping[str, Any]) -> dict[str, str]:
    """What somebody needs to measure the same again."""
    return {
        **{name: str(value) for name, value in facts.items()},
        "judged by": " ".join(f"{name} {value}" for name, value in report.judge.items()).removeprefix("name ")
        or report.held_out.judged_by,
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
