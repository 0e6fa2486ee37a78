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
from vdistill.errors import GateError, VdistillError
from vdistill.workspace import Workspace

if TYPE_CHECKING:
    from vdistill.distill.run import DistillReport

ADAPTER, TRAINING, CYCLES, INSTEAD = "Adapter", "Training", "Cycles", "Instead"


class Loss(str, Enum):
    """What the student minimises."""

    bradley_terry = "bradley-terry"
    listwise = "listwise"


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "distill")(distill)


def distill(
    session: Session,
    backbone: BackboneOption = None,
    loss: Annotated[
        Loss, typer.Option(help="Pairs of what the teacher saw, or whole lists.", rich_help_panel=TRAINING)
    ] = Loss.listwise,
    rank: Annotated[int, typer.Option(min=1, help="LoRA rank.", rich_help_panel=ADAPTER)] = 32,
    alpha: Annotated[
        float | None, typer.Option(min=0, help="LoRA scale.", show_default="2 × rank", rich_help_panel=ADAPTER)
    ] = None,
    dropout: Annotated[
        float, typer.Option(min=0, max=0.99, help="Of the adapter's inputs.", rich_help_panel=ADAPTER)
    ] = 0.0,
    dora: Annotated[bool, typer.Option("--dora", help="Weight-decomposed adapter.", rich_help_panel=ADAPTER)] = False,
    rslora: Annotated[bool, typer.Option("--rslora", help="Rank-stabilised scale.", rich_help_panel=ADAPTER)] = False,
    train_layers: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Blocks to train, from the last; 0 the projection alone. What lies below is computed once.",
            show_default="all",
            rich_help_panel=ADAPTER,
        ),
    ] = None,
    trunk_cache: Annotated[
        float,
        typer.Option(min=0, help="GiB on disk for what lies below the trained blocks.", rich_help_panel=ADAPTER),
    ] = 8.0,
    head: Annotated[
        float,
        typer.Option(
            min=0.01,
            max=1,
            help="What a choice in a ranking weighs beside the one above it.",
            rich_help_panel=TRAINING,
        ),
    ] = 0.25,
    epochs: Annotated[
        int, typer.Option(min=1, help="Passes over the judgments, at most.", rich_help_panel=TRAINING)
    ] = 30,
    batch_images: Annotated[
        int, typer.Option(min=2, help="Pictures encoded in a step.", rich_help_panel=TRAINING)
    ] = 128,
    step_memory: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="GiB that the images of a step may keep for the backward pass; beyond that they are encoded in parts.",
            show_default="half of what is free",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    accumulate: Annotated[int, typer.Option(min=1, help="Steps to an update.", rich_help_panel=TRAINING)] = 1,
    lr: Annotated[float, typer.Option(min=0, help="Peak learning rate.", rich_help_panel=TRAINING)] = 1e-3,
    temperature: Annotated[
        float, typer.Option(min=0.001, help="Of the student's cosines in the loss.", rich_help_panel=TRAINING)
    ] = 0.08,
    retention: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Weight of holding what the backbone knew.",
            show_default="chosen by validation",
            rich_help_panel=TRAINING,
        ),
    ] = None,
    validation: Annotated[
        float,
        typer.Option(
            min=0, max=0.5, help="Share of training items and queries to validate with.", rich_help_panel=TRAINING
        ),
    ] = 0.1,
    patience: Annotated[
        int,
        typer.Option(
            min=0,
            help="Stop after so many epochs in a row that are not worth keeping; 0: never.",
            rich_help_panel=TRAINING,
        ),
    ] = 10,
    refit: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Epochs on all judgments after that, those of validation too, as a share of those before.",
            rich_help_panel=TRAINING,
        ),
    ] = 0.25,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.", rich_help_panel=TRAINING)] = "auto",
    precision: Annotated[
        str, typer.Option(help="auto, fp32, or bf16 where the machine has it.", rich_help_panel=TRAINING)
    ] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of all that is drawn.", rich_help_panel=TRAINING)] = 0,
    track: Annotated[
        str | None,
        typer.Option(help="Also log to tensorboard, wandb, … (accelerate's trackers).", rich_help_panel=TRAINING),
    ] = None,
    fresh: Annotated[
        bool,
        typer.Option(
            "--fresh",
            help="Do not go on with an interrupted training, or with earlier cycles.",
            rich_help_panel=TRAINING,
        ),
    ] = False,
    keep_anyway: Annotated[
        bool,
        typer.Option(
            "--keep-anyway",
            help="Publish the student even where it is worse than its backbone.",
            rich_help_panel=TRAINING,
        ),
    ] = False,
    cycles: Annotated[
        int,
        typer.Option(
            min=1,
            help="Label and distill so many times, each student guiding what the teacher sees next.",
            rich_help_panel=CYCLES,
        ),
    ] = 1,
    teacher: Annotated[
        str | None,
        Meaning.TEACHER,
        typer.Option(help="Of the cycles.", show_default="as for label", rich_help_panel=CYCLES),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(help="Of the teacher of the cycles.", show_default="as for label", rich_help_panel=CYCLES),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(
            min=1, help="Teacher calls of all cycles.", show_default="as for one label", rich_help_panel=CYCLES
        ),
    ] = None,
    merge: Annotated[
        Path | None,
        typer.Option(
            help="Write the student that is there as a standard checkpoint into this folder.", rich_help_panel=INSTEAD
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Train the student on the teacher's judgments."""
    if merge is not None:
        _merge(session.require(), merge, as_json)
        return
    workspace = session.create() if cycles > 1 else session.require()
    if cycles == 1 and session.typed & {"teacher", "endpoint", "budget"}:  # from elsewhere they are meant for label
        raise typer.BadParameter("goes with --cycles 2 or more", param_hint="--teacher, --endpoint, --budget")
    source = pick_backbone(workspace, backbone)

    from vdistill.distill import distributed as crew
    from vdistill.distill.run import DistillReport, Where
    from vdistill.distill.run import distill as run
    from vdistill.distill.settings import DistillSettings
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
    ours, place = crew.join(device)
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
    crew.leave()
    if ours.leads:
        _show(report, [], as_json)
        _object(report)


def _show(report: "DistillReport", found: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        console.document(report.to_json() | ({"cycles": found} if found else {}))
        return
    from vdistill.evaluation.table import metrics_table

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
