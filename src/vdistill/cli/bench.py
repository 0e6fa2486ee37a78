"""`vdistill bench`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vdistill.cli import console
from vdistill.cli.config import Meaning
from vdistill.cli.session import BackboneOption, JsonOption, Session, command, pick_backbone
from vdistill.errors import GateError, VdistillError

if TYPE_CHECKING:
    from vdistill.bench.gates import Gate
    from vdistill.bench.results import BenchReport
    from vdistill.bench.speed.measure import Speed
    from vdistill.query.search import Searcher
    from vdistill.workspace import Workspace

GATE, OUTPUT = "Gate", "Output"


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "bench")(bench)


def bench(
    session: Session,
    qrels: Annotated[Path | None, typer.Option(help="Judge by this TREC qrels file instead of the teacher.")] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            help="The teacher to judge by, of several that judged held-out queries.",
            show_default="the one with most judgments",
        ),
    ] = None,
    against: Annotated[
        list[str] | None,
        Meaning.PATH_OR_NAME,
        typer.Option(help="Another dual encoder, hub id or folder, in the same table. Repeatable.", show_default=False),
    ] = None,
    slice_: Annotated[
        list[str] | None,
        typer.Option("--slice", help="Metadata column to group the queries by. Repeatable.", show_default=False),
    ] = None,
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Reword the queries and spoil the pictures, and measure again.")
    ] = False,
    speed: Annotated[
        bool, typer.Option("--speed", help="Measure embedding, indexing, search, memory and disk on this machine too.")
    ] = False,
    backbone: BackboneOption = None,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
    fail_under: Annotated[
        list[str] | None,
        typer.Option(
            help="METRIC=VALUE, or gain:METRIC=VALUE, that the student must reach, else exit 3. Repeatable.",
            show_default=False,
            rich_help_panel=GATE,
        ),
    ] = None,
    no_worse_than: Annotated[
        str | None,
        Meaning.PATH_OR_NAME,
        typer.Option(
            help="An earlier run (last, best, an id, a file) that the student must not fall behind, else exit 3. "
            "last and best: of those that met their gates.",
            rich_help_panel=GATE,
        ),
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write a self-contained page.", rich_help_panel=OUTPUT)] = None,
    junit: Annotated[Path | None, typer.Option(help="Write the gates as JUnit XML.", rich_help_panel=OUTPUT)] = None,
    summary: Annotated[
        Path | None,
        typer.Option(help="Add the outcome to this Markdown file, e.g. $GITHUB_STEP_SUMMARY.", rich_help_panel=OUTPUT),
    ] = None,
    history: Annotated[
        bool, typer.Option("--history", help="Show the runs so far, and measure nothing.", rich_help_panel=OUTPUT)
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Measure backbone, student and teacher on held-out queries and pictures."""
    gates = _gates(fail_under or [])
    workspace = session.require()
    if history:
        _history(workspace, as_json)
        return
    from vdistill.bench import runs
    from vdistill.bench.gates import no_worse
    from vdistill.encoders.student import read_info, require_same_holdout

    if no_worse_than is not None:
        runs.pick(workspace, no_worse_than)  # that there is one at all, before any work is done
    if info := read_info(workspace):
        require_same_holdout(workspace, info)
    source = pick_backbone(workspace, backbone)
    found, searchers = _measured(session, workspace, source, qrels, judge, against or [], gates, seed, slice_ or [])
    if robustness:
        found = _with_robustness(found, searchers)
    if no_worse_than is not None:  # by the same judge, who is known now
        earlier = runs.pick(workspace, no_worse_than, found.held_out)
        found = replace(found, gates=(*found.gates, *no_worse(found, earlier)))
    made_from = (info.adapter_sha256, int(info.facts.get("judgments", 0))) if info else ("", 0)
    kept = runs.keep(workspace, found, *made_from, passed=not found.failed)
    speeds = _speeds(list(searchers.values())[-1], workspace, source, found) if speed else None
    facts = {"backbone": source} | (info.facts if info else {})
    _write(session, workspace, facts, found, speeds, report, junit, summary)
    if as_json:
        console.document(found.to_json() | {"run": kept.id} | ({} if speeds is None else {"speed": speeds.to_json()}))
    else:
        _show(found, speeds)
        session.say(f"run {kept.id}")
    if found.failed:
        raise GateError("; ".join(map(str, found.failed)), hint="a gate was not met")


