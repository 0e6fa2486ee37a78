"""`vdistill bench`."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vdistill.cli import console
from vdistill.cli.config import Meaning
from vdistill.cli.session import BackboneOption, JsonOption, Session, pick_backbone
from vdistill.errors import GateError, VdistillError

if TYPE_CHECKING:
    from vdistill.bench.gates import Gate
    from vdistill.bench.results import BenchReport
    from vdistill.bench.speed.measure import Speed
    from vdistill.query.search import Searcher
    from vdistill.workspace import Workspace

_gate = partial(typer.Option, rich_help_panel="Gate")
_output = partial(typer.Option, rich_help_panel="Output")


@dataclass(frozen=True, kw_only=True)
class BenchCommand:
    """Measure backbone, student and teacher on held-out queries and images."""

    qrels: Annotated[Path | None, typer.Option(help="Judge by this TREC qrels file instead of the teacher.")] = None
    judge: Annotated[
        str | None,
        typer.Option(
            help="The teacher to judge by, of several that judged held-out queries.",
            show_default="the one with most judgments",
        ),
    ] = None
    against: Annotated[
        list[str] | None,
        Meaning.PATH_OR_NAME,
        typer.Option(help="Another dual encoder, hub id or folder, in the same table. Repeatable.", show_default=False),
    ] = None
    slice_: Annotated[
        list[str] | None,
        typer.Option("--slice", help="Metadata column to group the queries by. Repeatable.", show_default=False),
    ] = None
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Measure again with reworded queries and corrupted images.")
    ] = False
    speed: Annotated[
        bool, typer.Option("--speed", help="Measure embedding, indexing, search, memory and disk on this machine too.")
    ] = False
    backbone: BackboneOption = None
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0
    fail_under: Annotated[
        list[str] | None,
        _gate(
            help="METRIC=VALUE, or gain:METRIC=VALUE, that the student must reach, else exit 3. Repeatable.",
            show_default=False,
        ),
    ] = None
    no_worse_than: Annotated[
        str | None,
        Meaning.PATH_OR_NAME,
        _gate(
            help="An earlier run (last, best, an id, a file) that the student must not fall behind, else exit 3. "
            "last and best: of those that met their gates."
        ),
    ] = None
    report: Annotated[Path | None, _output(help="Write a self-contained HTML page.")] = None
    junit: Annotated[Path | None, _output(help="Write the gates as JUnit XML.")] = None
    summary: Annotated[
        Path | None, _output(help="Add the outcome to this Markdown file, e.g. $GITHUB_STEP_SUMMARY.")
    ] = None
    history: Annotated[bool, _output("--history", help="Show the runs so far, and measure nothing.")] = False
    as_json: JsonOption = False

    def execute(self, session: Session) -> None:
        """Measure, keep the run, and check the gates."""
        gates = _gates(self.fail_under or [])
        workspace = session.require()
        if self.history:
            _show_history(workspace, as_json=self.as_json)
            return
        from vdistill.bench import runs
        from vdistill.bench.gates import no_worse
        from vdistill.encoders.student import open_item_head, read_info, require_same_holdout

        if self.no_worse_than is not None:
            runs.pick(workspace, self.no_worse_than)  # that there is one at all, before any work is done
        if info := read_info(workspace):
            require_same_holdout(workspace, info)
        backbone = pick_backbone(workspace, self.backbone)
        found, searchers = self._measured(session, workspace, backbone, gates)
        if self.robustness:
            from vdistill.bench.robustness import robustness

            changed = robustness(found.held_out, searchers, found.values, found.seed, open_item_head(workspace))
            found = replace(found, robustness=tuple(changed))
        if self.no_worse_than is not None:  # by the same judge, who is known now
            earlier = runs.pick(workspace, self.no_worse_than, found.held_out)
            found = replace(found, gates=(*found.gates, *no_worse(found, earlier)))
        made_from = (info.sha256, int(info.facts.get("judgments", 0))) if info else ("", 0)
        kept = runs.keep(workspace, found, *made_from, passed=not found.failed)
        speed = _speed(list(searchers.values())[-1], workspace, backbone, found) if self.speed else None
        self._write(session, workspace, {"backbone": backbone} | (info.facts if info else {}), found, speed)
        if self.as_json:
            console.document(found.to_json() | {"run": kept.id} | ({} if speed is None else {"speed": speed.to_json()}))
        else:
            _show(found, speed)
            session.say(f"run {kept.id}")
        if found.failed:
            raise GateError("; ".join(map(str, found.failed)), hint="a gate was not met")

    def _measured(
        self, session: Session, workspace: "Workspace", backbone: str, gates: "tuple[Gate, ...]"
    ) -> "tuple[BenchReport, dict[str, Searcher]]":
        """The report, and the searchers of the backbone and, where there is one, the student."""
        from vdistill.bench import evaluate
        from vdistill.bench.baselines import TEXT_SEARCH, Against, labels
        from vdistill.bench.graded import MODELS, Embedded
        from vdistill.bench.parts import parts
        from vdistill.cli.fresh import open_searchers
        from vdistill.database import Database
        from vdistill.encoders.student import open_item_head

        names = ["backbone", "student"] if workspace.student.is_dir() else ["backbone"]
        against = self.against or []
        with Database.open(workspace.database, write=False) as database:
            if self.qrels is None and not database.judgments("heldout"):  # before a catalog is embedded in vain
                raise VdistillError(
                    "no held-out judgments to measure by",
                    hint="`vdistill label` judges held-out queries too; or judge by a TREC file: --qrels FILE",
                )
            searchers = open_searchers(session, workspace, names, backbone)
            loaded = [Against.load(source, searchers["backbone"], workspace.cache) for source in against]
            others: dict[str, Embedded] = dict(zip(labels(against, (*MODELS, TEXT_SEARCH)), loaded, strict=True))
            if "student" in searchers and (head := open_item_head(workspace)):
                others |= parts(searchers["student"], head, workspace.cache)
            models: dict[str, Embedded] = {**searchers, **others}
            found = evaluate.bench(
                models, database, self.qrels, gates=gates, seed=self.seed, columns=self.slice_ or [], judge=self.judge
            )
        for note in found.notes:
            session.say(note)
        return found, searchers

    def _write(
        self, session: Session, workspace: "Workspace", made: dict[str, Any], found: "BenchReport",
        speed: "Speed | None",
    ) -> None:  # fmt: skip
        """The files that were asked for; `made` is what is known of how the student was made."""
        from vdistill.bench import runs
        from vdistill.bench.report import outputs
        from vdistill.bench.report.page import Around, write_report
        from vdistill.database import Database

        if self.report is not None:
            with Database.open(workspace.database, write=False) as database:
                audits = list(database.settings("audit/").values())
            facts = {name: made[name] for name in ("backbone", "judgments") if name in made} | made.get("settings", {})
            around = Around(facts, speed, made.get("history", []), runs.history(workspace), audits)
            write_report(found, self.report, around)
            session.say(f"report: {self.report.resolve()}")
        if self.junit is not None:
            outputs.write_junit(found, self.junit)
        if self.summary is not None:
            outputs.append_summary(found, self.summary)


def _gates(texts: list[str]) -> "tuple[Gate, ...]":
    """The gates, before any work is done; a mistake in one is wrong usage."""
    from vdistill.bench.gates import parse_gates

    try:
        return parse_gates(texts)
    except VdistillError as error:
        raise typer.BadParameter(f"{error.message} ({error.hint})") from error


def _speed(searcher: "Searcher", workspace: "Workspace", backbone: str, found: "BenchReport") -> "Speed":
    from vdistill.bench.speed.measure import measure
    from vdistill.encoders.student import open_model

    encoder = open_model(workspace, searcher.model, backbone)
    return measure(searcher, encoder, workspace.root, found.held_out.queries)


def _show(found: "BenchReport", speed: "Speed | None") -> None:
    from vdistill.bench.report.table import bench_table, largest_changes_table, robustness_table, slice_table

    console.result(bench_table(found))
    for one in found.slices:
        if len(one.groups) > 1:
            console.result(slice_table(one))
    if found.robustness:
        console.result(robustness_table(found))
    for table in largest_changes_table(found):
        console.result(table)
    console.result(found.verdict)
    if speed is not None:
        console.facts(f"speed of the {speed.model}", speed.facts(), as_json=False)


def _show_history(workspace: "Workspace", *, as_json: bool) -> None:
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
