"""The training loop: LoRA on the image tower, the teacher's preferences as the loss, the text tower untouched."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vdistill.distill.augment import augmented
from vdistill.distill.batches import Step, steps
from vdistill.distill.calls import Calls
from vdistill.distill.checkpoint import Checkpoint
from vdistill.distill.losses import bradley_terry_loss, drift_retention, listwise_loss, title_retention
from vdistill.distill.pictures import Pictures
from vdistill.distill.settings import DistillSettings
from vdistill.encoder import DualEncoder
from vdistill.errors import VdistillError

LOSSES = {"bradley-terry": bradley_terry_loss, "listwise": listwise_loss}


@dataclass(frozen=True)
class Lesson:
    """What is taught: calls, their pictures, text embeddings, and what the backbone knew of those pictures.

    texts: (queries, dim) unit vectors.  before: (images, dim) the backbone's.  titles: (images, dim), None without.
    """

    calls: Calls
    pictures: Pictures
    texts: Tensor
    before: Tensor
    titles: Tensor | None


@dataclass(frozen=True, slots=True)
class Progress:
    """After a step: how far, and the mean losses of the epoch so far, in nats."""

    step: int
    steps: int
    epoch: int
    loss: float
    retention: float
    images: int


def train(
    encoder: DualEncoder,
    lesson: Lesson,
    settings: DistillSettings,
    checkpoint: Checkpoint,
    advance: Callable[[Progress], None],
) -> int:
    """Train the attached adapter; returns the number of steps. An interrupted training goes on after its last epoch.

    Raises VdistillError when the loss is no longer a number.
    """
    trainable = [parameter for parameter in encoder.model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=settings.lr, weight_decay=0.01)
    per_epoch = len(_epoch_steps(lesson.calls, settings, 0))
    total = per_epoch * settings.epochs
    memory = lesson.before.clone()  # (images, dim): the vectors that the images last had
    for epoch in range(checkpoint.load(encoder.model, optimizer, memory), settings.epochs):
        encoder.model.train()
        rng = torch.Generator().manual_seed(settings.seed * 100_003 + epoch)  # all chance hangs on the epoch alone,
        torch.manual_seed(settings.seed * 100_003 + epoch)  # so a resumed training is the same training
        sums = np.zeros(3)
        for number, step in enumerate(_epoch_steps(lesson.calls, settings, epoch)):
            done = epoch * per_epoch + number
            for group in optimizer.param_groups:
                group["lr"] = settings.lr * _schedule(done, total)
            losses = _losses(encoder, lesson, step, settings, rng, memory)
            # Only the images of this step learn from it: by as much as if all of their calls were there alone.
            total_loss = losses[0] / step.share + settings.retention * losses[1]
            if not torch.isfinite(total_loss):
                raise VdistillError(
                    f"the loss is no longer a number (epoch {epoch + 1}, step {number + 1})",
                    hint=f"a smaller --lr than {settings.lr:g} helps; the student trained before is untouched",
                )
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(total_loss)
            torch.nn.utils.clip_grad_norm_(trainable, 1.0)
            optimizer.step()
            sums += (1, losses[0].item(), losses[1].item())
            advance(Progress(done + 1, total, epoch + 1, sums[1] / sums[0], sums[2] / sums[0], len(step.images)))
        checkpoint.save(encoder.model, optimizer, memory, epoch + 1)
    encoder.model.eval()
    return total


def _losses(
    encoder: DualEncoder, lesson: Lesson, step: Step, settings: DistillSettings, rng: torch.Generator, memory: Tensor
) -> tuple[Tensor, Tensor]:
    """The preference loss and the retention loss of one step; `memory` is brought up to date."""
    calls, device = lesson.calls, encoder.device
    inputs = encoder.to_tensors(lesson.pictures.batch(step.images.tolist()))
    student = encoder.image_features(**(augmented(inputs, rng) if settings.augment else inputs))
    where = torch.from_numpy(step.images).to(device)
    memory[where] = student.detach()
    of_call = np.where(calls.shown[step.rows], calls.image[step.rows], step.images[0])
    images, local = np.unique(of_call, return_inverse=True)
    vectors = memory[torch.from_numpy(images).to(device)].index_copy(
        0, torch.from_numpy(np.searchsorted(images, step.images)).to(device), student
    )
    shown = torch.from_numpy(calls.shown[step.rows]).to(device)
    column = torch.from_numpy(local.reshape(of_call.shape)).to(device)
    queries, row = np.unique(calls.query[step.rows], return_inverse=True)
    similarity = lesson.texts[torch.from_numpy(queries).to(device)] @ vectors.T
    scores = similarity[torch.from_numpy(row).to(device)[:, None], column]
    target = torch.from_numpy(calls.target[step.rows]).to(device)
    weight = torch.from_numpy(calls.weight[calls.image[step.rows]]).to(device)
    loss = LOSSES[settings.loss](scores, target, shown, weight, settings.temperature)
    if lesson.titles is None:
        return loss, drift_retention(student, lesson.before[where])
    return loss, title_retention(student, lesson.before[where], lesson.titles[where], logit_scale(encoder))


def logit_scale(encoder: DualEncoder) -> float:
    """The scale at which the backbone's similarities become logits (its own, at most 100)."""
    scale: Any = getattr(encoder.model, "logit_scale", None)
    return 100.0 if scale is None else min(float(scale.detach().exp()), 100.0)


def _epoch_steps(calls: Calls, settings: DistillSettings, epoch: int) -> list[Step]:
    return steps(calls, settings.batch_images, np.random.default_rng([settings.seed, epoch]))


def _schedule(done: int, total: int) -> float:
    """A tenth of the steps to warm up, then half a cosine down to a hundredth."""
    warm = max(1, total // 10)
    if done < warm:
        return (done + 1) / warm
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (done - warm) / max(1, total - warm)))
