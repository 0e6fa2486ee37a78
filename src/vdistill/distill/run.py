"""`distill`: from the judgments in the workspace to a student in it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from vdistill.arrays import Floats
from vdistill.database import Database
from vdistill.distill import publish, verdict
from vdistill.distill.adapter import attach
from vdistill.distill.checkpoint import Checkpoint, judgments_key, training_key
from vdistill.distill.distributed import ALONE, Processes
from vdistill.distill.progress import Progress, Watch
from vdistill.distill.settings import DistillSettings
from vdistill.distill.sources import read
from vdistill.distill.trackers import tracked
from vdistill.distill.train import train
from vdistill.distill.training_data import TowerMaker, held_out_vectors_of, training_data_of
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.feature_cache import FOLDER, GIB, FeatureCache
from vdistill.encoders.frozen_layers import frozen_layers_of
from vdistill.evaluation.metrics import interval
from vdistill.evaluation.test_set import means
from vdistill.images import DECODER
from vdistill.workspace import Workspace


@dataclass(frozen=True, slots=True)
class DistillReport:
    """What came out. The fields are the keys of `distill --json`.

    adapter: where the student lies, this one or where it was not published the one before.  objection: why it should
    not be published.  validation: the mean nDCG@10 on the queries set aside, of the backbone and of the weights kept.
    kept_epoch: whose weights the student has, 0 where none was as good as the backbone.  restarts: after which epoch
    too much was lost at which learning rate.
    """

    backbone: str
    trainable_parameters: int
    steps: int
    seconds: float
    heldout: dict[str, dict[str, float]]
    adapter: str
    published: bool
    objection: str | None
    validation: dict[str, float]
    kept_epoch: int
    restarts: list[dict[str, float]]

    def to_json(self) -> dict[str, Any]:
        """The Contract's document."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Where:
    """The backbone, the machine to train it on, who trains with us, and how much the trunk may keep on disk.

    step_bytes: what the images of a step may keep in memory for the backward pass; None for half of what is free.
    """

    backbone: str
    device: str = "auto"
    precision: str = "auto"
    processes: Processes = ALONE
    feature_bytes: float = 8 * GIB
    tracker: str | None = None
    step_bytes: float | None = None


def distill(
    workspace: Workspace,
    where: Where,
    settings: DistillSettings,
    *,
    fresh: bool,
    say: Callable[[str], None],
    advance: Callable[[Progress], None],
    keep_anyway: bool = False,
) -> DistillReport:
    """Train a student and publish it whole; the one before stays until then.

    One that is worse than its backbone is not published, unless `keep_anyway`; the same call with it goes on from there
    and does not train again. With `fresh`, an interrupted training is not taken up again.
    Raises VdistillError where there is nothing to learn from, or nothing to learn with.
    """
    started = time.monotonic()
    leads = where.processes.leads
    with (
        _alone(workspace, leads),
        tracked(where.tracker if leads else None, workspace.reports, asdict(settings)) as log,
        Database.open(workspace.database, write=leads) as database,
    ):
        sources = read(database, say, workspace.cache)
        encoder = DualEncoder.load(where.backbone, device=where.device, precision=where.precision)
        if where.precision == "bf16" and encoder.precision != "bf16":
            say(f"this {encoder.device.type} has no instructions for bf16: training in float32")
        fingerprint, identity = encoder.fingerprint, encoder.identity if leads else ""
        frozen = frozen_layers_of(encoder, settings.train_layers)
        cache = FeatureCache(workspace.cache / FOLDER, frozen) if frozen else None
        towers = TowerMaker(encoder, cache, where.feature_bytes)
        taught = training_data_of(sources, towers, settings, say, where.processes)
        final = taught.everything or taught
        trainable = attach(encoder, settings)
        checkpoint = Checkpoint(
            workspace.cache / "checkpoint.safetensors",
            training_key(
                asdict(settings),
                fingerprint,
                f"{encoder.precision} {taught.tower.crops} {DECODER}",
                judgments_key(sources.judgments),
                [sources.items[key].title for key in final.calls.items],
            ),
        )
        if fresh and leads:
            checkpoint.remove()
        where.processes.wait()
        done = train(encoder, taught, settings, checkpoint, where.processes, Watch(advance, log, say), where.step_bytes)
        held_out_vectors = held_out_vectors_of(database, sources, towers, say) if leads else None
        before, after = held_out_vectors.both() if held_out_vectors else (None, None)
        against = verdict.objection(done, before, after)
        report = DistillReport(
            backbone=where.backbone,
            trainable_parameters=trainable,
            steps=done.steps,
            seconds=0.0,
            heldout={"backbone": means(before), "student": means(after)} if before and after else {},
            adapter=str(workspace.student),
            published=keep_anyway or against is None,
            objection=against,
            validation=done.validation,
            kept_epoch=done.kept,
            restarts=done.restarts,
        )
        if leads and report.published:
            facts = {
                "backbone": publish.portable(where.backbone),
                "backbone_fingerprint": fingerprint,
                "backbone_identity": identity,
                "layout": encoder.layout,
                "holdout": sources.holdout,
                "seed": settings.seed,
                "settings": asdict(settings),
                "judgments": len(sources.judgments),
                "teachers": sorted({judgment.teacher for judgment in sources.judgments}),
                "data": {"queries": len(final.calls.queries), "items": len(final.calls.items)},
                "heldout": report.heldout,
                "ci95": _intervals(before, after) if before and after else {},
                "history": done.history,
                **{name: getattr(report, name) for name in ("validation", "kept_epoch", "restarts", "objection")},
            }
            publish.student(workspace, encoder, facts)
            checkpoint.remove()
            database.remember("backbone", where.backbone)
        where.processes.wait()
    return replace(report, seconds=round(time.monotonic() - started, 3))


@contextlib.contextmanager
def _alone(workspace: Workspace, leads: bool) -> Iterator[None]:
    if not leads:
        yield
        return
    with workspace.lock("distill"):
        yield


def _intervals(before: dict[str, Floats], after: dict[str, Floats]) -> dict[str, dict[str, tuple[float, float]]]:
    """95 % of each metric of both models, and of their paired difference."""
    sides: dict[str, dict[str, Floats]] = {
        "backbone": before,
        "student": after,
        "student-backbone": {name: after[name] - before[name] for name in before},
    }
    return {
        side: {name: (found.low, found.high) for name, of in values.items() if (found := interval(of)) is not None}
        for side, values in sides.items()
    }
