"""Transformer blocks of an image tower with fewer steps between their products: for embedding alone, on a CPU.

Queries, keys and values are one product, activations are part of the product before them, and what is added to the
residual is added in place.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention, silu

_QUICK = 1.702  # quick GELU is x · sigmoid(1.702 x)
_ALIKE = 1e-4


@dataclass(frozen=True)
class Activation:
    """An activation that products have built in.  lowest: its least value.  name, algorithm: oneDNN's names for it."""

    name: str
    algorithm: str
    lowest: float
    apply: Callable[[Tensor], Tensor]


_SILU = Activation("swish", "", -0.2785, lambda values: silu(values, inplace=True))
_GELU = Activation("gelu", "none", -0.17, gelu)
_GELU_TANH = Activation("gelu", "tanh", -0.1701, lambda values: gelu(values, approximate="tanh"))


class Products(Protocol):
    """Makes the layers of one numeric path."""

    def __call__(
        self, linear: nn.Linear, activation: Activation | None = None, lowest: float | None = None
    ) -> nn.Module:
        """A layer that does what `linear` does, then the activation; no input is below `lowest`."""
        ...


class LeanBlock(nn.Module):
    """A block that norms before attention and before its MLP, as CLIP's and SigLIP's do.

    first_only: whether the tower reads nothing but the first token of the block's output, which then is all of it.
    """

    def __init__(self, of: Any, products: Products) -> None:
        super().__init__()
        attention, mlp = of.self_attn, of.mlp
        activation, factor = _activation(mlp.activation_fn)
        self._norms = of.layer_norm1, of.layer_norm2
        self._heads, self._scale = attention.num_heads, float(attention.scale)
        self._attended = products(_joined(attention.q_proj, attention.k_proj, attention.v_proj))
        self._out = products(attention.out_proj)
        self._up = products(_scaled(mlp.fc1, factor, factor), activation)
        self._down = products(_scaled(mlp.fc2, 1 / factor, 1), lowest=activation.lowest)
        self.first_only = False

    def forward(self, hidden_states: Tensor, attention_mask: Tensor | None = None, **_: object) -> Tensor:
        """(images, tokens, width) after the block, of as many before it."""
        first, second = self._norms
        batch, tokens, width = hidden_states.shape
        parts = self._attended(first(hidden_states)).view(batch, tokens, 3, self._heads, -1)
        queries, keys, values = (parts[:, :, place].transpose(1, 2) for place in range(3))
        if self.first_only:
            queries, hidden_states = queries[:, :, :1], hidden_states[:, :1]
            attention_mask = attention_mask[..., :1, :] if attention_mask is not None else None
        found = scaled_dot_product_attention(queries, keys, values, attention_mask, scale=self._scale)
        found = found.transpose(1, 2).reshape(batch, -1, width)
        hidden_states = hidden_states + self._out(found)
        return hidden_states.add_(self._down(self._up(second(hidden_states))))


def lean_block(of: Any, products: Products) -> LeanBlock | None:
    """`of` with these products; None where it is no such block."""
    if not hasattr(of, "layer_norm1"):
        return None
    try:
        width = of.layer_norm1.normalized_shape[0]
        probe = torch.linspace(-1, 1, 6 * width).sin_().view(2, 3, width)
        with torch.inference_mode():
            same = torch.allclose(LeanBlock(of, _exact)(probe), of(probe, None), rtol=_ALIKE, atol=_ALIKE)
        return LeanBlock(of, products) if same else None
    except Exception:  # whatever a block of another kind lacks or raises: it is not replaced
        return None


def _exact(linear: nn.Linear, activation: Activation | None = None, lowest: float | None = None) -> nn.Module:
    """Products in float32, to compare a lean block with the one it replaces."""
    return linear if activation is None else nn.Sequential(linear, _Applied(activation))


class _Applied(nn.Module):
    def __init__(self, activation: Activation) -> None:
        super().__init__()
        self._apply_ = activation.apply

    def forward(self, values: Tensor) -> Tensor:
        return self._apply_(values)


def _activation(of: nn.Module) -> tuple[Activation, float]:
    """The activation, and a factor: `of(x)` is the activation of x · factor, divided by it."""
    probe = torch.linspace(-4, 4, 100)
    wanted = of(probe)
    for activation, factor in ((_SILU, _QUICK), (_GELU, 1.0), (_GELU_TANH, 1.0)):
        if torch.allclose(activation.apply(probe * factor) / factor, wanted, rtol=1e-5, atol=1e-5):
            return activation, factor
    raise ValueError("another activation")


def _joined(*parts: nn.Linear) -> nn.Linear:
    """One layer whose outputs are those of all parts, one after another."""
    found = nn.Linear(parts[0].in_features, sum(part.out_features for part in parts), device="meta")
    found.weight = nn.Parameter(torch.cat([part.weight for part in parts]), requires_grad=False)
    found.bias = nn.Parameter(torch.cat([part.bias for part in parts]), requires_grad=False)
    return found


def _scaled(linear: nn.Linear, weight: float, bias: float) -> nn.Linear:
    found = nn.Linear(linear.in_features, linear.out_features, device="meta")
    found.weight = nn.Parameter(linear.weight * weight, requires_grad=False)
    found.bias = nn.Parameter(linear.bias * bias, requires_grad=False)
    return found
