"""A step encoded in parts, with the gradient of its whole loss: any tower on any card.

The loss needs the vectors of all images of a step at once, but not what the tower remembers of them. So where that does
not fit, the parts are encoded without a graph, the loss is differentiated down to the vectors, and each part is encoded
again, with a graph, to take its share of that gradient further.
Source: cached gradients, Gao et al. 2021, arXiv 2101.06983.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vdistill.arrays import Ints
from vdistill.distill.augment import Crops
from vdistill.distill.dropout import of_images
from vdistill.distill.towers import Tower

Context = Callable[[], contextlib.AbstractContextManager[None]]


@dataclass(frozen=True)
class Encoder:
    """Encodes images `at_once` by a tower; `context` is entered around each forward pass."""

    tower: Tower
    at_once: int
    context: Context = contextlib.nullcontext

    def encode(self, numbers: Ints, crops: Crops | None = None) -> Encoded:
        """The vectors of these images; one pass where they fit, which costs nothing more."""
        if len(numbers) <= self.at_once:
            return Encoded(self._features(numbers, crops))
        parts, chances, found = [], [], []
        for at in range(0, len(numbers), self.at_once):
            parts.append(slice(at, at + self.at_once))
        with torch.no_grad():
            for part in parts:
                chances.append(Chance.now())
                found.append(self._features(numbers[part], crops and crops.part(part)))
        vectors = torch.cat(found).requires_grad_()

        def again(place: int) -> Tensor:
            chances[place].restore()
            return self._features(numbers[parts[place]], crops and crops.part(parts[place]))

        return Encoded(vectors, parts, again)

    def _features(self, numbers: Ints, crops: Crops | None) -> Tensor:
        with self.context(), of_images(numbers):
            return self.tower.features(numbers, crops)


@dataclass(frozen=True)
class Encoded:
    """vectors: (n, dim) unit vectors that a loss may be taken of."""

    vectors: Tensor
    _parts: list[slice] = field(default_factory=list)
    _again: Callable[[int], Tensor] | None = None

    def finish(self) -> None:
        """After the loss went backward: through the tower too, part by part. Nothing to do after one pass."""
        if self._again is None:
            return
        gradient = self.vectors.grad
        if gradient is None:  # the loss did not hang on them
            return
        now = Chance.now()
        for place, part in enumerate(self._parts):
            self._again(place).backward(gradient[part])  # type: ignore[no-untyped-call]
        now.restore()


@dataclass(frozen=True)
class Chance:
    """The state of torch's generators, so that both passes of a part drop the same."""

    cpu: Tensor
    cuda: list[Tensor]

    @classmethod
    def now(cls) -> Chance:
        """As they are."""
        cuda = torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        return cls(torch.get_rng_state(), torch.cuda.get_rng_state_all() if cuda else [])

    def restore(self) -> None:
        """Put them back."""
        torch.set_rng_state(self.cpu)
        if self.cuda:
            torch.cuda.set_rng_state_all(self.cuda)
