"""The plots of the report, each one SVG element."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from vdistill.bench.graded import MODELS
from vdistill.bench.report.svg import COLOURS, INK, drawn
from vdistill.bench.results import BenchReport
from vdistill.bench.runs import Run
from vdistill.bench.speed.recall_speed import Point
from vdistill.encoders.student import last_validated

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def metric_bars(report: BenchReport) -> str:
    """The mean of each metric, one bar per model, with its 95 % interval."""

    def draw(axes: Axes) -> None:
        models = [model for model in MODELS if report.models[model]]
        metrics = [name for name in (report.models["backbone"] or {}) if name != "gap_closed"]
        height = 0.8 / len(models)
        for place, model in enumerate(models):
            rows = np.arange(len(metrics)) - 0.4 + (place + 0.5) * height
            _bars(axes, rows, report, model, metrics, height * 0.9)
        axes.set_yticks(range(len(metrics)), metrics)
        axes.invert_yaxis()
        axes.set_xlim(min(0.0, *axes.get_xlim()), 1.0)
        axes.legend(loc="upper center", bbox_to_anchor=(0.4, 1.12), ncols=3)

    return drawn("bars", "Mean of each metric with its 95 % interval", (5.2, 4.6), draw)


def winner_curve(report: BenchReport) -> str:
    """The share of queries whose winner a model ranks among its first r, over r."""

    def draw(axes: Axes) -> None:
        size = int(report.held_out.candidates.max())
        for model in ("backbone", "student"):
            if model in report.values:
                ranks = np.sort(_winner_ranks(report, model))
                places = np.r_[1, ranks, size]
                shares = np.r_[0, np.arange(1, len(ranks) + 1) / len(ranks), 1]
                axes.step(places, shares, where="post", color=COLOURS[model], linewidth=2, label=model)
        axes.set(xscale="log", xlim=(1, max(size, 2)), ylim=(0, 1.02))
        _plain_ticks(axes, size)
        axes.set_xlabel("rank of the winner")
        axes.set_ylabel("share of queries")
        axes.legend(loc="lower right")

    return drawn("winner", "Share of queries whose winner is among the first r", (5.2, 3.6), draw)


def recall_speed(points: Sequence[Point]) -> str:
    """Recall@10 and queries per second of a full scan and of the widths of lists."""

    def draw(axes: Axes) -> None:
        for name, colour, some in (
            ("lists, by width", "backbone", [point for point in points if point.width]),
            ("every vector", "student", [point for point in points if point.width is None]),
        ):
            axes.plot([], [], "o-" if len(some) > 1 else "o", color=COLOURS[colour], label=name)
            axes.plot([point.recall for point in some], [point.queries_per_second for point in some],
                      color=COLOURS[colour])  # fmt: skip
            for point in some:
                axes.plot(point.recall, point.queries_per_second, "o", color=COLOURS[colour], markersize=8,
                          fillstyle="full" if point.used else "none")  # fmt: skip
                if point.width:
                    axes.annotate(str(point.width), (point.recall, point.queries_per_second), (-9, -4), ha="right",
                                  textcoords="offset points")  # fmt: skip
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.yaxis.set_minor_formatter("{x:,.0f}")
        axes.set_xlim(min(min(point.recall for point in points) - 0.02, 0.9), 1.005)
        axes.set_xlabel("recall@10")
        axes.set_ylabel("queries per second")
        axes.legend(loc="lower left")

    return drawn("recall", "Recall and speed of ways to search", (5.2, 3.2), draw)


def learning_curve(history: Sequence[Mapping[str, float]]) -> str:
    """Losses and validation nDCG@10 over the epochs of the student's training."""

    def draw(axes: Axes) -> None:
        epochs = [figures["epoch"] for figures in history]
        axes.plot(epochs, [figures["loss"] for figures in history], color=COLOURS["backbone"], label="loss (nats)")
        axes.set_xlabel("epoch")
        axes.set_ylabel("preference loss (nats)")
        values = np.array([figures.get("validation_ndcg@10", np.nan) for figures in history])
        if np.isfinite(values).any():
            right = axes.twinx()
            if (begins := last_validated(history)) is not None:
                axes.axvspan(begins, epochs[-1], color=INK, alpha=0.08, lw=0)
            right.plot(epochs, values, color=COLOURS["student"], label="validation nDCG@10")
            right.set_ylabel("validation nDCG@10", color=COLOURS["student"])
            right.spines["right"].set_visible(True)

    return drawn("learning", "Loss and validation nDCG@10 over the epochs", (5.2, 3.2), draw)


