"""The adapter: LoRA on the image tower alone, so that the text tower stays exactly the backbone's.

The masks of its dropout depend on seed, epoch, layer and image alone, so that they are the same whether a step is
encoded whole, in parts, or by several processes.
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
from vdistill.distill.settings import DistillSettings
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.pretrained import quiet_peft
from vdistill.errors import VdistillError

_IMAGES: ContextVar[tuple[int, ...]] = ContextVar("images", default=())


def attach(encoder: DualEncoder, settings: DistillSettings) -> int:
    """Wrap the encoder's model with a fresh adapter; returns how many parameters it trains.

    Raises VdistillError where `settings.train_layers` does not fit the model.
    """
    from peft import LoraConfig, get_peft_model

    targets = encoder.lora_targets(settings.train_layers)
    if not targets:
        raise VdistillError(
            f"--train-layers 0: {encoder.source} has no projection to train", hint="train one block or more"
        )
    torch.manual_seed(settings.seed)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=2 * settings.rank if settings.alpha is None else settings.alpha,
        lora_dropout=settings.dropout,
        use_dora=settings.dora,
        use_rslora=settings.rslora,
        target_modules=targets,
        bias="none",
    )
    with quiet_peft():
        encoder.model = get_peft_model(encoder.model, config)
    _drop_by_image(encoder.model)
    return sum(parameter.numel() for parameter in encoder.model.parameters() if parameter.requires_grad)


@contextlib.contextmanager
def rows_are(images: Ints) -> Iterator[None]:
    """Within this context the rows that the model is given are those of these images (n,): for its dropout."""
    token = _IMAGES.set(tuple(images.tolist()))
    try:
        yield
    finally:
        _IMAGES.reset(token)


class ImageDropout(nn.Module):
    """`nn.Dropout` with a generator of its own for each image; the epoch enters through torch's seed."""

    def __init__(self, p: float, layer: int) -> None:
        super().__init__()
        self.p, self.layer = p, layer

    def forward(self, x: Tensor) -> Tensor:
        """(rows, …), equally many rows for each image; torch's own dropout outside `rows_are`."""
        images = _IMAGES.get()
        if not self.training or not images or len(x) % len(images):
            return dropout(x, self.p, self.training)
        shape = (len(x) // len(images), *x.shape[1:])
        kept = torch.cat([self._kept(image, shape, x.device) for image in images])
        return x * kept / (1 - self.p)

    def _kept(self, image: int, shape: tuple[int, ...], device: torch.device) -> Tensor:
        seed = sha256(f"{torch.initial_seed()} {self.layer} {image}".encode()).digest()
        rng = torch.Generator(device).manual_seed(int.from_bytes(seed[:7], "big"))
        return torch.rand(shape, generator=rng, device=device) >= self.p


def _drop_by_image(model: nn.Module) -> None:
    holders: list[Any] = [module.lora_dropout for module in model.modules() if hasattr(module, "lora_dropout")]
    for layer, holder in enumerate(holders):
        for name, module in holder.items():
            if isinstance(module, nn.Dropout):
                holder[name] = ImageDropout(module.p, layer)
