"""The student's folder: a PEFT adapter with its facts, its model card and its learning curve."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

from vdistill.encoders import item_head
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.item_head import ItemHead
from vdistill.encoders.pretrained import quiet_peft, quiet_transformers
from vdistill.encoders.student import SCHEMA_VERSION, adapter_file, last_validated
from vdistill.images import file_sha256
from vdistill.workspace import Workspace, replacing_folder, write_file, writing

CURVE = "learning_curve.png"


def write_student(
    workspace: Workspace, encoder: DualEncoder, facts: dict[str, Any], head: ItemHead | None = None
) -> None:
    """Write the folder aside and put it in place of the old one. Raises VdistillError where the disk refuses.

    head: of a student whose items' vectors hold texts too.
    """
    with replacing_folder(workspace.student) as folder, writing(workspace.student):
        with quiet_peft(), quiet_transformers():
            encoder.model.save_pretrained(folder, safe_serialization=True)
        facts = {"schema_version": SCHEMA_VERSION, **facts, "adapter_sha256": file_sha256(adapter_file(folder))}
        if head is not None:
            head.save(folder / item_head.FILE)
            facts["item_head_sha256"] = file_sha256(folder / item_head.FILE)
        write_file(folder / "student.json", json.dumps(facts, indent=2) + "\n")
        write_file(folder / CURVE, learning_curve(facts["history"]))
        write_file(folder / "README.md", card(facts))


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
    figure = Figure(figsize=(3.4 * len(panels), 2.8), layout="constrained")
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
