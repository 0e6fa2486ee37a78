"""The results of `bench` as tables for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vdistill.bench.graded import largest_changes
from vdistill.bench.results import BenchReport
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
    """The test set, and who judged."""
    held_out = report.held_out
    sizes = f"{len(held_out.judged):,} queries × {len(held_out.items):,} images"
    if held_out.products.several:
        sizes = f"{len(held_out.judged):,} queries × {len(held_out.products.names):,} products"
        sizes += f" ({len(held_out.items):,} images)"
    return f"held out: {sizes}, judged by {held_out.judged_by}"


def slice_table(one: Slice) -> Table:
    """The nDCG@10 of groups of queries."""
    table = _table(f"nDCG@10 by {one.by}", (one.by, "queries", "backbone", "student", "gain"))
    for group in one.groups:
        gain = _difference(group.gain, group.ci95)
        table.add_row(group.name, str(group.queries), _number(group.backbone), _number(group.student), gain)
    return table


def robustness_table(report: BenchReport) -> Table:
    """The nDCG@10 of reworded queries and corrupted images."""
    table = _table("nDCG@10 with changed queries or images", ("change", "model", "before", "after", "difference"))
    for one in report.robustness:
        difference = _difference(one.difference, one.ci95)
        table.add_row(one.change, one.model, _number(one.before), _number(one.after), difference)
    return table


def rerank_table(report: BenchReport) -> Table:
    """What a teacher that re-orders the head brings, and what it takes."""
    table = _table("the teacher beside it", ("", "per query"))
    for name, value in rerank_facts(report).items():
        table.add_row(name, value)
    return table


def rerank_facts(report: BenchReport) -> dict[str, str]:
    """What a teacher that re-orders the head brings and takes, by name; empty where none did."""
    spent, gain = report.reranked, report.reranking
    if spent is None or gain is None:
        return {}
    money = "unknown" if spent.usd_per_query is None else f"${spent.usd_per_query:.4g}"
    seconds = "unknown" if spent.seconds_per_query is None else f"{spent.seconds_per_query:.2g} s"
    return {
        "who": f"{spent.teacher} re-orders the first {spent.depth}",
        "queries": f"{spent.queries:,}",
        "gain in nDCG@10": "–" if gain.value != gain.value else _difference(gain.value, gain.ci95),
        "calls": f"{spent.calls_per_query:.1f}",
        "tokens": f"{spent.tokens_per_query:,.0f}",
        "money": money,
        "time": seconds,
    }


def largest_changes_table(report: BenchReport) -> Iterator[Table]:
    """The queries whose nDCG@10 gained most, and lost most."""
    for title, count in (("gained most", _SHOWN), ("lost most", -_SHOWN)):
        if found := largest_changes(report, count):
            table = _table(title, ("query", "backbone", "student"))
            for one in found:
                table.add_row(one.query, f"{one.backbone:.3f}", f"{one.student:.3f}")
            yield table


def history_tables(rows: Sequence[Mapping[str, Any]]) -> Iterator[Table]:
    """Earlier runs: one table per judge, one row per run, with a bar for the student's nDCG@10."""
    for judge in dict.fromkeys(row["judged_by"] for row in rows):
        table = _table(f"nDCG@10 by run, judged by {judge}", ("run", "weights", "queries", "backbone", "student", ""))
        for row in rows:
            if row["judged_by"] == judge:
                bar = "█" * round(10 * max(0.0, row.get("student", row.get("backbone")) or 0.0))
                figures = [_number(row.get(model)) for model in ("backbone", "student")]
                gates = "" if row["passed"] else " failed a gate"
                table.add_row(str(row["id"]), str(row["adapter"]), str(row["queries"]), *figures, bar + gates)
        yield table


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
