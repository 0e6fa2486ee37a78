"""`vdistill distill`."""

import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vdistill.cli import console, parts
from vdistill.cli.command import configured
from vdistill.cli.config import Meaning
from vdistill.cli.distill_outputs import require_published, show
from vdistill.cli.session import BackboneOption, JsonOption, Session, pick_backbone
from vdistill.cli.teacher_names import flags
from vdistill.distill.settings import DistillSettings
from vdistill.errors import VdistillError
from vdistill.workspace import Workspace

if TYPE_CHECKING:
    from vdistill.cli.label import LabelCommand
    from vdistill.distill.cycles import Share
    from vdistill.distill.distributed import Processes
    from vdistill.distill.job import Where
    from vdistill.distill.run import DistillReport
    from vdistill.label.run import LabelReport

DEFAULTS = DistillSettings()
STRONGEST = 2.0
OF_CYCLES = ("teacher", "endpoint", "budget")


def _rate(value: Any) -> float | Literal["auto"]:
    """A learning rate: a number from 0, or auto."""
    if value == "auto":
        return "auto"
    try:
        rate = float(value)
    except ValueError:
        rate = -1.0
    if not 0 <= rate < math.inf:
        raise typer.BadParameter(f"{value!r} is neither a number from 0 nor auto")
    return rate


_hidden = partial(typer.Option, hidden=True)  # from --help; docs/cli.md lists them


