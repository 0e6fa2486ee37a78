"""`vdistill bench`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vdistill.cli import console
from vdistill.cli.session import BackboneOption, JsonOption, Session, command
from vdistill.errors import GateError, VdistillError

if TYPE_CHECKING:
    from vdistill.bench.gates import Gate
    from vdistill.workspace import Workspace


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "bench")(bench)


def bench(
    session: Session,
    qrels: Annotated[Path | None, typer.Option(help="Judge by this TREC qrels file instead of the teacher.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write a self-contained page.")] = None,
    fail_under: Annotated[
        list[str] | None, typer.Option(help="METRIC=VALUE the student must reach, else exit 3. Repeatable.")
    ] = None,
    speed: Annotated[bool, typer.Option("--speed", help="Measure query latency and size on this machine too.")] = False,
    backbone: BackboneOption = None,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Measure backbone, student and teacher on held-out queries and pictures."""
    gates = _gates(fail_under or [])
    workspace = session.require()
    from vdistill.bench import evaluate
    from vdistill.bench.report import write_report
    from vdistill.bench.speed import measure
    from vdistill.bench.table import bench_table
    from vdistill.cli.fresh import open_searcher
    from vdistill.cli.session import pick_backbone
    from vdistill.database import Database

    source = pick_backbone(workspace, backbone)
    models = ["backbone", "student"] if workspace.student.is_dir() else ["backbone"]
    with Database.open(workspace.database, write=False) as database:
        _check_judgments(database, qrels)
        searchers = {model: open_searcher(session, workspace, model, source) for model in models}
        found = evaluate.bench(searchers, database, qrels, gates=gates, seed=seed)
    for note in found.notes:
        session.say(note)
    speeds = measure(searchers[models[-1]], workspace.root, found.heldout.queries) if speed else None
    if report is not None:
        write_report(found, report, _facts(workspace, source), speeds)
        session.say(f"report: {report.resolve()}")
    if as_json:
        console.document(found.to_json() | ({} if speeds is None else {"speed": speeds.to_json()}))
    else:
        console.result(bench_table(found))
        console.result(found.verdict)
        if speeds is not None:
            from vdistill.cli.tables import facts_table

            console.result(facts_table("speed", speeds.to_json()))
    if found.failed:
        raise GateError("; ".join(map(str, found.failed)), hint="a gate of --fail-under was not met")


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


def _facts(workspace: "Workspace", backbone: str) -> dict[str, Any]:
    """What the page says of how the student was made."""
    from vdistill.student import read_info

    info = read_info(workspace)
    facts: dict[str, Any] = {"backbone": backbone}
    if info is not None:
        facts |= {"judgments": info.facts.get("judgments"), **info.facts.get("settings", {})}
    return facts
