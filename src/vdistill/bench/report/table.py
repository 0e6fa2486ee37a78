"""The figures of `bench` for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vdistill.bench.evaluate import BenchReport
from vdistill.bench.graded import largest_changes
from vdistill.bench.slices import Slice
from vdistill.evaluation.metrics import Interval
from vdistill.evaluation.metrics_table import MetricsTable, metrics_table

if TYPE_CHECKING:
    from rich.table import Table

CAPTION = "95 % bootstrap intervals; gain: student − backbone, paired"
_SHOWN = 3  # queries that gained most, and lost most


def bench_table(report: BenchReport) -> MetricsTable:
    """The models side by side, to print through rich."""
    return metrics_table(report.models, judged(report), report.ci95, CAPTION)


def judged(report: BenchReport) -> str:
    """What the figures were measured on, and who judged."""
    held_out = report.held_out
    queries, items = len(held_out.judged), len(held_out.items)
    return f"held out: {queries:,} queries × {items:,} images, judged by {held_out.judged_by}"


def slice_table(one: Slice) -> Table:
    """Groups of queries with their nDCG@10."""
    table = _table(f"nDCG@10 by {one.by}", (one.by, "queries", "backbone", "student", "gain"))
    for group in one.groups:
        gain = _difference(group.gain, group.ci95)
        table.add_row(group.name, str(group.queries), _number(group.backbone), _number(group.student), gain)
    return table


def changes_table(report: BenchReport) -> Table:
    """What rewording and spoiling do to the nDCG@10."""
    table = _table("nDCG@10 after changes", ("change", "model", "before", "after", "difference"))
    for one in report.changes:
        difference = _difference(one.difference, one.ci95)
        table.add_row(one.change, one.model, _number(one.before), _number(one.after), difference)
    return table


def largest_changes_table(report: BenchReport) -> Iterator[Table]:
    """The queries whose nDCG@10 gained most, and lost most."""
    for title, found in (
        ("gained most", largest_changes(report, _SHOWN)),
        ("lost most", largest_changes(report, -_SHOWN)),
    ):
        if found:
            table = _table(title, ("query", "backbone", "student"))
            for one in found:
                table.add_row(one.query, f"{one.backbone:.3f}", f"{one.student:.3f}")
            yield table


def history_tables(rows: Sequence[Mapping[str, Any]]) -> Iterator[Table]:
    """Earlier runs, a table a judge and a row a run, with a bar for the student's nDCG@10."""
    for judge in dict.fromkeys(row["judged_by"] for row in rows):
        table = _table(f"nDCG@10 by run, judged by {judge}", ("run", "weights", "queries", "backbone", "student", ""))
        for row in rows:
            if row["judged_by"] == judge:
                value = row.get("student", row.get("backbone")) or 0.0
                figures = [_number(row.get(model)) for model in ("backbone", "student")]
                gates = "" if row["passed"] else " failed a gate"
                table.add_row(str(row["id"]), str(row["adapter"]), str(row["queries"]), *figures, _bar(value) + gates)
        yield table


def _bar(value: float) -> str:
    return "█" * round(10 * max(0.0, value))


def _table(title: str, columns: Sequence[str]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title, style="bold"), title_justify="left", box=SIMPLE_HEAD)
    for place, name in enumerate(columns):
        left = place == 0 or not name
        table.add_column(Text(name), justify="left" if left else "right", overflow="fold", no_wrap=name == "run")
    return table


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _difference(value: float | None, ci95: Interval | None) -> str:
    if value is None:
        return ""
    return f"{value:+.3f}" + ("" if ci95 is None else f" {ci95.low:+.2f}…{ci95.high:+.2f}")
