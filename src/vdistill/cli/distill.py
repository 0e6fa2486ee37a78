"""`vdistill distill`."""

from enum import Enum
from typing import Annotated

import typer

from vdistill.cli import console
from vdistill.cli.session import BackboneOption, JsonOption, Session, command, pick_backbone


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
    loss: Annotated[Loss, typer.Option(help="Pairs of what the teacher saw, or whole lists.")] = Loss.listwise,
    rank: Annotated[int, typer.Option(min=1, help="LoRA rank.")] = 32,
    train_layers: Annotated[
        int | None,
        typer.Option(min=0, help="Blocks to train, from the last; 0 the projection alone.", show_default="all"),
    ] = None,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the judgments.")] = 30,
    batch_images: Annotated[int, typer.Option(min=2, help="Pictures encoded in a step.")] = 128,
    lr: Annotated[float, typer.Option(min=0, help="Peak learning rate.")] = 1e-3,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of all that is drawn.")] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Do not go on with an interrupted training.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Train the student on the teacher's judgments."""
    workspace = session.require()
    source = pick_backbone(workspace, backbone)

    from vdistill.distill.run import Where
    from vdistill.distill.run import distill as run
    from vdistill.distill.settings import DistillSettings

    settings = DistillSettings(
        loss=loss.value,
        rank=rank,
        train_layers=train_layers,
        epochs=epochs,
        batch_images=batch_images,
        lr=lr,
        seed=seed,
    )
    with console.progress(session.quiet) as update:
        report = run(
            workspace,
            Where(source, device, precision),
            settings,
            fresh=fresh,
            say=session.say,
            advance=lambda at: update(at.step, at.steps, f"epoch {at.epoch}  loss {at.loss:.3f}"),
        )
    if as_json:
        console.document(report.to_json())
        return
    from vdistill.metrics_table import metrics_table

    console.result(f"student of {report.backbone}: {report.trainable_parameters:,} parameters trained, "
                   f"{report.steps} steps, {report.seconds:.0f} s")  # fmt: skip
    if report.heldout:
        console.result(metrics_table(report.heldout, title="held out: unseen queries on unseen pictures"))
    console.result(f"adapter: {report.adapter}")
