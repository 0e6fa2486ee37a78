"""The phases of a training: the learning rate, the best epoch under validation, its strength, a refit on all judgments.

The refit also learns what validation set aside, for a share of the epochs taken before, with the retention weight that
validation arrived at. It is validated like the epochs before, and discarded where it did harm.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace

from torch import Tensor

from vdistill.distill.checkpoint import Checkpoint, State
from vdistill.distill.distributed import Processes
from vdistill.distill.learning_rate import Finished, search
from vdistill.distill.loop import Earlier, Loop, Training
from vdistill.distill.memory import memory_errors
from vdistill.distill.retention import MOST_LOST
from vdistill.distill.strength import Point, chosen
from vdistill.distill.sweep import set_strength, sweep
from vdistill.distill.towers import embed
from vdistill.distill.training_data import TrainingData

REFIT_LR = 1 / 3  # of the peak, since the weights are good already


@dataclass(frozen=True)
class Trained:
    """What a training did.

    steps: taken since the last restart.  history: the figures of the epochs.  kept: the epoch with the weights that
    were kept, 0 where none was as good as the backbone.  restarts: after which epoch how much was lost at which rate.
    backbone, student: nDCG@10 of each validation query, before training and of the last epoch kept before the refit, at
    the strength that is published.
    lr: the peak of the learning rate, `trials` the short trainings that chose it.  strengths: what chose the strength.
    """

    steps: int
    history: list[dict[str, float]]
    kept: int
    restarts: list[dict[str, float]]
    backbone: list[float]
    student: list[float]
    lr: float
    trials: list[dict[str, float | None]] = field(default_factory=list)
    strengths: list[Point] = field(default_factory=list)

    @property
    def strength(self) -> float:
        """What the adapter's scale is to be multiplied by."""
        return chosen(self.strengths, MOST_LOST)

    @property
    def validation(self) -> dict[str, float]:
        """The means of `backbone` and `student`; empty where no queries validate."""
        sides = {"backbone": self.backbone, "student": self.student}
        return {side: sum(ndcg) / len(ndcg) for side, ndcg in sides.items() if ndcg}


NOTHING = Trained(0, [], 0, [], [], [], 0.0)


def train(training: Training, checkpoint: Checkpoint) -> Trained:
    """Train the attached adapter. An interrupted training resumes after its last epoch, with the same result.

    Where no epoch was as good as the backbone, the model has the weights of the last one and `Trained.kept` is 0.
    Raises VdistillError when the loss is no longer a number; the checkpoint then holds the last good epoch.
    """
    data = _agreed(training.data, training.processes)
    training, trials = _with_rate(replace(training, data=data), checkpoint)
    first = Loop(training)
    later = checkpoint.of("everything")
    taken = _taken(later, training.processes) if data.everything else None
    resumed = taken is not None
    if taken is None:
        _run(first, checkpoint)
        taken = first.state.epoch
        first.state.strengths = [asdict(one) for one in sweep(training)] if first.state.kept else []
    if data.everything is None or (first.state.epoch and not first.state.kept):
        return _trained(first.per_epoch * taken, first.state, training, trials)
    refit = _refit(training, data.everything, first, taken)
    if not resumed and training.processes.leads:
        training.callbacks.unseen(_unseen(training, refit.state))
    _run(refit, later)
    if refit.state.kept <= taken:
        training.callbacks.say("training on all judgments made the student worse: that is left out")
    return _trained(refit.earlier.steps + refit.total, refit.state, training, trials)


def _with_rate(training: Training, checkpoint: Checkpoint) -> tuple[Training, list[dict[str, float | None]]]:
    """The training with a number for its learning rate, and the trials that chose it."""
    if training.settings.lr != "auto":
        return training, []
    found = search(training, Finished(checkpoint.trials, checkpoint.key))
    return replace(training, settings=replace(training.settings, lr=found.lr)), found.curve()


def _agreed(data: TrainingData, processes: Processes) -> TrainingData:
    """With the backbone's scores as the first process found them, so that all decide alike."""
    found = data.validation
    if found is None:
        return data
    known, *backbone = processes.agreed([math.nan if found.known is None else found.known, *found.backbone])
    return replace(data, validation=replace(found, backbone=backbone, known=None if math.isnan(known) else known))


def _taken(later: Checkpoint, processes: Processes) -> int | None:
    """How many epochs were trained before the refit, where the first process has begun it."""
    known = later.epochs_before() if processes.leads else None
    taken = processes.agreed([math.nan if known is None else known])[0]
    return None if math.isnan(taken) else int(taken)


def _unseen(training: Training, state: State) -> Tensor:
    """(n, dim) vectors of all images before the refit, at the strength that will be published."""
    strength = chosen([Point(**one) for one in state.strengths], MOST_LOST)
    if strength == 1 or training.data.everything is None:
        return state.memory
    set_strength(training.encoder.model, strength)
    vectors = embed(training.data.everything.tower)
    set_strength(training.encoder.model, 1.0)
    return vectors


def _refit(training: Training, everything: TrainingData, first: Loop, taken: int) -> Loop:
    """The training on everything, from the weights that the first phase kept after `taken` epochs."""
    settings, before = training.settings, first.state
    softer = replace(settings, epochs=math.ceil(settings.refit * taken), lr=float(settings.lr) * REFIT_LR, patience=0)
    validated = replace(everything, validation=training.data.validation)
    refit = Loop(replace(training, data=validated, settings=softer), Earlier(taken, first.per_epoch * taken))
    refit.state = State(
        embed(everything.tower, training.processes),
        retention=before.retention,
        peak=before.scores,
        scores=before.scores,
        kept=before.kept,
        best=refit.start,
        restarts=before.restarts,
        history=before.history,
        at_once=before.at_once,
        reads=before.reads,
        strengths=before.strengths,
    )
    return refit


def _run(loop: Loop, checkpoint: Checkpoint) -> None:
    """Train to the end, from where the checkpoint is; the model then has the weights that are kept."""
    checkpoint.load(loop.encoder.model, loop.optimizer, loop.state, loop.processes)
    while not loop.finished:
        with memory_errors(loop.settings):
            loop.epoch()
        if loop.processes.leads:
            checkpoint.save(loop.encoder.model, loop.optimizer, loop.state)
        loop.processes.wait()
    loop.take_best()
    loop.encoder.model.eval()


def _trained(steps: int, state: State, training: Training, trials: list[dict[str, float | None]]) -> Trained:
    validation, strengths = training.data.validation, [Point(**one) for one in state.strengths]
    found = Trained(
        steps=steps,
        history=state.history,
        kept=state.kept,
        restarts=state.restarts,
        backbone=validation.backbone if validation else [],
        student=state.scores,
        lr=float(training.settings.lr),
        trials=trials,
        strengths=strengths,
    )
    published = [one.unseen for one in strengths if one.strength == found.strength != 1]
    return replace(found, student=published[0]) if published else found
