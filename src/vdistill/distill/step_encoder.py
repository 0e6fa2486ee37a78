"""The images of a step encoded with gradients, in as many parts as memory needs, to the same gradient.

The loss needs the vectors of all images of a step at once, but not what the tower keeps for its backward pass. So where
that does not fit, the parts are encoded without a graph, the loss is differentiated down to the vectors, and each part
is encoded again, with a graph, to take its share of that gradient further.
Source: cached gradients, Gao et al. 2021, arXiv 2101.06983.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from vdistill.arrays import Ints
from vdistill.distill.adapter import rows_are
from vdistill.distill.augment import Crops
from vdistill.distill.towers import Tower
from vdistill.encoders.dual_encoder import DualEncoder

Context = Callable[[], contextlib.AbstractContextManager[None]]
_SHORT = 128  # tokens


def attention(encoder: DualEncoder) -> Context:
    """The attention to train with: on a CPU plain attention for short sequences, since its gradient is faster there."""
    vision = getattr(encoder.model.config, "vision_config", None)
    side, patch = getattr(vision, "image_size", None), getattr(vision, "patch_size", None)
    if not isinstance(side, int) or not isinstance(patch, int):
        return contextlib.nullcontext
    short = (side // patch) ** 2 <= _SHORT
    return (lambda: sdpa_kernel(SDPBackend.MATH)) if short and encoder.on_cpu else contextlib.nullcontext


@dataclass(frozen=True)
class StepEncoder:
    """Encodes images with a tower, `at_once` in one pass; `context` is entered around each forward pass."""

    tower: Tower
    at_once: int
    context: Context = contextlib.nullcontext

    def encode(self, numbers: Ints, crops: Crops | None = None) -> Encoded:
        """The vectors of these images; a single pass where they fit, which costs nothing extra."""
        if len(numbers) <= self.at_once:
            return Encoded(self._features(numbers, crops))
        parts = [slice(at, at + self.at_once) for at in range(0, len(numbers), self.at_once)]
        states, found = [], []
        with torch.no_grad():
            for part in parts:
                states.append(RandomState.now())
                found.append(self._features(numbers[part], crops and crops.part(part)))

        def again(place: int) -> Tensor:
            states[place].restore()
            return self._features(numbers[parts[place]], crops and crops.part(parts[place]))

        return Encoded(torch.cat(found).requires_grad_(), parts, again)

    def _features(self, numbers: Ints, crops: Crops | None) -> Tensor:
        with self.context(), rows_are(numbers):
            return self.tower.features(numbers, crops)


@dataclass(frozen=True)
class Encoded:
    """vectors: (n, dim) unit vectors that a loss may be computed from."""

    vectors: Tensor
    _parts: list[slice] = field(default_factory=list)
    _again: Callable[[int], Tensor] | None = None

    def finish(self) -> None:
        """After the loss's backward pass: take it on through the tower, part by part. Nothing to do after one pass."""
        if self._again is None:
            return
        gradient = self.vectors.grad
        if gradient is None:  # the loss does not depend on these vectors
            return
        now = RandomState.now()
        for place, part in enumerate(self._parts):
            self._again(place).backward(gradient[part])  # type: ignore[no-untyped-call]
        now.restore()


@dataclass(frozen=True)
class RandomState:
    """The state of torch's generators, so that both passes of a part drop the same activations."""

    cpu: Tensor
    cuda: list[Tensor]

    @classmethod
    def now(cls) -> RandomState:
        """The present state."""
        cuda = torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        return cls(torch.get_rng_state(), torch.cuda.get_rng_state_all() if cuda else [])

    def restore(self) -> None:
        """Go back to it."""
        torch.set_rng_state(self.cpu)
        if self.cuda:
            torch.cuda.set_rng_state_all(self.cuda)