def _measured(
    session: Session, workspace: "Workspace", source: str, qrels: Path | None, judge: str | None, against: list[str],
    gates: "tuple[Gate, ...]", seed: int, columns: list[str],
) -> "tuple[BenchReport, dict[str, Searcher]]":  # fmt: skip
    """The report, and the searchers of the backbone and, where there is one, the student."""
    from vdistill.bench import evaluate
    from vdistill.bench.baselines import TEXT_SEARCH, Against, labels
    from vdistill.bench.graded import MODELS, Embedded
    from vdistill.cli.fresh import open_searchers
    from vdistill.database import Database

    names = ["backbone", "student"] if workspace.student.is_dir() else ["backbone"]
    with Database.open(workspace.database, write=False) as database:
        _check_judgments(database, qrels)
        searchers = open_searchers(session, workspace, names, source)
        loaded = [Against.load(source, searchers["backbone"], workspace.cache) for source in against]
        others = dict(zip(labels(against, (*MODELS, TEXT_SEARCH)), loaded, strict=True))
        models: dict[str, Embedded] = {**searchers, **others}
        found = evaluate.bench(models, database, qrels, gates=gates, seed=seed, columns=columns, judge=judge)
    for note in found.notes:
        session.say(note)
    return found, searchers


def _with_robustness(found: "BenchReport", searchers: "dict[str, Searcher]") -> "BenchReport":
    from vdistill.bench.robustness import robustness

    return replace(found, robustness=tuple(robustness(found.held_out, searchers, found.values, found.seed)))


def _speeds(searcher: "Searcher", workspace: "Workspace", backbone: str, found: "BenchReport") -> "Speed":
    from vdistill.bench.speed.measure import measure
    from vdistill.encoders.student import open_model

    encoder = open_model(workspace, searcher.model, backbone)
    return measure(searcher, encoder, workspace.root, found.held_out.queries)


def _write(
    session: Session, workspace: "Workspace", made: dict[str, Any], found: "BenchReport", speeds: "Speed | None",
    report: Path | None, junit: Path | None, summary: Path | None,
) -> None:  # fmt: skip
    """The files that were asked for; `made` is what is known of how the student was made."""
    from vdistill.bench import runs
    from vdistill.bench.report import outputs
    from vdistill.bench.report.page import Around, write_report
    from vdistill.database import Database

    if report is not None:
        with Database.open(workspace.database, write=False) as database:
            audits = list(database.settings("audit/").values())
        facts = {name: made[name] for name in ("backbone", "judgments") if name in made} | made.get("settings", {})
        write_report(found, report, Around(facts, speeds, made.get("history", []), runs.history(workspace), audits))
        session.say(f"report: {report.resolve()}")
    if junit is not None:
        outputs.write_junit(found, junit)
    if summary is not None:
        outputs.append_summary(found, summary)


def _show(found: "BenchReport", speeds: "Speed | None") -> None:
    from vdistill.bench.report.table import bench_table, largest_changes_table, robustness_table, slice_table
    from vdistill.cli.tables import facts_table

    console.result(bench_table(found))
    for one in found.slices:
        if len(one.groups) > 1:
            console.result(slice_table(one))
    if found.robustness:
        console.result(robustness_table(found))
    for table in largest_changes_table(found):
        console.result(table)
    console.result(found.verdict)
    if speeds is not None:
        console.result(facts_table(f"speed of the {speeds.model}", speeds.facts()))


def _history(workspace: "Workspace", as_json: bool) -> None:
    from vdistill.bench import runs
    from vdistill.bench.report.table import history_tables

    found = runs.trend(runs.history(workspace))
    if not found:
        raise VdistillError("no run of bench is kept yet", hint="run `vdistill bench`")
    if as_json:
        console.document({"runs": found})
    else:
        for table in history_tables(found):
            console.result(table)


def _gates(texts: list[str]) -> "tuple[Gate, ...]":
    """The gates, before any work is done; a mistake in one is wrong usage."""
    from vdistill.bench.gates import parse_gates

    try:
        return parse_gates(texts)
    except VdistillError as error:
        raise typer.BadParameter(f"{error.message} ({error.hint})") from error


def _check_judgments(database: Any, qrels: Path | None) -> None:
    """Do not embed a catalog only to find that there is nothing to judge by."""
    if qrels is None and not database.judgments("heldout"):
        raise VdistillError(
            "no held-out judgments to measure by",
            hint="`vdistill label` judges held-out queries too; or judge by a TREC file: --qrels FILE",
        )
