"""What the student is taught: the teacher's preferences over the images of a call."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import log_softmax, logsigmoid

from vdistill.distill.batches import Step
from vdistill.distill.choices import Calls
from vdistill.distill.pairs import pair_scores
from vdistill.distill.settings import DistillSettings
from vdistill.distill.wordings import Asked


def bradley_terry_loss(
    scores: Tensor, target: Tensor, shown: Tensor, weight: Tensor, mass: Tensor, tau: float
) -> Tensor:
    """Cross-entropy between the teacher's and the student's pairwise preferences, over all pairs of each call.

    scores: (calls, images) cosine similarities, in [-1, 1].
    target: (calls, images) the teacher's probabilities of each image among those shown; a pair's preference is
        p_i / (p_i + p_j), and a pair of two zeros says nothing.
    shown:  (calls, images) bool, False for padding.
    weight: (calls, images) of each image; a pair weighs the product of its two, times the mass of its call.
    mass:   (calls,) of each call.
    Returns a scalar in nats, the weighted mean over pairs.
    Source: Bradley & Terry 1952; as a distillation loss, arXiv 2510.12014, section 3.
    """
    both = target[:, :, None] + target[:, None, :]
    pairs = shown[:, :, None] & shown[:, None, :] & (both > 0)
    pairs = pairs & ~torch.eye(scores.shape[1], dtype=torch.bool, device=scores.device)
    wins = target[:, :, None] / both.clamp_min(1e-12)
    margin = (scores[:, :, None] - scores[:, None, :]) / tau
    # Both orders of a pair are summed, so each term needs only its own half of the cross-entropy.
    nats = -wins * logsigmoid(margin)
    of_pair = torch.where(pairs, mass[:, None, None] * weight[:, :, None] * weight[:, None, :], 0.0)
    return 2 * (nats * of_pair).sum() / of_pair.sum().clamp_min(1e-12)


def listwise_loss(scores: Tensor, target: Tensor, shown: Tensor, weight: Tensor, mass: Tensor, tau: float) -> Tensor:
    """Cross-entropy between the teacher's and the student's distribution over the images of each call.

    Shapes as in `bradley_terry_loss`. Returns a scalar in nats, the mean over calls, each weighing its mass times
    the mean weight of its images.
    Source: ListNet, Cao et al. 2007; with one-hot rows the Plackett–Luce likelihood of a first choice.
    """
    logits = (scores / tau).masked_fill(~shown, -torch.inf)
    nats = -(target * log_softmax(logits, dim=1).masked_fill(~shown, 0.0)).sum(dim=1)
    of_call = mass * (weight * shown).sum(dim=1) / shown.sum(dim=1)
    return (nats * of_call).sum() / of_call.sum().clamp_min(1e-12)


LOSSES = {"bradley-terry": bradley_terry_loss, "listwise": listwise_loss}


def preference_loss(
    calls: Calls, asked: Asked, step: Step, student: Tensor, memory: Tensor, settings: DistillSettings
) -> Tensor:
    """The loss of one step over the calls that have some of its images, in nats.

    asked: in which wording each call stands.  student: (k, dim) unit vectors of the step's images.
    memory: (images, dim) the last known vectors of all images, which stand for those of other steps.
    """

    def on_device(array: np.ndarray) -> Tensor:
        return torch.from_numpy(array).to(memory.device)

    of_call = np.where(calls.shown[step.rows], calls.image[step.rows], step.images[0])
    images, local = np.unique(of_call, return_inverse=True)
    places = on_device(np.searchsorted(images, step.images))
    vectors = memory[on_device(images)].index_copy(0, places, student)
    wordings, row = np.unique(asked.rows[step.rows], return_inverse=True)
    place = on_device(local.reshape(of_call.shape))
    return LOSSES[settings.loss](
        pair_scores(asked.vectors[on_device(wordings)], on_device(row), vectors, place),
        on_device(calls.target[step.rows]),
        on_device(calls.shown[step.rows]),
        on_device(calls.weight[calls.image[step.rows]]),
        on_device(calls.mass[step.rows]),
        settings.temperature,
    )
