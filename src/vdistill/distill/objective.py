"""What is taught, and what one step of it costs: the teacher's preferences, and what the backbone knew."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vdistill.distill.batches import Step
from vdistill.distill.choices import Calls
from vdistill.distill.losses import bradley_terry_loss, listwise_loss
from vdistill.distill.retention import Titles
from vdistill.distill.settings import DistillSettings
from vdistill.distill.towers import Tower
from vdistill.distill.validation import Validation

LOSSES = {"bradley-terry": bradley_terry_loss, "listwise": listwise_loss}


@dataclass(frozen=True)
class TrainingData:
    """What is taught: calls, the tower over their images, and what the backbone knew of those images.

    texts: (queries, dim) unit vectors.  before: (images, dim) the backbone's.
    everything: the same with what validation sets aside, to train on at the end; None to leave it out.
    """

    calls: Calls
    tower: Tower
    texts: Tensor
    before: Tensor
    titles: Titles
    validation: Validation | None = None
    everything: TrainingData | None = None

    def losses(
        self, step: Step, student: Tensor, memory: Tensor, settings: DistillSettings, rng: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """The preference loss and the retention loss of one step, in nats.

        student: (k, dim) unit vectors of the step's images.  memory: (images, dim) the vectors that all last had.
        """
        where = torch.from_numpy(step.images).to(memory.device)
        preference = self._preference(step, student, memory, settings)
        return preference, self.titles.loss(student, where, memory, rng)

    def _preference(self, step: Step, student: Tensor, memory: Tensor, settings: DistillSettings) -> Tensor:
        calls, device = self.calls, memory.device
        of_call = np.where(calls.shown[step.rows], calls.image[step.rows], step.images[0])
        images, local = np.unique(of_call, return_inverse=True)
        places = torch.from_numpy(np.searchsorted(images, step.images)).to(device)
        vectors = memory[torch.from_numpy(images).to(device)].index_copy(0, places, student)
        shown = torch.from_numpy(calls.shown[step.rows]).to(device)
        column = torch.from_numpy(local.reshape(of_call.shape)).to(device)
        queries, row = np.unique(calls.query[step.rows], return_inverse=True)
        similarity = self.texts[torch.from_numpy(queries).to(device)] @ vectors.T
        scores = similarity[torch.from_numpy(row).to(device)[:, None], column]
        target = torch.from_numpy(calls.target[step.rows]).to(device)
        weight = torch.from_numpy(calls.weight[calls.image[step.rows]]).to(device)
        mass = torch.from_numpy(calls.mass[step.rows]).to(device)
        return LOSSES[settings.loss](scores, target, shown, weight, mass, settings.temperature)
