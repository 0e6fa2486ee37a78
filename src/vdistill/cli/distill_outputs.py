"""What `vdistill distill` prints when a student is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vdistill.cli import console
from vdistill.errors import GateError

if TYPE_CHECKING:
    from vdistill.distill.run import DistillReport


def show(report: DistillReport, cycles: list[dict[str, Any]], *, as_json: bool) -> None:
    """Print what came of a training, and of each cycle."""
    if as_json:
        console.document(report.to_json() | ({"cycles": cycles} if cycles else {}))
        return
    from vdistill.evaluation.metrics_table import metrics_table

    console.result(f"student of {report.backbone}: {report.trainable_parameters:,} parameters trained, "
                   f"{report.steps} steps, {report.seconds:.0f} s")  # fmt: skip
    if cycles and report.heldout:
        students = {f"cycle {one['cycle']}": one["heldout"]["student"] for one in cycles if one["heldout"]}
        columns = {"backbone": report.heldout["backbone"], **students}
        console.result(metrics_table(columns, title="the student after each cycle, on the held-out test set"))
    elif report.heldout:
        console.result(metrics_table(report.heldout, title="held-out test set: unseen queries on unseen images"))
    if report.seeds:
        console.result(_spread(report))
    if report.fields["candidates"]:
        console.result(f"an item's vector: {report.fields['fields']} ({report.fields['how']})")
    if report.published:
        console.result(f"adapter: {report.adapter}")


def _spread(report: DistillReport) -> str:
    """How far apart the seeds are, on the held-out queries where they were judged, else in validation."""
    held_out = [one["heldout"]["student"]["ndcg@10"] for one in report.seeds if one["heldout"]]
    where, values = ("held-out", held_out) if held_out else ("validation", [one["validation"] for one in report.seeds])
    if any(one["validation"] is None for one in report.seeds):
        return f"{len(report.seeds)} seeds, of which nothing could tell the best: the first was taken"
    mean = sum(values) / len(values)
    of = "" if report.fields["fields"] == "image" else ", the images alone"
    return (
        f"{len(values)} seeds{of}: {where} nDCG@10 {mean:.3f} on average ({min(values):.3f} to {max(values):.3f}); "
        "the best in validation was taken"
    )


def require_published(report: DistillReport) -> None:
    """Raise GateError (exit code 3) where the student was not published."""
    if not report.published:
        raise GateError(
            f"{report.objection}: not published",
            hint="an earlier student stays as it was; try a smaller --lr or more judgments, or publish this one with "
            "the same command and --keep-anyway",
        )