def strengths(points: Sequence[Mapping[str, float]], chosen: float) -> str:
    """nDCG@10 on the validation items against literal recall@1 by the adapter's strength; the chosen one filled."""

    def draw(axes: Axes) -> None:
        kept = [one["validation_literal_recall@1"] for one in points]
        gained = [one["ndcg@10"] for one in points]
        axes.plot(kept, gained, color=COLOURS["student"])
        for place, one in enumerate(points):
            is_it = abs(one["strength"] - chosen) < 1e-9
            axes.plot(kept[place], gained[place], "o", color=COLOURS["student"], fillstyle="full" if is_it else "none")
            if is_it or one["strength"] in (0.0, 1.0, points[-1]["strength"]):
                axes.annotate(f"{one['strength']:g}", (kept[place], gained[place]), (6, -3), textcoords="offset points")
        axes.set_xlabel("literal recall@1")
        axes.set_ylabel("nDCG@10")
        axes.margins(x=0.12)

    return drawn("strengths", "nDCG@10 against literal recall@1 along the adapter's strength", (5.2, 3.2), draw)


def trend(runs: Sequence[Run]) -> str:
    """The student's and the backbone's nDCG@10 in each run, oldest first."""

    def draw(axes: Axes) -> None:
        from matplotlib.ticker import MaxNLocator

        for model in ("backbone", "student"):
            values = [run.models.get(model, {}).get("ndcg@10", np.nan) for run in runs]
            axes.plot(range(1, len(runs) + 1), values, marker="o", color=COLOURS[model], label=model)
        axes.set(ylim=(0, 1), xlabel="run", ylabel="nDCG@10")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="lower right")

    return drawn("trend", "nDCG@10 of each run", (5.2, 3.2), draw)


def calls(runs: Sequence[Run]) -> str:
    """The student's nDCG@10 over how many judgments it was made from."""

    def draw(axes: Axes) -> None:
        points = sorted((run.judgments, run.models["student"]["ndcg@10"]) for run in runs if "student" in run.models)
        axes.plot(*zip(*points, strict=True), marker="o", color=COLOURS["student"])
        axes.set(ylim=(0, 1), xlabel="training judgments", ylabel="nDCG@10 of the student")

    return drawn("calls", "nDCG@10 over training judgments", (5.2, 3.2), draw)


def _bars(axes: Axes, rows: np.ndarray, report: BenchReport, model: str, metrics: list[str], height: float) -> None:
    means, intervals = report.models[model] or {}, report.ci95.get(model, {})
    there = [place for place, name in enumerate(metrics) if name in means]
    values = np.array([means[metrics[place]] for place in there])
    ends = np.array([intervals.get(metrics[place], (value, value)) for place, value in zip(there, values, strict=True)])
    spread = np.abs(ends - values[:, None]).T
    axes.barh(rows[there], values, height, color=COLOURS[model], label=model, xerr=spread,
              error_kw={"ecolor": INK, "elinewidth": 1})  # fmt: skip


def _winner_ranks(report: BenchReport, model: str) -> np.ndarray:
    """(q,) the ranks, from 1; of several winners the mean rank."""
    percentile, sizes = report.values[model]["mpr"], report.held_out.candidates
    ranks = sizes - percentile * (sizes - 1)
    return np.asarray(ranks[np.isfinite(ranks)])


def _plain_ticks(axes: Axes, size: int) -> None:
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullFormatter

    ticks = [tick for tick in (1, 3, 10, 30, 100, 300, 1_000, 10_000, 100_000) if tick <= max(size, 2)]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FixedFormatter([f"{tick:,}" for tick in ticks]))
    axes.xaxis.set_minor_formatter(NullFormatter())
