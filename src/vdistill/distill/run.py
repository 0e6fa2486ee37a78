"""`distill` from end to end: from the judgments in the workspace to a student in it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vdistill.database import Database
from vdistill.distill import publish
from vdistill.distill.adapter import attach
from vdistill.distill.callbacks import Callbacks, Progress, tracker
from vdistill.distill.checkpoint import Checkpoint, judgments_key, training_key
from vdistill.distill.distributed import ALONE, Processes
from vdistill.distill.fields import Chosen, Material, choose
from vdistill.distill.held_out import HeldOutMetrics, held_out_metrics, objection
from vdistill.distill.loop import Training
from vdistill.distill.phases import Trained, train
from vdistill.distill.settings import DistillSettings
from vdistill.distill.sources import Say, Sources, read
from vdistill.distill.towers import TowerMaker
from vdistill.distill.training_data import TrainingData, training_data_of
from vdistill.distill.unseen import Unseen
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.feature_cache import FOLDER, GIB, FeatureCache
from vdistill.encoders.frozen_layers import frozen_layers_of
from vdistill.images import DECODER_VERSION
from vdistill.inputs import item_texts
from vdistill.workspace import Workspace


@dataclass(frozen=True, slots=True)
class DistillReport:
    """The result. The fields are the keys of `distill --json`.

    adapter: where the student lies; where this one was not published, the one before.  objection: why it should not be
    published.  validation: the mean nDCG@10 on the queries set aside, of the backbone and of the weights kept.
    kept_epoch: the epoch of the student's weights, 0 where none was as good as the backbone.
    restarts: after which epoch too much was lost at which learning rate.
    fields: what an item's vector is made of, and how the candidates did in validation.
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
    fields: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The document that `--json` prints."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Where:
    """The backbone, and what it is trained on and with.

    feature_bytes: of the output of frozen layers that may be cached on disk.
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
    say: Say,
    advance: Callable[[Progress], None],
    keep_anyway: bool = False,
) -> DistillReport:
    """Train a student and publish it whole; the one before stays until then.

    One that is worse than its backbone is not published, unless `keep_anyway`; the same call with it resumes from there
    and does not train again. With `fresh`, an interrupted training is not resumed.
    Raises VdistillError where there is nothing to learn from, or nothing to learn with.
    """
    started, processes, leads = time.monotonic(), where.processes, where.processes.leads
    with (
        workspace.lock("distill") if leads else contextlib.nullcontext(),
        tracker(where.tracker if leads else None, workspace.reports, asdict(settings)) as log,
        Database.open(workspace.database, write=leads) as database,
    ):
        sources = read(database, say, workspace.cache)
        item_texts.require(settings.fields, [item.metadata for item in sources.items.values()])
        encoder = DualEncoder.load(where.backbone, device=where.device, precision=where.precision)
        if where.precision == "bf16" and encoder.precision != "bf16":
            say(f"this {encoder.device.type} has no instructions for bf16: training in float32")
        backbone = _backbone_facts(where, encoder)
        frozen = frozen_layers_of(encoder, settings.train_layers)
        cache = FeatureCache(workspace.cache / FOLDER, frozen) if frozen else None
        towers = TowerMaker(encoder, cache, where.feature_bytes)
        data = training_data_of(sources, towers, settings, say, processes)
        checkpoint = _checkpoint(workspace, encoder, sources, data, settings)
        trainable = attach(encoder, settings)
        if fresh and leads:
            checkpoint.remove()
        processes.wait()
        unseen = Unseen(workspace.cache / "unseen_vectors.safetensors", checkpoint.key)
        callbacks = Callbacks(advance, log, say, unseen.save if leads else lambda _: None)
        training = Training(encoder, data, settings, callbacks, processes, where.step_bytes)
        trained = train(training, checkpoint)
        chosen = _chosen(training, trained, sources, unseen) if leads and trained.kept else Chosen()
        metrics = held_out_metrics(database, sources, towers, say, chosen.head) if leads else None
        against = objection(trained, metrics)
        report = DistillReport(
            backbone=where.backbone,
            trainable_parameters=trainable,
            steps=trained.steps,
            seconds=0.0,
            heldout=metrics.means() if metrics else {},
            adapter=str(workspace.student),
            published=keep_anyway or against is None,
            objection=against,
            validation=trained.validation,
            kept_epoch=trained.kept,
            restarts=trained.restarts,
            fields=chosen.to_json(),
        )
        if leads and report.published:
            facts = {**backbone, **_training_facts(sources, data.final, settings), **_results(report, metrics, trained)}
            publish.write_student(workspace, encoder, facts, chosen.head)
            checkpoint.remove()
            unseen.remove()
            database.remember("backbone", where.backbone)
        processes.wait()
    return replace(report, seconds=round(time.monotonic() - started, 3))


def _chosen(training: Training, trained: Trained, sources: Sources, unseen: Unseen) -> Chosen:
    """What items' vectors are made of."""
    retention = trained.history[-1]["retention"]
    say = training.callbacks.say
    return choose(
        Material(
            training.data,
            sources.items,
            training.encoder,
            training.settings,
            unseen.load(),
            sources.judgments,
            retention,
            say,
        )
    )


def _backbone_facts(where: Where, encoder: DualEncoder) -> dict[str, Any]:
    """What the adapter is bound to: of the encoder as it is before one is attached."""
    local = Path(where.backbone).is_dir()
    return {
        "backbone": str(Path(where.backbone).resolve()) if local else where.backbone,
        "backbone_fingerprint": encoder.fingerprint,
        "backbone_identity": encoder.identity if where.processes.leads else "",
        "layout": encoder.layout,
    }


def _checkpoint(
    workspace: Workspace, encoder: DualEncoder, sources: Sources, data: TrainingData, settings: DistillSettings
) -> Checkpoint:
    key = training_key(
        {name: value for name, value in asdict(settings).items() if name != "fields"},  # they come after the tower
        encoder.fingerprint,
        f"{encoder.precision} {data.tower.crops} {DECODER_VERSION}",
        judgments_key(sources.judgments),
        [sources.items[key].title for key in data.final.calls.items],
    )
    return Checkpoint(workspace.cache / "checkpoint.safetensors", key)


def _training_facts(sources: Sources, data: TrainingData, settings: DistillSettings) -> dict[str, Any]:
    return {
        "holdout": sources.registered.holdout,
        "seed": settings.seed,
        "settings": asdict(settings),
        "judgments": len(sources.judgments),
        "teachers": sorted({judgment.teacher for judgment in sources.judgments}),
        "data": {"queries": len(data.calls.queries), "items": len(data.calls.items)},
    }


def _results(report: DistillReport, metrics: HeldOutMetrics | None, trained: Trained) -> dict[str, Any]:
    return {
        "heldout": report.heldout,
        "ci95": metrics.intervals() if metrics else {},
        "history": trained.history,
        **{name: getattr(report, name) for name in ("validation", "kept_epoch", "restarts", "objection", "fields")},
    }
