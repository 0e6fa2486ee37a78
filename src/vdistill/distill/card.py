"""The model card of a student and its learning curve, from the facts in its `student.json`. Without torch."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from vdistill.encoders.student import last_validated

CURVE = "learning_curve.png"


def card(facts: dict[str, Any]) -> str:
    """The README of a student, from the facts in its `student.json`."""
    from jinja2 import Environment, PackageLoader

    loader = PackageLoader("vdistill.distill", ".")
    pages = Environment(loader=loader, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    return pages.get_template("card.md.j2").render(facts, curve=CURVE)


def learning_curve(history: Sequence[dict[str, float]]) -> bytes:
    """The losses of the epochs, and validation beside them (keys as in `student.json`), as a PNG file."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    epochs = [figures["epoch"] for figures in history]
    refit = last_validated(history)
    panels = [("preference loss (nats)", "loss", "tab:blue"), ("retention loss (nats)", "retention_loss", "tab:orange")]
    if any("validation_ndcg@10" in figures for figures in history):
        panels.append(("validation nDCG@10", "validation_ndcg@10", "tab:green"))
    width = 3.4 * len(panels)  # inches
    figure = Figure(figsize=(width, 2.8))
    # By hand: matplotlib's own layouts draw everything once more to measure it.
    figure.subplots_adjust(left=0.6 / width, right=1 - 0.1 / width, bottom=0.17, top=0.89, wspace=0.25)
    for place, (title, key, colour) in enumerate(panels):
        axes = figure.add_subplot(1, len(panels), place + 1)
        axes.plot(epochs, [figures.get(key, float("nan")) for figures in history], color=colour, marker=".")
        if refit is not None:
            axes.axvspan(refit, epochs[-1], color="0.93", zorder=0)
            axes.annotate("on all", (refit, 1.0), (2, -2), xycoords=("data", "axes fraction"), va="top",
                          textcoords="offset points", fontsize=7, color="0.4")  # fmt: skip
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("epoch")
        axes.spines[["top", "right"]].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110)
    return content.getvalue()
