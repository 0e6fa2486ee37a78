"""The fit of hits in words and figures, for the terminal and for the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vdistill.bench.fit import FitReport, Separation, Share

if TYPE_CHECKING:
    from rich.table import Table


def fit_facts(report: FitReport | None) -> dict[str, str]:
    """The figures by name; empty where nothing is known of fit."""
    if report is None:
        return {}
    between = f" [{report.ece_ci95.low:.3f}, {report.ece_ci95.high:.3f}]" if report.ece_ci95 else ""
    found = {
        "calibration error (ECE)": f"{report.ece:.3f}{between}",
        "of answered queries alone": f"{report.ece_answered:.3f}",
        "measured on": f"{report.hits:,} hits of {report.queries:,} held-out queries, judged by {report.judge}",
    }
    for one in (report.at, report.at_lost):
        found |= _at(one)
    return found


def fit_table(report: FitReport) -> Table:
    """The figures for the terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"fit of the {report.model}'s hits", style="bold"), title_justify="left", box=SIMPLE_HEAD)
    for name in ("", "each part of the queries by a fit made from the others"):
        table.add_column(Text(name), overflow="fold")
    for name, value in fit_facts(report).items():
        table.add_row(Text(name), Text(value))
    return table


def _at(one: Separation) -> dict[str, str]:
    at = f"at --min-fit {one.min_fit:.2f}: "
    found = {f"{at}nothing shown though something fits": _shown(one.lost)}
    if one.false_hits:
        found[f"{at}a hit shown though nothing fits"] = _shown(one.false_hits)
    if one.unseen:
        found[f"{at}the same, of unseen queries"] = _shown(one.unseen)
    return found


def _shown(share: Share) -> str:
    between = f" [{share.ci95.low:.0%}, {share.ci95.high:.0%}]" if share.ci95 else ""
    return f"{share.share:.1%}{between} of {share.queries:,} queries"
