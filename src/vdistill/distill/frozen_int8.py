"""Frozen weights multiplied in int8 while the adapter on them trains, on a CPU.

What a layer gives, and the gradient of what it gets, are rounded; the adapter's weights and their gradients are not.
Source: SwitchBack, Wortsman et al. 2023, arXiv 2304.13013.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from vdistill.distill.checkpoint import trained
from vdistill.distill.step_encoder import attention
from vdistill.distill.towers import Tower
from vdistill.encoders.cpu_copy import INT8, PROBES, near
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.int8_cpu import Int8Linear

COSINE = 0.98  # of the adapter's gradient to the exact one, at least
NARROW = {"fp32": 256, "bf16": 512}  # inputs or outputs: layers with fewer are not multiplied faster in int8


@contextlib.contextmanager
def frozen_in_int8(encoder: DualEncoder, tower: Tower) -> Iterator[None]:
    """Within it, the layers below the adapter of `encoder` multiply in int8, if that changes next to nothing.

    It is tried on the first images of `tower`. Otherwise, and on other devices, all stays as it is.
    """
    holders = _holders(encoder, NARROW[encoder.precision]) if encoder.on_cpu else []
    exact = [holder.base_layer for holder in holders]
    try:
        if holders and not _put_in(encoder, tower, holders):
            _put_back(holders, exact)
        yield
    finally:
        _put_back(holders, exact)


class FrozenInt8(nn.Module):
    """A linear layer whose weight does not train, in int8 forwards and backwards."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = linear.weight  # for code that asks a layer for it
        back = nn.Linear(linear.out_features, linear.in_features, bias=False, device="meta")
        back.weight = nn.Parameter(linear.weight.detach().T.contiguous(), requires_grad=False)
        self._there, self._back = Int8Linear(linear), Int8Linear(back)

    def forward(self, inputs: Tensor) -> Tensor:
        """The outputs (…, n) of inputs (…, k), in float32; within autocast in bf16."""
        found: Tensor = _Product.apply(inputs, self._there, self._back)  # type: ignore[no-untyped-call]
        return found.bfloat16() if torch.is_autocast_enabled("cpu") else found


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, there: Int8Linear, back: Int8Linear) -> Tensor:
        ctx.back = back
        return there(inputs)  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        return ctx.back(gradients[0]), None, None


def _holders(encoder: DualEncoder, narrow: int) -> list[Any]:
    """The adapter's layers on wide linear ones; none of a weight-decomposed adapter, which needs exact weights.

    Without the projection after the tower: it costs little, and what is rounded there no later layer evens out.
    """
    found: list[tuple[str, Any]] = [
        (name, module)
        for name, module in encoder.model.named_modules()
        if type(getattr(module, "base_layer", None)) is nn.Linear
    ]
    if any(len(getattr(module, "lora_magnitude_vector", ())) for _, module in found):
        return []
    return [
        module
        for name, module in found
        if not encoder.is_projection(name) and min(module.base_layer.weight.shape) >= narrow
    ]


def _put_in(encoder: DualEncoder, tower: Tower, holders: list[Any]) -> bool:
    """Put the layers in int8 in place; whether all is what it was before, to the digits that matter."""
    wanted, slope = _pass(encoder, tower)
    try:
        with torch.no_grad():
            layers = [FrozenInt8(holder.base_layer) for holder in holders]
        _put_back(holders, layers)
        found, rounded = _pass(encoder, tower)
    except Exception:  # whatever a processor or a build of torch raises here, the exact layers work
        return False
    return near(found, wanted, INT8) and bool(cosine_similarity(rounded.double(), slope.double(), dim=0) >= COSINE)


def _put_back(holders: list[Any], layers: list[Any]) -> None:
    for holder, layer in zip(holders, layers, strict=True):
        holder.base_layer = layer


def _pass(encoder: DualEncoder, tower: Tower) -> tuple[Tensor, Tensor]:
    """The vectors (n, dim) of the first images, and the adapter's gradient of a sum that weighs their numbers.

    One image after another: how many fit into memory together is not known yet.
    """
    encoder.model.eval()
    weights, vectors, gradients = list(trained(encoder.model).values()), [], []
    for number in range(min(PROBES, len(tower))):
        with attention(encoder)():
            vector = tower.features(np.array([number]))
        slope = torch.linspace(number, number + 300, vector.numel(), device=vector.device).sin_().view_as(vector)
        found = torch.autograd.grad((vector * slope).sum(), weights, allow_unused=True)
        vectors.append(vector.detach())
        gradients.append(torch.cat([one.flatten() for one in found if one is not None]))
    return torch.cat(vectors), torch.stack(gradients).sum(0)
