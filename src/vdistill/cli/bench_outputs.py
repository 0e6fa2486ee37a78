"""What `vdistill bench` prints, and the files that it writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vdistill.cli import console
from vdistill.cli.session import Session
from vdistill.errors import VdistillError

if TYPE_CHECKING:
    from vdistill.bench.results import BenchReport
    from vdistill.bench.speed.measure import Speed
    from vdistill.workspace import Workspace


@dataclass(frozen=True)
class Outputs:
    """The files that were asked for, None for those that were not. run: a folder of run files."""

    report: Path | None
    junit: Path | None
    summary: Path | None
    run: Path | None
    qrels: Path | None

    def write(
        self, session: Session, workspace: Workspace, found: BenchReport, made: dict[str, Any], speed: Speed | None
    ) -> None:
        """Write them; `made` is what is known of how the student was made. Raises VdistillError where that fails."""
        from vdistill.bench import runs
        from vdistill.bench.report import outputs
        from vdistill.bench.report.page import Around, write_report
        from vdistill.bench.trec_output import write_qrels, write_runs
        from vdistill.database import Database

        if self.report is not None:
            with Database.open(workspace.database, write=False) as database:
                audits = list(database.settings("audit/").values())
            facts = {name: made[name] for name in ("backbone", "judgments") if name in made} | made.get("settings", {})
            around = Around(
                facts,
                speed,
                history=made.get("history", []),
                strengths=made.get("strengths", []),
                strength=made.get("strength", 1.0),
                runs=runs.history(workspace),
                audits=audits,
            )
            write_report(found, self.report, around)
            session.say(f"report: {self.report.resolve()}")
        if self.run is not None:
            for path in write_runs(found, self.run):
                session.say(f"run file: {path}")
        if self.qrels is not None:
            write_qrels(found, self.qrels)
        if self.junit is not None:
            outputs.write_junit(found, self.junit)
        if self.summary is not None:
            outputs.append_summary(found, self.summary)


def show(found: BenchReport, speed: Speed | None, agreement: Sequence[dict[str, Any]] = ()) -> None:
    """The tables and the verdict. agreement: of people, as `evaluation.agreement.of_people` gives it."""
    from vdistill.bench.report.table import (
        bench_table,
        largest_changes_table,
        rerank_table,
        robustness_table,
        slice_table,
    )

    console.result(bench_table(found))
    _show_fit(found)
    if found.reranked is not None:
        console.result(rerank_table(found))
    for one in found.slices:
        if len(one.groups) > 1:
            console.result(slice_table(one))
    if found.robustness:
        console.result(robustness_table(found))
    for table in largest_changes_table(found):
        console.result(table)
    if agreement:
        from vdistill.cli.agreement_table import agreement_table

        console.result(agreement_table(agreement))
    console.result(found.verdict)
    if speed is not None:
        console.facts(f"speed of the {speed.model}", speed.facts(), as_json=False)


def _show_fit(found: BenchReport) -> None:
    from vdistill.bench.report.fit_table import fit_table

    if found.fit is not None:
        console.result(fit_table(found.fit))


def show_history(workspace: Workspace, *, as_json: bool) -> None:
    """The runs so far. Raises VdistillError where there is none."""
    from vdistill.bench import runs
    from vdistill.bench.report.table import history_tables

    found = runs.trend(runs.history(workspace))
    if not found:
        raise VdistillError("no run of bench is kept yet", hint="run `vdistill bench`")
    if as_json:
        console.document({"runs": found})
        return
    for table in history_tables(found):
        console.result(table)
