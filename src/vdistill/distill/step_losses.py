"""The losses of one step: what the calls teach, what is retained, and what the reader of the texts teaches."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from vdistill.distill.batches import Step
from vdistill.distill.losses import preference_loss
from vdistill.distill.settings import DistillSettings
from vdistill.distill.training_data import TrainingData
from vdistill.distill.wordings import Asked


@dataclass(frozen=True, slots=True)
class Losses:
    """Scalars, in nats."""

    preference: Tensor
    retention: Tensor
    reading: Tensor

    def total(self, step: Step, retention: float, reader: float) -> Tensor:
        """What is differentiated; `retention` and `reader` are weights."""
        # Only the images of this step learn from it: by as much as if all of their calls were there alone.
        return self.preference / step.share + retention * self.retention + reader * self.reading

    def values(self) -> tuple[float, float, float]:
        """In the order of the fields."""
        return self.preference.item(), self.retention.item(), self.reading.item()


def step_losses(
    data: TrainingData,
    settings: DistillSettings,
    step: Step,
    asked: Asked,
    student: Tensor,
    memory: Tensor,
    rng: torch.Generator,
    *,
    reads: bool,
) -> Losses:
    """The losses of a step; `memory` (n, dim), of all images, already has its vectors, `student` (k, dim).

    asked: in which wording each call stands.  reads: whether the reader of the texts teaches.
    """
    images = torch.from_numpy(step.images).to(memory.device)
    preference = preference_loss(data.calls, asked, step, student, memory, settings)
    retention, reading = data.titles.loss(student, images, memory, rng), student.new_zeros(())
    if reads and data.reader:
        reading = data.reader.loss(student, images, memory, data.wordings.vectors, settings.temperature, rng)
    return Losses(preference, retention, reading)
