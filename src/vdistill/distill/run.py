"""`distill` from end to end: from the judgments in the workspace to a student in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from vdistill.database import Database
from vdistill.distill import lesson, nodes, publish
from vdistill.distill.callbacks import Progress, tracker
from vdistill.distill.checkpoint import trained
from vdistill.distill.held_out import objection
from vdistill.distill.job import Finished, Job, Store, Where, tower_maker
from vdistill.distill.reader_training import with_reader
from vdistill.distill.seeds import Outcome, best_of
from vdistill.distill.settings import DistillSettings
from vdistill.distill.sources import Say, Sources, read
from vdistill.distill.training_data import TrainingData, training_data_of
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.text_copy import KeptTexts
from vdistill.inputs import item_texts
from vdistill.workspace import Workspace


@dataclass(frozen=True, slots=True)
class DistillReport:
    """The result. The fields are the keys of `distill --json`.

    adapter: where the student lies; where this one was not published, the one before.  objection: why it should not be
    published.  validation: the mean nDCG@10 on the queries set aside, of the backbone and of the weights kept.
    kept_epoch: the epoch of the student's weights, 0 where none was as good as the backbone.
    restarts: after which epoch too much was lost at which learning rate.
    lr: the peak of the learning rate, as given or as found.  strength: what the adapter's scale is multiplied by.
    seeds: the figures of each seed where there were several.
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
    lr: float
    strength: float
    seeds: list[dict[str, Any]]
    fields: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        """The document that `--json` prints."""
        return asdict(self)


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
    """Train a student, of several seeds the best in validation, and publish it whole; the one before stays until then.

    One that is worse than its backbone is not published, unless `keep_anyway`; the same call with it resumes from there
    and does not train again. With `fresh`, an interrupted training is not resumed.
    Of several processes this is for the first one; the others `nodes.assist` it.
    Raises VdistillError where there is nothing to learn from, or nothing to learn with.
    """
    started, processes = time.monotonic(), where.processes
    with (
        workspace.lock("distill"),
        tracker(where.tracker, workspace.reports, asdict(settings)) as log,
        Database.open(workspace.database) as database,
    ):
        judged_until = time.time()
        sources = read(database, say, workspace.cache)
        item_texts.require(settings.fields, sources.items.values())
        nodes.agree(processes, nodes.Plan(settings, where.backbone, str(database.setting("catalog"))), say)
        encoder = DualEncoder.load(where.backbone, device=where.device, precision=where.precision)
        if where.precision == "bf16" and encoder.precision != "bf16":
            say(f"this {encoder.device.type} has no instructions for bf16: training in float32")
        nodes.same_model(processes, encoder)
        backbone = _backbone_facts(where, encoder)
        towers = tower_maker(workspace, where, encoder, settings)
        texts = KeptTexts(encoder, workspace)
        data = training_data_of(
            sources, towers, texts.encode, settings, say, processes,
            announce=lambda *images: nodes.show_images(processes, *images),
        )  # fmt: skip
        data = with_reader(data, sources.items, encoder, texts.encode, settings, say)
        texts.save()
        lesson.send(data, processes)
        job = Job(workspace, where, Store(database, sources, texts), towers, data, advance, log, say)
        if fresh:
            job.forget()
        processes.wait()
        outcomes = job.outcomes(settings)
        found = job.finished(best_of(outcomes), settings)
        report = _report(where, workspace, encoder, outcomes, found, keep_anyway=keep_anyway)
        if report.published:
            facts = {
                **backbone,
                **_training_facts(sources, data.final, settings),
                "judged_until": judged_until,
                **_results(report, found.outcome, outcomes[0]),
            }
            publish.write_student(workspace, encoder, facts, found.fields.head)
            job.forget()
            database.remember("backbone", where.backbone)
        processes.wait()
    return replace(report, seconds=round(time.monotonic() - started, 3))


def _backbone_facts(where: Where, encoder: DualEncoder) -> dict[str, Any]:
    """What the adapter is bound to: of the encoder as it is before one is attached."""
    local = Path(where.backbone).is_dir()
    return {
        "backbone": str(Path(where.backbone).resolve()) if local else where.backbone,
        "backbone_fingerprint": encoder.fingerprint,
        "backbone_identity": encoder.identity,
        "layout": encoder.layout,
    }


def _report(
    where: Where,
    workspace: Workspace,
    encoder: DualEncoder,
    outcomes: Sequence[Outcome],
    found: Finished,
    *,
    keep_anyway: bool,
) -> DistillReport:
    done, metrics = found.outcome.trained, found.outcome.metrics
    against = objection(done, metrics)
    return DistillReport(
        backbone=where.backbone,
        trainable_parameters=sum(parameter.numel() for parameter in trained(encoder.model).values()),
        steps=done.steps,
        seconds=0.0,
        heldout=metrics.means() if metrics else {},
        adapter=str(workspace.student),
        published=keep_anyway or against is None,
        objection=against,
        validation=done.validation,
        kept_epoch=done.kept,
        restarts=done.restarts,
        lr=done.lr,
        strength=done.strength,
        seeds=[one.figures() for one in outcomes] if len(outcomes) > 1 else [],
        fields=found.fields.to_json(),
    )


def _training_facts(sources: Sources, data: TrainingData, settings: DistillSettings) -> dict[str, Any]:
    return {
        "holdout": sources.registered.holdout,
        "seed": settings.seed,
        "settings": asdict(settings),
        "judgments": len(sources.judgments),
        "teachers": sorted({judgment.teacher for judgment in sources.judgments}),
        "data": {
            "queries": len(data.calls.queries),
            "wordings": len(data.wordings.vectors),
            "items": len(data.calls.items),
        },
    }


def _results(report: DistillReport, best: Outcome, first: Outcome) -> dict[str, Any]:
    """first: the training that searched for the learning rate."""
    done = best.trained
    return {
        "seed": best.seed,
        "heldout": report.heldout,
        "heldout_strength": done.strength,
        "ci95": best.metrics.intervals() if best.metrics else {},
        "history": done.history,
        "learning_rates": first.trained.trials,
        "strengths": [one.figures() for one in done.strengths],
        **{name: getattr(report, name) for name in ("validation", "kept_epoch", "restarts", "objection")},
        **{name: getattr(report, name) for name in ("lr", "strength", "seeds", "fields")},
    }
