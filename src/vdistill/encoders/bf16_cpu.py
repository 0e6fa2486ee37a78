"""Layers in bf16 on a CPU, their weights laid out once as oneDNN multiplies them.

Autocast multiplies in bf16, too, but converts the weights and lays them out anew for each batch.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from vdistill.encoders.lean_blocks import Activation

_ROWS = 800  # of inputs at once, which the layout is made for

_Packed = tuple[Tensor, Tensor | None, str, str]


class Bf16Linear(nn.Module):
    """A linear layer in bf16, with the activation after it; sums are in float32."""

    def __init__(self, linear: nn.Linear, activation: Activation | None = None, lowest: float | None = None) -> None:
        super().__init__()
        self.weight = linear.weight.detach().bfloat16()  # for code that asks a layer for its type
        self.bias = None if linear.bias is None else linear.bias.detach().bfloat16()
        self._activation = activation
        self._packed = self._pack()

    def forward(self, inputs: Tensor) -> Tensor:
        """The outputs (…, n) of inputs (…, k), in bf16."""
        inputs = inputs.bfloat16()
        return self._plain(inputs) if self._packed is None else _product(inputs, *self._packed)

    def _plain(self, inputs: Tensor) -> Tensor:
        found = functional.linear(inputs, self.weight, self.bias)
        return found if self._activation is None else self._activation.apply(found)

    def _pack(self) -> _Packed | None:
        """What the product takes beside its inputs; None where that does not work.

        The operators are not public: they may vanish, change their arguments, refuse this processor, or err.
        """
        probe = torch.linspace(-1, 1, self.weight.shape[1], dtype=torch.bfloat16)[None]
        name, algorithm = (self._activation.name, self._activation.algorithm) if self._activation else ("none", "")
        try:
            found = torch.ops.mkldnn._reorder_linear_weight(self.weight, _ROWS), self.bias, name, algorithm
            right = torch.allclose(_product(probe, *found), self._plain(probe), rtol=0.05, atol=0.05)
        except Exception:  # whatever a build of torch raises here, the plain product works
            return None
        return found if right else None


def _product(inputs: Tensor, packed: Tensor, bias: Tensor | None, name: str, algorithm: str) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(inputs, packed, bias, name, [], algorithm)  # type: ignore[no-any-return]


class Bf16Patches(nn.Module):
    """The first layer, which cuts the image into patches, in bf16."""

    def __init__(self, of: nn.Conv2d) -> None:
        super().__init__()
        self._of = copy.deepcopy(of).bfloat16()

    @property
    def weight(self) -> Tensor:
        """For code that asks a layer for its type."""
        return self._of.weight

    def forward(self, pixels: Tensor) -> Tensor:
        """The patches (images, width, rows, columns) of images (images, channels, height, width), in float32."""
        return self._of(pixels.bfloat16()).float()  # type: ignore[no-any-return]
