"""The figures of `bench` for the terminal."""

from __future__ import annotations

from vdistill.bench.evaluate import BenchReport
from vdistill.metrics_table import MetricsTable, metrics_table

CAPTION = "95 % bootstrap intervals; gain: student − backbone, paired"


def bench_table(report: BenchReport) -> MetricsTable:
    """The models side by side, to print through rich."""
    return metrics_table(report.models, judged(report), report.ci95, CAPTION)


def judged(report: BenchReport) -> str:
    """What the figures were measured on, and who judged."""
    heldout = report.heldout
    return (
        f"held out: {len(heldout.verdicts):,} queries × {len(heldout.items):,} pictures, judged by {heldout.judged_by}"
    )
