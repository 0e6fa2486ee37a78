"""Dropout of the adapter's inputs whose masks hang on seed, epoch, layer and image alone.

So an image is dropped the same whether a step is encoded whole, in parts, or by several processes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout

from vdistill.arrays import Ints

_IMAGES: ContextVar[tuple[int, ...]] = ContextVar("images", default=())


@contextlib.contextmanager
def of_images(numbers: Ints) -> Iterator[None]:
    """Within, the rows that a model is given are those of these images."""
    token = _IMAGES.set(tuple(numbers.tolist()))
    try:
        yield
    finally:
        _IMAGES.reset(token)


def by_image(model: nn.Module) -> None:
    """Replace the adapter's dropout in a model that peft wrapped."""
    holders: list[Any] = [module.lora_dropout for module in model.modules() if hasattr(module, "lora_dropout")]
    for layer, holder in enumerate(holders):
        for name, module in holder.items():
            if isinstance(module, nn.Dropout):
                holder[name] = ImageDropout(module.p, layer)


class ImageDropout(nn.Module):
    """`nn.Dropout` with a generator for each image; the epoch is known by torch's seed."""

    def __init__(self, p: float, layer: int) -> None:
        super().__init__()
        self.p, self.layer = p, layer

    def forward(self, x: Tensor) -> Tensor:
        """(rows, …), as many rows for each image as for the others; without images, torch's own dropout."""
        images = _IMAGES.get()
        if not self.training or not images or len(x) % len(images):
            return dropout(x, self.p, self.training)
        shape = (len(x) // len(images), *x.shape[1:])
        kept = torch.cat([self._kept(image, shape, x.device) for image in images])
        return x * kept / (1 - self.p)

    def _kept(self, image: int, shape: tuple[int, ...], device: torch.device) -> Tensor:
        seed = sha256(f"{torch.initial_seed()} {self.layer} {image}".encode()).digest()
        chance = torch.Generator(device).manual_seed(int.from_bytes(seed[:7], "big"))
        return torch.rand(shape, generator=chance, device=device) >= self.p