@dataclass(frozen=True, kw_only=True)
class DistillCommand:
    """Train the student on the teacher's judgments. Further options: docs/cli.md."""

    backbone: BackboneOption = None
    train_layers: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="N", show_default="all", help="Blocks to train, from the last; 0: the projection alone."
        ),
    ] = DEFAULTS.train_layers
    rank: Annotated[int, typer.Option(min=1, metavar="N", help="LoRA rank.")] = DEFAULTS.rank
    epochs: Annotated[int, typer.Option(min=1, metavar="N", help="Passes over the data.")] = DEFAULTS.epochs
    batch_images: Annotated[int, typer.Option(min=2, metavar="N", help="Images per step.")] = DEFAULTS.batch_images
    lr: Annotated[Any, typer.Option(parser=_rate, metavar="X", help="Peak learning rate, or auto.")] = DEFAULTS.lr
    loss: Annotated[
        Literal["bradley-terry", "listwise"],
        typer.Option(metavar="NAME", help="listwise, or bradley-terry (over pairs)."),
    ] = DEFAULTS.loss
    device: Annotated[str, typer.Option(metavar="NAME", help="auto, cpu, cuda, mps.")] = "auto"
    precision: Annotated[str, typer.Option(metavar="NAME", help="auto, fp32 or bf16.")] = "auto"
    fields: Annotated[
        str,
        typer.Option(metavar="LIST", help="In an item's vector: auto, image, or image,title,…"),
    ] = DEFAULTS.fields
    seed: Annotated[int, typer.Option(metavar="N", help="Random seed.")] = DEFAULTS.seed
    seeds: Annotated[int, typer.Option(min=1, metavar="N", help="Train N times, publish the best.")] = DEFAULTS.seeds
    fresh: Annotated[bool, typer.Option("--fresh", help="Do not resume an interrupted training.")] = False
    cycles: Annotated[int, typer.Option(min=1, metavar="N", help="Label and distill N times in turns.")] = 1
    merge: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Instead: write the student as a standard checkpoint.")
    ] = None
    strength: Annotated[float | None, typer.Option(metavar="X", help="Instead: scale the adapter.")] = None
    as_json: JsonOption = False
    alpha: Annotated[float | None, _hidden(min=0, help="LoRA scale.", show_default="2 × rank")] = DEFAULTS.alpha
    dropout: Annotated[float, _hidden(min=0, max=0.99, help="Dropout of the adapter's inputs.")] = DEFAULTS.dropout
    dora: Annotated[bool, _hidden("--dora", help="Weight-decomposed adapter.")] = DEFAULTS.dora
    rslora: Annotated[bool, _hidden("--rslora", help="Rank-stabilised scale.")] = DEFAULTS.rslora
    trunk_cache: Annotated[float, _hidden(min=0, help="GiB on disk for the output of the frozen layers.")] = 8.0
    head: Annotated[
        float, _hidden(min=0.01, max=1, help="Weight of a choice in a ranking, relative to the one above.")
    ] = DEFAULTS.head
    step_memory: Annotated[
        float | None,
        _hidden(
            min=0,
            help="GiB that the images of a step may keep for the backward pass; beyond that they are encoded in parts.",
            show_default="half of what is free",
        ),
    ] = None
    accumulate: Annotated[int, _hidden(min=1, help="Gradient accumulation steps.")] = DEFAULTS.accumulate
    temperature: Annotated[float, _hidden(min=0.001, help="Temperature of the student's cosines in the loss.")] = (
        DEFAULTS.temperature
    )
    reader: Annotated[float, _hidden(min=0, help="Weight of what the items' texts teach.")] = DEFAULTS.reader
    retention: Annotated[
        float | None,
        _hidden(min=0, help="Weight of retaining what the backbone knew.", show_default="chosen by validation"),
    ] = DEFAULTS.retention
    validation: Annotated[
        float, _hidden(min=0, max=0.5, help="Share of training items and queries to validate with.")
    ] = DEFAULTS.validation
    patience: Annotated[
        int, _hidden(min=0, help="Stop after this many epochs in a row that are not worth keeping; 0: never.")
    ] = DEFAULTS.patience
    refit: Annotated[
        float,
        _hidden(
            min=0,
            max=1,
            help="Further epochs at the end on all judgments, those of validation too, as a share of those before.",
        ),
    ] = DEFAULTS.refit
    track: Annotated[str | None, _hidden(help="Also log to tensorboard, wandb, …: a tracker of accelerate.")] = None
    keep_anyway: Annotated[
        bool, _hidden("--keep-anyway", help="Publish the student even if it is worse than its backbone.")
    ] = False
    node_catalog: Annotated[
        str | None,
        Meaning.PATH,
        _hidden(help="Another node's copy of the catalog.", show_default="as its workspace or the first node has it"),
    ] = None
    teacher: Annotated[
        list[str] | None,
        Meaning.TEACHER,
        _hidden(help="Teacher of the cycles; repeatable.", show_default="as for label"),
    ] = None
    endpoint: Annotated[
        list[str] | None, _hidden(help="Endpoint of that teacher.", metavar="URL", show_default="as for label")
    ] = None
    budget: Annotated[
        int | None, _hidden(min=1, help="Maximum teacher calls of all cycles.", show_default="as for one label")
    ] = None

    def execute(self, session: Session) -> None:
        """Train, alternate with labelling, or merge."""
        if self.merge is not None:
            _merge(session.require(), self.merge, as_json=self.as_json)
            return
        if self.strength is not None:
            if not 0 <= self.strength <= STRONGEST:
                raise typer.BadParameter(f"give a number from 0 to {STRONGEST:g}", param_hint="--strength")
            _change_strength(session.require(), self.strength, as_json=self.as_json)
            return
        if self.cycles == 1 and session.typed(*OF_CYCLES):  # from elsewhere they are meant for label
            raise typer.BadParameter("goes with --cycles 2 or more", param_hint="--teacher, --endpoint, --budget")
        if self.cycles == 1 and "WORLD_SIZE" not in os.environ:
            session.require()  # before torch is loaded
        parts.require("torch", "distill")
        found = self._train(session)
        if found is not None:
            show(*found, as_json=self.as_json)
            require_published(found[0])

    def _train(self, session: Session) -> "tuple[DistillReport, list[dict[str, Any]]] | None":
        """Train; what came of it, and of each cycle. None in a process that does not lead."""
        from vdistill.distill import distributed

        processes, device = distributed.join(self.device, _lost)
        with distributed.failures_told(processes):
            if processes.size > 1 and self.cycles > 1:
                raise VdistillError(
                    "cycles run in one process", hint="alternate `vdistill label` and `distill` yourself"
                )
            found = self._lead(session, processes, device) if processes.leads else None
            if found is None:
                self._assist(session, processes, device)
        distributed.leave(processes)
        return found

    def _lead(
        self, session: Session, processes: "Processes", device: str
    ) -> "tuple[DistillReport, list[dict[str, Any]]]":
        """Train, in one process or as the first of several; what came of it, and of each cycle."""
        workspace = session.create() if self.cycles > 1 else session.require()
        session.cache_images()
        backbone = pick_backbone(workspace, self.backbone)
        train = self._training(session, workspace, backbone, processes, device)
        return (train(), []) if self.cycles == 1 else self._alternate(session, workspace, backbone, train)

    def _assist(self, session: Session, processes: "Processes", device: str) -> None:
        """Train with the first process, of which everything comes but the images."""
        from vdistill.distill.nodes import assist

        backbone = pick_backbone(None, self.backbone) if self.backbone else ""
        assist(session.create(), self._where(backbone, processes, device), self.node_catalog, lambda _: None)

    def settings(self) -> DistillSettings:
        """The options that decide the outcome."""
        names = {field.name for field in fields(DistillSettings)}
        return DistillSettings(**{name: value for name, value in vars(self).items() if name in names})

    def _where(self, backbone: str, processes: "Processes", device: str) -> "Where":
        from vdistill.distill.job import Where
        from vdistill.encoders.feature_cache import GIB

        return Where(
            backbone,
            device,
            self.precision,
            processes,
            feature_bytes=self.trunk_cache * GIB,
            tracker=self.track,
            step_bytes=None if self.step_memory is None else self.step_memory * GIB,
        )

    def _training(
        self, session: Session, workspace: Workspace, backbone: str, processes: "Processes", device: str
    ) -> "Callable[[], DistillReport]":
        from vdistill.distill.run import distill

        where = self._where(backbone, processes, device)

        def train() -> "DistillReport":
            with console.progress(session.quiet) as update:
                return distill(
                    workspace,
                    where,
                    self.settings(),
                    fresh=self.fresh,
                    say=session.say,
                    advance=lambda at: update(at.step, at.steps, at.describe()),
                    keep_anyway=self.keep_anyway,
                )

        return train

    def _alternate(
        self, session: Session, workspace: Workspace, backbone: str, train: "Callable[[], DistillReport]"
    ) -> "tuple[DistillReport, list[dict[str, Any]]]":
        """Cycles with `vdistill label` as it is configured."""
        from vdistill.distill.cycles import Cycles, alternate

        command: LabelCommand = configured(session, "label", *flags(self.teacher, self.endpoint))

        def asked(command: "LabelCommand") -> "LabelReport":
            with command.task(session) as task:
                task.set_size(command.images_per_call)
                return task.plan() if command.dry_run else task.label()

        def label(share: "Share") -> "LabelReport":
            guide = "student" if share.guided else command.guide
            return asked(replace(command, budget=share.calls, max_cost=share.max_cost, guide=guide, dry_run=False))

        cycles = Cycles(
            count=self.cycles,
            budget=self.budget,
            max_cost=command.max_cost,
            asked=command.asked(),
            training={"backbone": backbone, **asdict(self.settings())},
            plan=lambda: asked(replace(command, dry_run=True)),
            label=label,
            distill=train,
        )
        return alternate(workspace, cycles, session.say, fresh=self.fresh)


def _lost(error: VdistillError) -> None:
    """End this process, whose training hangs because another one is gone."""
    console.failure(error, debug=False)
    os._exit(1)


def _merge(workspace: Workspace, folder: Path, *, as_json: bool) -> None:
    from vdistill.distill.merge import write
    from vdistill.encoders.student import read_info

    write(workspace, folder)
    info = read_info(workspace)
    if as_json:
        console.document({"merged": str(folder)})
    else:
        console.result(f"the student as a standard checkpoint: {folder}")
        if info and info.item_head_sha256:
            console.result(
                f"its items' vectors also hold {info.facts['fields']['fields'].removeprefix('image,')}: the checkpoint "
                "embeds images alone, without these texts"
            )


def _change_strength(workspace: Workspace, strength: float, *, as_json: bool) -> None:
    from vdistill.distill.strength import change

    before = change(workspace, strength)
    if as_json:
        console.document({"strength": strength, "before": before})
    else:
        console.result(f"the student's strength: {strength:g}, before {before:g}; the next search updates the index")
