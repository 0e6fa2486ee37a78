"""The training loop: the teacher's preferences as the loss, what the backbone knew held, the best epoch kept.

What validation set aside is learned too: at the end all judgments train, for a share of the epochs taken before, held
as strongly as validation found right.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from vdistill.distill.augment import crops
from vdistill.distill.batches import Step, step_count, steps
from vdistill.distill.calls import Calls
from vdistill.distill.checkpoint import Checkpoint, State, trained
from vdistill.distill.crew import Crew
from vdistill.distill.losses import bradley_terry_loss, listwise_loss
from vdistill.distill.machine import attention, memory_errors
from vdistill.distill.progress import Progress, Trained, Watch
from vdistill.distill.retention import START, Titles, steered
from vdistill.distill.settings import DistillSettings
from vdistill.distill.towers import Tower, embed
from vdistill.distill.validation import Validation
from vdistill.encoder import DualEncoder
from vdistill.errors import VdistillError

LOSSES = {"bradley-terry": bradley_terry_loss, "listwise": listwise_loss}

REFIT_LR = 1 / 3  # of the peak, since the weights are good already


@dataclass(frozen=True)
class Lesson:
    """What is taught: calls, the tower over their pictures, and what the backbone knew of those pictures.

    texts: (queries, dim) unit vectors.  before: (images, dim) the backbone's.
    everything: the same with what validation sets aside, to train on at the end; None to leave it out.
    """

    calls: Calls
    tower: Tower
    texts: Tensor
    before: Tensor
    titles: Titles
    validation: Validation | None = None
    everything: Lesson | None = None


def train(
    encoder: DualEncoder, lesson: Lesson, settings: DistillSettings, checkpoint: Checkpoint, crew: Crew, watch: Watch
) -> Trained:
    """Train the attached adapter. An interrupted training goes on after its last epoch, to the same end.

    Raises VdistillError when the loss is no longer a number; the checkpoint then holds the last good epoch.
    """
    whole = lesson.everything
    first = _Loop(encoder, lesson, settings, crew, watch)
    if whole is None:
        _run(first, checkpoint)
        return Trained(first.per_epoch * first.state.epoch, first.state.history)
    later = checkpoint.of("everything")
    taken = later.epochs_before()
    if taken is None:
        _run(first, checkpoint)
        taken = first.state.epoch
    softer = replace(settings, epochs=math.ceil(settings.refit * taken), lr=settings.lr * REFIT_LR, patience=0)
    refit = _Loop(encoder, whole, softer, crew, watch, _Earlier(taken, first.per_epoch * taken))
    refit.state = State(embed(whole.tower), retention=first.state.retention, history=first.state.history)
    _run(refit, later)
    return Trained(refit.earlier.steps + refit.total, refit.state.history)


def _run(loop: _Loop, checkpoint: Checkpoint) -> None:
    """Train to the end, from where the checkpoint is; the model then has the weights that are kept."""
    checkpoint.load(loop.encoder.model, loop.optimizer, loop.state)
    while not loop.finished:
        with memory_errors(loop.settings):
            loop.epoch()
        if loop.crew.leads:
            checkpoint.save(loop.encoder.model, loop.optimizer, loop.state)
        loop.crew.wait()
    loop.take_best()
    loop.encoder.model.eval()


@dataclass(frozen=True, slots=True)
class _Earlier:
    """What was trained before."""

    epochs: int = 0
    steps: int = 0


class _Loop:
    """One training under way."""

    def __init__(
        self,
        encoder: DualEncoder,
        lesson: Lesson,
        settings: DistillSettings,
        crew: Crew,
        watch: Watch,
        earlier: _Earlier = _Earlier(),
    ) -> None:
        self.encoder, self.lesson, self.settings, self.crew, self.watch = encoder, lesson, settings, crew, watch
        self.earlier = earlier
        self.parameters = list(trained(encoder.model).values())
        self.optimizer = torch.optim.AdamW(self.parameters, lr=settings.lr, weight_decay=0.01)
        retention = START if settings.retention is None else settings.retention
        self.state = State(memory=lesson.before.clone(), retention=retention)
        self.attention = attention(encoder)
        self.per_epoch = step_count(lesson.calls, settings.batch_images)
        self.total = self.per_epoch * settings.epochs

    @property
    def finished(self) -> bool:
        """After the last epoch, or too many without a better one."""
        patience = self.settings.patience
        return self.state.epoch >= self.settings.epochs or 0 < patience <= self.state.stale

    def epoch(self) -> None:
        """Train one, and validate."""
        number, settings = self.earlier.epochs + self.state.epoch, self.settings
        self.encoder.model.train()
        rng = torch.Generator().manual_seed(settings.seed * 100_003 + number)  # all chance hangs on the epoch alone,
        torch.manual_seed(settings.seed * 100_003 + number)  # so a resumed training is the same training
        sums, started = np.zeros(4), time.monotonic()
        planned = self._steps(number)
        self.optimizer.zero_grad(set_to_none=True)
        for place, step in enumerate(planned):
            loss, retention = self._losses(step, rng)
            # Only the images of this step learn from it: by as much as if all of their calls were there alone.
            total = loss / step.share + self.state.retention * retention
            self._check(total, number, place)
            torch.autograd.backward(total / settings.accumulate)
            if (place + 1) % settings.accumulate == 0 or place + 1 == len(planned):
                self._update(self.state.epoch * self.per_epoch + place)
            sums += (1, loss.item(), retention.item(), len(step.images))
            self.watch.advance(self._progress(place, sums, time.monotonic() - started))
        self.state.epoch += 1
        self._record(sums)

    def take_best(self) -> None:
        """Put the weights of the best epoch back."""
        with torch.no_grad():
            for name, parameter in trained(self.encoder.model).items():
                if name in self.state.best:
                    parameter.copy_(self.state.best[name])

    def _update(self, done: int) -> None:
        self.crew.add_gradients(self.parameters)
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.lr * _schedule(done, self.total)
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _losses(self, step: Step, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """The preference loss and the retention loss of one step; the memory is brought up to date."""
        lesson, device, memory = self.lesson, self.encoder.device, self.state.memory
        count = len(step.images)
        mine = self.crew.share(count)
        drawn = crops(count, rng).part(mine) if self.settings.augment else None
        with self.attention():
            own = lesson.tower.features(step.images[mine], drawn) if mine.start < mine.stop else memory[:0]
        student = self.crew.gathered(own, count)
        where = torch.from_numpy(step.images).to(device)
        memory[where] = student.detach()
        return self._preference(step, student), lesson.titles.loss(student, where, memory, rng)

    def _preference(self, step: Step, student: Tensor) -> Tensor:
        calls, device = self.lesson.calls, self.encoder.device
        of_call = np.where(calls.shown[step.rows], calls.image[step.rows], step.images[0])
        images, local = np.unique(of_call, return_inverse=True)
        places = torch.from_numpy(np.searchsorted(images, step.images)).to(device)
        vectors = self.state.memory[torch.from_numpy(images).to(device)].index_copy(0, places, student)
        shown = torch.from_numpy(calls.shown[step.rows]).to(device)
        column = torch.from_numpy(local.reshape(of_call.shape)).to(device)
        queries, row = np.unique(calls.query[step.rows], return_inverse=True)
        similarity = self.lesson.texts[torch.from_numpy(queries).to(device)] @ vectors.T
        scores = similarity[torch.from_numpy(row).to(device)[:, None], column]
        target = torch.from_numpy(calls.target[step.rows]).to(device)
        weight = torch.from_numpy(calls.weight[calls.image[step.rows]]).to(device)
        mass = torch.from_numpy(calls.mass[step.rows]).to(device)
        return LOSSES[self.settings.loss](scores, target, shown, weight, mass, self.settings.temperature)

    def _check(self, loss: Tensor, epoch: int, place: int) -> None:
        if not torch.isfinite(loss):
            raise VdistillError(
                f"the loss is no longer a number (epoch {epoch + 1}, step {place + 1})",
                hint=f"a smaller --lr than {self.settings.lr:g} helps; the student trained before is untouched",
            )

    def _record(self, sums: np.ndarray) -> None:
        """The figures of the epoch; with validation, whether its weights are kept and how strongly to retain."""
        state, validation = self.state, self.lesson.validation
        figures = {
            "epoch": float(self.earlier.epochs + state.epoch),
            "loss": float(sums[1] / sums[0]),
            "retention_loss": float(sums[2] / sums[0]),
            "retention": state.retention,
        }
        if validation is not None:
            self.encoder.model.eval()
            marks = validation.grade()
            lost, *ndcg = self.crew.agreed([math.nan if marks.lost is None else marks.lost, *marks.ndcg])
            figures["validation_ndcg@10"] = float(np.mean(ndcg))
            figures |= {} if math.isnan(lost) else {"validation_lost": lost}
            self._keep(ndcg)
            if self.settings.retention is None and not math.isnan(lost):
                state.retention = steered(state.retention, lost)
        state.history.append(figures)
        self.watch.epoch(figures)

    def _keep(self, ndcg: list[float]) -> None:
        """Keep the weights unless an earlier epoch was better by more than chance, the same queries compared.

        The later epoch has the lower learning rate: validation queries are few, and their noise alone must not
        bring an early one back.
        """
        state = self.state
        state.peak = max(state.peak or ndcg, ndcg, key=np.mean)
        behind = np.array(state.peak) - np.array(ndcg)
        if behind.mean() <= behind.std(ddof=1) / math.sqrt(len(behind)):
            state.best = {name: value.detach().clone() for name, value in trained(self.encoder.model).items()}
            state.stale = 0
        else:
            state.stale += 1

    def _progress(self, place: int, sums: np.ndarray, seconds: float) -> Progress:
        history, earlier, epoch = self.state.history, self.earlier, self.state.epoch
        return Progress(
            step=earlier.steps + epoch * self.per_epoch + place + 1,
            steps=earlier.steps + self.total + self._later_steps(),
            epoch=earlier.epochs + epoch + 1,
            loss=float(sums[1] / sums[0]),
            retention=float(sums[2] / sums[0]),
            images_per_second=float(sums[3] / max(seconds, 1e-9)),
            validation=history[-1].get("validation_ndcg@10") if history else None,
        )

    def _later_steps(self) -> int:
        """Those of the refit, if all epochs are taken before it."""
        whole, settings = self.lesson.everything, self.settings
        if whole is None:
            return 0
        return step_count(whole.calls, settings.batch_images) * math.ceil(settings.refit * settings.epochs)

    def _steps(self, epoch: int) -> list[Step]:
        return steps(self.lesson.calls, self.settings.batch_images, np.random.default_rng([self.settings.seed, epoch]))


def _schedule(done: int, total: int) -> float:
    """A tenth of the steps to warm up, then half a cosine down to a hundredth."""
    warm = max(1, total // 10)
    if done < warm:
        return (done + 1) / warm
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (done - warm) / max(1, total - warm)))
