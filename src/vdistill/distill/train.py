"""The whole training: up to the best epoch, then on all judgments.

What validation set aside is learned too: at the end all judgments train, for a share of the epochs taken before, held
as strongly as validation found right. That is graded as the epochs before were, and thrown away where it did harm.
"""

from __future__ import annotations

import math
from dataclasses import replace

from vdistill.distill.checkpoint import Checkpoint, State
from vdistill.distill.distributed import Processes
from vdistill.distill.hardware import memory_errors
from vdistill.distill.loop import Earlier, Loop
from vdistill.distill.objective import TrainingData
from vdistill.distill.progress import Trained, Watch
from vdistill.distill.settings import DistillSettings
from vdistill.distill.towers import embed
from vdistill.encoders.dual_encoder import DualEncoder

REFIT_LR = 1 / 3  # of the peak, since the weights are good already


def train(
    encoder: DualEncoder,
    data: TrainingData,
    settings: DistillSettings,
    checkpoint: Checkpoint,
    processes: Processes,
    watch: Watch,
    step_bytes: float | None = None,
) -> Trained:
    """Train the attached adapter. An interrupted training goes on after its last epoch, to the same end.

    step_bytes: what the images of a step may keep in memory for the backward pass; None for half of what is free.

    Where no epoch was as good as the backbone, the model has the weights of the last one and `Trained.kept` is 0.
    Raises VdistillError when the loss is no longer a number; the checkpoint then holds the last good epoch.
    """
    data = _agreed(data, processes)
    whole = data.everything
    first = Loop(encoder, data, settings, processes, watch, step_bytes=step_bytes)
    if whole is None:
        _run(first, checkpoint)
        return _trained(first.per_epoch * first.state.epoch, first.state, data)
    later = checkpoint.of("everything")
    taken = later.epochs_before()
    if taken is None:
        _run(first, checkpoint)
        taken = first.state.epoch
        if not first.state.kept:
            return _trained(first.per_epoch * taken, first.state, data)
    refit = _refit(first, whole, taken)
    _run(refit, later)
    if refit.state.kept <= taken:
        watch.say("training on all judgments made the student worse: that is left out")
    return _trained(refit.earlier.steps + refit.total, refit.state, data)


def _agreed(data: TrainingData, processes: Processes) -> TrainingData:
    """With the backbone's marks as the first process found them, so that all decide alike."""
    found = data.validation
    if found is None:
        return data
    known, *backbone = processes.agreed([math.nan if found.known is None else found.known, *found.backbone])
    return replace(data, validation=replace(found, backbone=backbone, known=None if math.isnan(known) else known))


def _refit(first: Loop, whole: TrainingData, taken: int) -> Loop:
    """The training on everything, from the weights that the first one kept."""
    settings, before = first.settings, first.state
    softer = replace(settings, epochs=math.ceil(settings.refit * taken), lr=settings.lr * REFIT_LR, patience=0)
    graded = replace(whole, validation=first.data.validation)
    earlier = Earlier(taken, first.per_epoch * taken)
    refit = Loop(first.encoder, graded, softer, first.processes, first.watch, earlier, first.step_bytes)
    refit.state = State(
        embed(whole.tower),
        retention=before.retention,
        peak=before.scores,
        scores=before.scores,
        kept=before.kept,
        best=refit.start,
        restarts=before.restarts,
        history=before.history,
        at_once=before.at_once,
    )
    return refit


def _run(loop: Loop, checkpoint: Checkpoint) -> None:
    """Train to the end, from where the checkpoint is; the model then has the weights that are kept."""
    checkpoint.load(loop.encoder.model, loop.optimizer, loop.state)
    while not loop.finished:
        with memory_errors(loop.settings):
            loop.epoch()
        if loop.processes.leads:
            checkpoint.save(loop.encoder.model, loop.optimizer, loop.state)
        loop.processes.wait()
    loop.take_best()
    loop.encoder.model.eval()


def _trained(steps: int, state: State, data: TrainingData) -> Trained:
    backbone = data.validation.backbone if data.validation else []
    return Trained(steps, state.history, state.kept, state.restarts, backbone, state.scores)
