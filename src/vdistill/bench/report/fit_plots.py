"""The plots of fit: the reliability diagram, and what a threshold loses and lets through."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vdistill.bench.fit import FitReport, Separation
from vdistill.bench.report.svg import COLOURS, INK, drawn

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LEAST, _MOST = 20, 400  # points², of a bin with few hits and of the fullest one


def reliability(report: FitReport) -> str:
    """What the judge accepts of the hits of a fit, over that fit; on the line a fit means what it says."""

    def draw(axes: Axes) -> None:
        fullest = max(one.hits for one in report.bins)
        axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle="--", alpha=0.6)
        axes.plot([one.fit for one in report.bins], [one.accepted for one in report.bins], color=COLOURS["student"])
        for one in report.bins:
            size = _LEAST + (_MOST - _LEAST) * one.hits / fullest
            axes.scatter([one.fit], [one.accepted], s=size, color=COLOURS["student"], alpha=0.6, linewidths=0,
                         clip_on=False)  # fmt: skip
            axes.annotate(f"{one.hits:,}", (one.fit, one.accepted), (0, 10), ha="center", fontsize=8,
                          textcoords="offset points")  # fmt: skip
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="fit of a hit", ylabel="accepted by the judge")

    return drawn("reliability", "What is accepted of the hits of a fit", (5.2, 4.2), draw)


def thresholds(report: FitReport) -> str:
    """The shares of answered queries without a hit, and of others with one, over the fit that is asked for."""

    def draw(axes: Axes) -> None:
        at = [one.min_fit for one in report.curve]
        axes.plot(at, [one.lost.share for one in report.curve], color=COLOURS["student"], label="lost: nothing shown")
        for name, style in (("false_hits", "-"), ("unseen", "--")):
            shares = [share for one in report.curve if (share := _share(one, name)) is not None]
            if shares:
                label = "false hits" + (", unseen queries" if name == "unseen" else "")
                axes.plot(at, shares, color=COLOURS["teacher"], linestyle=style, label=label)
        axes.axvline(report.at.min_fit, color=INK, linewidth=1, alpha=0.4)
        axes.set(xlim=(0, 1), ylim=(0, 1.02), xlabel="--min-fit", ylabel="share of queries")
        axes.legend(loc="upper left")

    return drawn("thresholds", "Lost queries and false hits over the fit that is asked for", (5.2, 3.6), draw)


def _share(one: Separation, name: str) -> float | None:
    found = getattr(one, name)
    return None if found is None else float(found.share)
