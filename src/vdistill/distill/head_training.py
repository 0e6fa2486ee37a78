"""Trains an item head: on vectors that are known, with the loss and the retention of the image tower's training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, relu

from vdistill.distill.batches import Step
from vdistill.distill.choices import Calls
from vdistill.distill.losses import preference_loss
from vdistill.distill.retention import Titles
from vdistill.distill.settings import DistillSettings
from vdistill.distill.wordings import Asked, Wordings
from vdistill.encoders.item_head import ItemHead

START = 0.3  # of each text's weight, relative to the image's
CALLS = 1024  # in a step
STEPS, LR, WEIGHT_LR, DECAY = 160, 2e-3, 2e-2, 0.05
FEW_STEPS = 80  # for weights alone, a handful of numbers: with twice as many they end at the same
HIDDEN, DROPOUT = 256, 51  # units; of 256 values so many are dropped
RETAINED = 256  # items of a step whose titles are held to: the rest of its cost is the loss


@dataclass(frozen=True)
class Known:
    """What a head learns from.

    images: (n, dim) unit vectors of the calls' items.  texts: (n, f, dim) of their fields, zero where one is empty.
    wordings: of the queries.  titles: what is retained, at the weight `retention`.  bf16: multiply in it, on a CPU.
    """

    calls: Calls
    images: Tensor
    texts: Tensor
    wordings: Wordings
    titles: Titles
    retention: float
    bf16: bool = False

    @cached_property
    def textless(self) -> Tensor:
        """(n, 1) bool: the items without text, of which the image is all there is."""
        return ~self.texts.any(dim=2).any(dim=1, keepdim=True)


@dataclass(frozen=True, slots=True)
class HeadSettings:
    """hidden: units of the MLP, 0 for weights alone.  blind: the chance that a step leaves an item's image out.

    The image tower has learnt the very images that the head is trained on, so they tell more than others would.
    calls: in a step.
    """

    fields: tuple[str, ...]
    hidden: int = HIDDEN
    blind: float = 0.8
    calls: int = CALLS


@dataclass(frozen=True, slots=True)
class HeadJob:
    """A head to be trained.  seed: of its randomness."""

    known: Known
    wanted: HeadSettings
    seed: int


def trained_heads(jobs: Sequence[HeadJob], settings: DistillSettings) -> list[ItemHead]:
    """Train heads from their start, where each is the plain sum of image and texts.

    On a CPU side by side, each on one core: two cores are busier with two heads than with one.
    """
    heads = [_Head.of(job) for job in jobs]  # here, since it draws from the one generator that torch has
    threads = torch.get_num_threads()
    if len(jobs) == 1 or threads == 1 or jobs[0].known.images.device.type != "cpu":
        return [_trained(head, job, settings) for head, job in zip(heads, jobs, strict=True)]
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as executor:
            return list(executor.map(lambda head, job: _trained(head, job, settings), heads, jobs))
    finally:
        torch.set_num_threads(threads)


def _trained(head: _Head, job: HeadJob, settings: DistillSettings) -> ItemHead:
    known, wanted, seed = job.known, job.wanted, job.seed
    rng = torch.Generator().manual_seed(seed)
    order = np.random.default_rng([seed, 1])
    optimizer = torch.optim.AdamW(head.groups())
    rows, asked = np.array([], np.int64), known.wordings.drawn(known.calls.query, seed, 0)
    steps = STEPS if wanted.hidden else FEW_STEPS
    for step in range(steps):
        if not len(rows):
            rows = order.permutation(len(known.calls.query))
            asked = known.wordings.drawn(known.calls.query, seed, step)
        chosen, rows = rows[: wanted.calls], rows[wanted.calls :]
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * _schedule(step, steps)
        loss = _loss(head, known, asked, np.sort(chosen), settings, wanted.blind, rng)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(head.parameters(), 1.0)
        optimizer.step()
    return head.exported(wanted.fields)


class _Head(nn.Module):
    """`ItemHead` as it is trained; the last layer starts at zero."""

    @classmethod
    def of(cls, job: HeadJob) -> _Head:
        """The start of a job."""
        known = job.known
        torch.manual_seed(job.seed)
        head = cls(known.texts.shape[1], known.images.shape[1], job.wanted.hidden, job.seed, known.bf16)
        return head.to(known.images.device)

    def __init__(self, fields: int, dim: int, hidden: int, seed: int, bf16: bool) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.full((fields,), START))
        self.layers = nn.ModuleDict()
        if hidden:
            self.layers["inner"], self.layers["outer"] = nn.Linear((1 + fields) * dim, hidden), nn.Linear(hidden, dim)
            nn.init.zeros_(self.layers["outer"].weight)  # type: ignore[arg-type]
            nn.init.zeros_(self.layers["outer"].bias)  # type: ignore[arg-type]
        self._bf16 = bf16
        self._rng = np.random.default_rng([seed, 2])

    def forward(self, images: Tensor, texts: Tensor) -> Tensor:
        """(n, dim) unit vectors of images (n, dim) and texts (n, f, dim)."""
        mixed = images + (self.weights[None, :, None] * texts).sum(dim=1)
        if self.layers:
            parts = self._dropout(torch.cat([images[:, None], texts], dim=1).flatten(1))
            with torch.autocast("cpu", torch.bfloat16, enabled=self._bf16):
                hidden = relu(self.layers["inner"](parts))
                mixed = mixed + self.layers["outer"](self._dropout(hidden)).float()
        return normalize(mixed, dim=-1)

    def _dropout(self, values: Tensor) -> Tensor:
        """Dropout by random bytes: on a CPU torch's own takes as long as the product that follows."""
        drawn = torch.frombuffer(bytearray(self._rng.bytes(values.numel())), dtype=torch.uint8).view(values.shape)
        return values * (drawn.to(values.device) >= DROPOUT) * (256 / (256 - DROPOUT))

    def groups(self) -> list[dict[str, object]]:
        """The parameters for the optimizer, each group with the peak of its learning rate."""
        groups: list[dict[str, object]] = [{"params": [self.weights], "peak": WEIGHT_LR, "weight_decay": 0.0}]
        if self.layers:
            groups.append({"params": list(self.layers.parameters()), "peak": LR, "weight_decay": DECAY})
        return groups

    def exported(self, fields: tuple[str, ...]) -> ItemHead:
        """As numpy reads it."""
        layers = {name: value.detach().cpu().numpy() for name, value in self.layers.state_dict().items()}
        return ItemHead(fields, self.weights.detach().cpu().numpy(), layers)


def _loss(
    head: _Head,
    known: Known,
    asked: Asked,
    rows: np.ndarray,
    settings: DistillSettings,
    blind: float,
    rng: torch.Generator,
) -> Tensor:
    """The loss of some of the calls, in nats."""
    used = np.unique(known.calls.image[rows][known.calls.shown[rows]])
    places = torch.from_numpy(used).to(known.images.device)
    seen = torch.rand(len(used), 1, generator=rng).to(places.device) >= blind
    texts = known.texts[places]
    seen |= known.textless[places]
    vectors = head(known.images[places] * seen, texts)
    memory = known.images  # of the items of other steps nothing is needed: all that these calls show are `used`
    preference = preference_loss(known.calls, asked, Step(used, rows, 1.0), vectors, memory, settings)
    local = known.titles if len(used) == len(known.images) else known.titles.part(places)
    some = torch.randperm(len(used), generator=rng)[:RETAINED].sort().values.to(places.device)
    return preference + known.retention * local.loss(vectors[some], some, vectors.detach(), rng)


def _schedule(step: int, steps: int) -> float:
    """A tenth of the steps to warm up, then half a cosine down to nothing."""
    warm = steps // 10
    return (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm)))
