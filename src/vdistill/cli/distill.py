"""`vdistill distill`."""

from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vdistill.cli import console
from vdistill.cli.config import Meaning
from vdistill.cli.cycles import Cycles, show
from vdistill.cli.session import BackboneOption, JsonOption, Session, command, pick_backbone
from vdistill.distill.settings import DistillSettings
from vdistill.errors import GateError, VdistillError
from vdistill.workspace import Workspace

if TYPE_CHECKING:
    from vdistill.distill.run import DistillReport


class Loss(str, Enum):
    """What the student minimises."""

    bradley_terry = "bradley-terry"
    listwise = "listwise"


DEFAULTS = DistillSettings()
LOSS = Loss(DEFAULTS.loss)


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "distill")(distill)


def distill(
    session: Session,
    backbone: BackboneOption = None,
    train_layers: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="N", show_default="all", help="Blocks to train, from the last; 0: the projection alone."
        ),
    ] = DEFAULTS.train_layers,
    rank: Annotated[int, typer.Option(min=1, metavar="N", help="LoRA rank.")] = DEFAULTS.rank,
    epochs: Annotated[int, typer.Option(min=1, metavar="N", help="Maximum passes over the data.")] = DEFAULTS.epochs,
    batch_images: Annotated[int, typer.Option(min=2, metavar="N", help="Images per step.")] = DEFAULTS.batch_images,
    lr: Annotated[float, typer.Option(min=0, metavar="X", help="Peak learning rate.")] = DEFAULTS.lr,
    loss: Annotated[Loss, typer.Option(metavar="NAME", help="listwise, or bradley-terry (over pairs).")] = LOSS,
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda, mps.")] = "auto",
    precision: Annotated[
        str, typer.Option(metavar="NAME", help="auto, fp32, bf16 (where the machine has it).")
    ] = "auto",
    seed: Annotated[int, typer.Option(metavar="N", help="Random seed.")] = DEFAULTS.seed,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do not resume an interrupted training.")] = False,
    cycles: Annotated[
        int, typer.Option(min=1, metavar="N", help="Label and distill N times; each student guides the next.")
    ] = 1,
    merge: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Instead: write the student as a standard checkpoint.")
    ] = None,
    as_json: JsonOption = False,
    alpha: Annotated[
        float | None, typer.Option(min=0, help="LoRA scale.", show_default="2 × rank", hidden=True)
    ] = DEFAULTS.alpha,
    dropout: Annotated[
        float, typer.Option(min=0, max=0.99, help="Dropout of the adapter's inputs.", hidden=True)
    ] = DEFAULTS.dropout,
    dora: Annotated[bool, typer.Option("--dora", help="Weight-decomposed adapter.", hidden=True)] = DEFAULTS.dora,
    rslora: Annotated[bool, typer.Option("--rslora", help="Rank-stabilised scale.", hidden=True)] = DEFAULTS.rslora,
    trunk_cache: Annotated[
        float, typer.Option(min=0, help="GiB on disk for the output of the frozen layers.", hidden=True)
    ] = 8.0,
    head: Annotated[
        float,
        typer.Option(min=0.01, max=1, help="Weight of a choice in a ranking, relative to the one above.", hidden=True),
    ] = DEFAULTS.head,
    step_memory: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="GiB that the images of a step may keep for the backward pass; beyond that they are encoded in parts.",
            show_default="half of what is free",
            hidden=True,
        ),
    ] = None,
    accumulate: Annotated[
        int, typer.Option(min=1, help="Gradient accumulation steps.", hidden=True)
    ] = DEFAULTS.accumulate,
    temperature: Annotated[
        float, typer.Option(min=0.001, help="Temperature of the student's cosines in the loss.", hidden=True)
    ] = DEFAULTS.temperature,
    retention: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Weight of retaining what the backbone knew.",
            show_default="chosen by validation",
            hidden=True,
        ),
    ] = DEFAULTS.retention,
    validation: Annotated[
        float, typer.Option(min=0, max=0.5, help="Share of training items and queries to validate with.", hidden=True)
    ] = DEFAULTS.validation,
    patience: Annotated[
        int,
        typer.Option(
            min=0, help="Stop after this many epochs in a row that are not worth keeping; 0: never.", hidden=True
        ),
    ] = DEFAULTS.patience,
    refit: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Further epochs at the end on all judgments, those of validation too, as a share of those before.",
            hidden=True,
        ),
    ] = DEFAULTS.refit,
    track: Annotated[
        str | None,
        typer.Option(help="Also log to tensorboard, wandb, … (one of accelerate's trackers).", hidden=True),
    ] = None,
    keep_anyway: Annotated[
        bool,
        typer.Option("--keep-anyway", help="Publish the student even if it is worse than its backbone.", hidden=True),
    ] = False,
    teacher: Annotated[
        str | None,
        Meaning.TEACHER,
        typer.Option(help="Teacher of the cycles.", show_default="as for label", hidden=True),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(help="Endpoint of that teacher.", show_default="as for label", hidden=True),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(min=1, help="Maximum teacher calls of all cycles.", show_default="as for one label", hidden=True),
    ] = None,
) -> None:
    """Train the student on the teacher's judgments. Further options: docs/cli.md."""
    if merge is not None:
        _merge(session.require(), merge, as_json)
        return
    workspace = session.create() if cycles > 1 else session.require()
    if cycles == 1 and session.typed & {"teacher", "endpoint", "budget"}:  # from elsewhere they are meant for label
        raise typer.BadParameter("goes with --cycles 2 or more", param_hint="--teacher, --endpoint, --budget")
    source = pick_backbone(workspace, backbone)

    from vdistill.distill import distributed as processes
    from vdistill.distill.run import DistillReport, Where
    from vdistill.distill.run import distill as run
    from vdistill.encoders.feature_cache import GIB

    settings = DistillSettings(
        loss=loss.value,
        rank=rank,
        alpha=alpha,
        dropout=dropout,
        dora=dora,
        rslora=rslora,
        train_layers=train_layers,
        head=head,
        epochs=epochs,
        batch_images=batch_images,
        accumulate=accumulate,
        lr=lr,
        temperature=temperature,
        retention=retention,
        validation=validation,
        patience=patience,
        refit=refit,
        seed=seed,
    )
    ours, place = processes.join(device)
    where = Where(source, place, precision, ours, trunk_cache * GIB, track, step_memory and step_memory * GIB)

    def once() -> DistillReport:
        with console.progress(session.quiet or not ours.leads) as update:
            return run(
                workspace,
                where,
                settings,
                fresh=fresh,
                say=session.say if ours.leads else lambda _: None,
                advance=lambda at: update(at.step, at.steps, at.describe()),
                keep_anyway=keep_anyway,
            )

    if cycles > 1:
        if ours.size > 1:
            raise VdistillError("cycles run in one process", hint="alternate `vdistill label` and `distill` yourself")
        turns = Cycles(cycles, teacher, endpoint, budget, {"backbone": source, **asdict(settings)})
        report, found = turns.run(session, once, fresh=fresh)
        _show(report, found, as_json)
        _object(report)
        return
    report = once()
    processes.leave()
    if ours.leads:
        _show(report, [], as_json)
        _object(report)


def _show(report: "DistillReport", found: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        console.document(report.to_json() | ({"cycles": found} if found else {}))
        return
    from vdistill.evaluation.metrics_table import metrics_table

    console.result(f"student of {report.backbone}: {report.trainable_parameters:,} parameters trained, "
                   f"{report.steps} steps, {report.seconds:.0f} s")  # fmt: skip
    if found:
        show(found)
    elif report.heldout:
        console.result(metrics_table(report.heldout, title="held out: unseen queries on unseen pictures"))
    if report.published:
        console.result(f"adapter: {report.adapter}")


def _object(report: "DistillReport") -> None:
    """Exit 3 where the student was not published."""
    if not report.published:
        raise GateError(
            f"{report.objection}: not published",
            hint="the student of before stays, if there was one; try a smaller --lr or more judgments, or publish this "
            "one all the same: the same command with --keep-anyway",
        )


def _merge(workspace: Workspace, folder: Path, as_json: bool) -> None:
    from vdistill.distill.merge import write

    write(workspace, folder)
    if as_json:
        console.document({"merged": str(folder)})
    else:
        console.result(f"the student as a standard checkpoint: {folder}")
