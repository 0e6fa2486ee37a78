"""The training loop: epochs of steps, each epoch validated, the best weights kept."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from vdistill.distill import selection
from vdistill.distill.augment import crops
from vdistill.distill.batches import Step, step_count, steps
from vdistill.distill.callbacks import Callbacks, Progress
from vdistill.distill.checkpoint import State, trained
from vdistill.distill.distributed import ALONE, Processes
from vdistill.distill.memory import SHARE, free_bytes, images_at_once
from vdistill.distill.retention import START, steered
from vdistill.distill.settings import DistillSettings
from vdistill.distill.step_encoder import Encoded, RandomState, StepEncoder, attention
from vdistill.distill.step_losses import Losses, step_losses
from vdistill.distill.towers import embed
from vdistill.distill.training_data import TrainingData
from vdistill.distill.validation import Scores
from vdistill.distill.wordings import Asked
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.feature_cache import GIB
from vdistill.errors import VdistillError


@dataclass(frozen=True)
class Training:
    """What a training needs.

    encoder: with the adapter attached.
    step_bytes: what the images of a step may keep in memory for the backward pass; None for half of what is free.
    """

    encoder: DualEncoder
    data: TrainingData
    settings: DistillSettings
    callbacks: Callbacks
    processes: Processes = ALONE
    step_bytes: float | None = None


@dataclass(frozen=True, slots=True)
class Earlier:
    """The epochs and steps that were trained before a refit, which continues their count."""

    epochs: int = 0
    steps: int = 0


class NotFinite(VdistillError):
    """The loss is no longer a number."""


class Loop:
    """A training under way; with `earlier`, a refit. The learning rate of its settings is a number."""

    def __init__(self, training: Training, earlier: Earlier | None = None) -> None:
        self.encoder, self.data, self.settings = training.encoder, training.data, training.settings
        self.callbacks, self.processes, self._step_bytes = training.callbacks, training.processes, training.step_bytes
        self.earlier = earlier or Earlier()
        self._refits = earlier is not None
        self._parameters = list(trained(self.encoder.model).values())
        self.start = self._weights()
        self._fits: int | None = None
        self._trial: float | None = None
        self.per_epoch = step_count(self.data.calls, self.settings.batch_images)
        self.total = self.per_epoch * self.settings.epochs
        self.state = State(memory=self.data.before.clone())
        self.begin()

    def begin(self) -> None:
        """Put everything at the start, where the backbone is the best so far; restarts are remembered."""
        settings, validation = self.settings, self.data.validation
        self.optimizer = torch.optim.AdamW(self._parameters, lr=self._lr, weight_decay=0.01)
        self.state = State(
            memory=self.data.before.clone(),
            retention=START if settings.retention is None else settings.retention,
            peak=validation.backbone if validation else [],
            scores=validation.backbone if validation else [],
            best=self.start if validation else {},
            restarts=self.state.restarts,
            at_once=self.state.at_once,
            reads=self.data.reader is not None,
        )
        self._put(self.start)

    @property
    def _lr(self) -> float:
        """The peak of the learning rate before restarts."""
        return float(self.settings.lr)

    @property
    def finished(self) -> bool:
        """After the last epoch, or after `patience` in a row that were not worth keeping."""
        patience = self.settings.patience
        return self.state.epoch >= self.settings.epochs or 0 < patience <= self.state.stale

    def epoch(self) -> None:
        """Train one epoch, and validate."""
        sums = self._steps(self.earlier.epochs + self.state.epoch, self.per_epoch)
        self.state.epoch += 1
        self.processes.align(self._parameters)
        self._record(sums)

    def attempt(self, lr: float, count: int) -> Scores | None:
        """The scores after `count` steps from the start at the rate `lr`, with a schedule of their own.

        None without validation. The weights stay changed. Raises NotFinite when the loss is no longer a number.
        """
        self.settings, self.total, self._trial = replace(self.settings, lr=lr), count, lr
        self.begin()
        for number in range(-(-count // self.per_epoch)):
            self._steps(number, count - number * self.per_epoch)
            self.state.epoch += 1
        return self._scores()

    def _steps(self, number: int, most: int) -> np.ndarray:
        """Train on the first `most` steps of epoch `number`; returns their count, and sums of losses and images."""
        settings = self.settings
        self.encoder.model.train()
        # All randomness depends on seed and epoch alone, so that a resumed training is the same training.
        rng = torch.Generator().manual_seed(settings.seed * 100_003 + number)
        torch.manual_seed(settings.seed * 100_003 + number)
        sums, started = np.zeros(5), time.monotonic()
        planned = steps(self.data.calls, settings.batch_images, np.random.default_rng([settings.seed, number]))[:most]
        self.optimizer.zero_grad(set_to_none=True)
        encoder = StepEncoder(self.data.tower, self._at_once(), attention(self.encoder))
        asked = self.data.wordings.drawn(self.data.calls.query, settings.seed, number)
        for place, step in enumerate(planned):
            encoded, losses = self._losses(encoder, step, asked, rng)
            total = losses.total(step, self.state.retention, settings.reader)
            self._require_finite(total, number, place)
            torch.autograd.backward(total / settings.accumulate)
            encoded.finish()
            if (place + 1) % settings.accumulate == 0 or place + 1 == len(planned):
                self._update(self.state.epoch * self.per_epoch + place)
            sums += (1, *losses.values(), len(step.images))
            self.callbacks.advance(self._progress(place, sums, time.monotonic() - started))
        return sums

    def take_best(self) -> None:
        """Put the weights that were kept in place; where no epoch was worth it, those of the last one stay."""
        if self.state.best and self.state.kept:
            self._put(self.state.best)

    def _update(self, done: int) -> None:
        self.processes.add_gradients(self._parameters)
        for group in self.optimizer.param_groups:
            group["lr"] = selection.rate(self._lr, self.state) * selection.schedule(done, self.total)
        nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def _losses(self, encoder: StepEncoder, step: Step, asked: Asked, rng: torch.Generator) -> tuple[Encoded, Losses]:
        """This process's vectors, and the losses of one step; updates the memory."""
        memory = self.state.memory
        count = len(step.images)
        mine = self.processes.share(count)
        drawn = crops(count, rng).part(mine) if self.settings.augment else None
        encoded = encoder.encode(step.images[mine], drawn) if mine.start < mine.stop else Encoded(memory[:0])
        student = self.processes.gathered(encoded.vectors, count)
        memory[torch.from_numpy(step.images).to(memory.device)] = student.detach()
        reads = self.state.reads
        return encoded, step_losses(self.data, self.settings, step, asked, student, memory, rng, reads=reads)

    def _at_once(self) -> int:
        """How many images one pass takes. A resumed training keeps its number, so that its results do not change."""
        if self._fits is None:
            share = -(-min(self.settings.batch_images, len(self.data.tower)) // self.processes.size)
            now, limit = RandomState.now(), self._step_bytes
            if limit is None:
                limit = SHARE * free_bytes(self.encoder.device)
            self._fits = images_at_once(self._probe, share, limit, on_cpu=self.encoder.on_cpu)
            now.restore()
            if self._fits < share:
                self.callbacks.say(
                    f"{self._fits} of the {share} images of a step fit into {limit / GIB:.2g} GiB: "
                    "the step is encoded in parts"
                )
        self.state.at_once = min(self.state.at_once or self._fits, self._fits)
        return self.state.at_once

    def _probe(self, count: int) -> Tensor:
        with attention(self.encoder)():
            return self.data.tower.features(np.arange(count))

    def _require_finite(self, loss: Tensor, epoch: int, place: int) -> None:
        if not torch.isfinite(loss):
            raise NotFinite(
                f"the loss is no longer a number (epoch {epoch + 1}, step {place + 1})",
                hint=f"try a smaller --lr than {self._lr:g}; the student trained before is not affected",
            )

    def _record(self, sums: np.ndarray) -> None:
        """The figures of the epoch; with validation, whether its weights are kept and how strongly to retain."""
        state = self.state
        figures = {
            "epoch": float(self.earlier.epochs + state.epoch),
            "loss": float(sums[1] / sums[0]),
            "retention_loss": float(sums[2] / sums[0]),
            "retention": state.retention,
            **({"reader_loss": float(sums[3] / sums[0])} if state.reads else {}),
        }
        scores = self._scores()
        if scores is None:
            state.kept = int(figures["epoch"])
        elif not self._refits and selection.ruined(state, scores, self.settings.epochs):
            self._start_over(scores)
            return
        else:
            figures |= scores.figures("refit" if self._refits else "validation")
            if selection.keep(state, scores, int(figures["epoch"])):
                state.best = self._weights()
            self._steer(scores)
            self._outgrow(scores)
        state.history.append(figures)
        self.callbacks.epoch(figures)

    def _scores(self) -> Scores | None:
        """Validation as the first process finds it, so that all decide alike."""
        if self.data.validation is None:
            return None
        self.encoder.model.eval()
        images, found = embed(self.data.validation.tower, self.processes), list[float]()
        if self.processes.leads:
            scores, exam = self.data.validation.scores(images), self.data.exam() if self.state.reads else None
            nats = float(exam.nats(images.cpu().numpy(), self.settings.temperature).mean()) if exam else None
            found = [*(math.nan if one is None else one for one in (scores.lost, nats)), *scores.ndcg]
        lost, nats, *ndcg = self.processes.agreed(found)
        return Scores(ndcg, *(None if math.isnan(one) else one for one in (lost, nats)))

    def _steer(self, scores: Scores) -> None:
        if self.settings.retention is not None or scores.lost is None or self._refits:
            return
        found = steered(self.state.retention, scores.lost)
        if self.data.validation is not None and self.data.validation.trains:
            found = max(found, self.state.retention)  # titles that train are retained better than others would be
        self.state.retention = found

    def _outgrow(self, scores: Scores) -> None:
        """Learn from the reader no longer once the student foretells validation better."""
        reader = self.data.reader
        if self.state.reads and reader and scores.nats is not None and scores.nats < reader.nats:
            self.state.reads = False
            self.callbacks.say(
                f"after epoch {self.state.epoch} the images tell more than the texts: these teach no more"
            )

    def _start_over(self, scores: Scores) -> None:
        state = self.state
        rate = selection.rate(self._lr, state)
        state.restarts.append({"epoch": float(state.epoch), "lr": rate, "lost": float(scores.lost or 0.0)})
        self.begin()
        self.callbacks.say(
            f"epoch {state.epoch} lost {scores.lost:.2f} of what the backbone knew of titles: "
            f"starting over at a third of the learning rate, {selection.rate(self._lr, self.state):.2g}"
        )

    def _weights(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in trained(self.encoder.model).items()}

    def _put(self, weights: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, parameter in trained(self.encoder.model).items():
                parameter.copy_(weights[name])

    def _progress(self, place: int, sums: np.ndarray, seconds: float) -> Progress:
        history, earlier, epoch = self.state.history, self.earlier, self.state.epoch
        return Progress(
            step=earlier.steps + epoch * self.per_epoch + place + 1,
            steps=self.total if self._trial else earlier.steps + self.total + self._refit_steps(),
            epoch=earlier.epochs + epoch + 1,
            loss=float(sums[1] / sums[0]),
            retention=float(sums[2] / sums[0]),
            images_per_second=float(sums[4] / max(seconds, 1e-9)),
            validation=history[-1].get("validation_ndcg@10") if history else None,
            trial=self._trial,
        )

    def _refit_steps(self) -> int:
        """The steps of the refit to come, if training does not stop early."""
        whole, settings = self.data.everything, self.settings
        if whole is None:
            return 0
        return step_count(whole.calls, settings.batch_images) * math.ceil(settings.refit * settings.epochs)
