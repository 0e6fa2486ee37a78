"""Linear layers in int8 on a CPU: each row of inputs has its own scale, as has each output.

A scale for a whole batch, which quantisation libraries use, would be set by the largest number of any token, and towers
have tokens that are a hundred times larger than the others.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn

from vdistill.encoders.lean_blocks import Activation

_LARGEST = 127
_ROWS = 400  # of inputs at once, which the layout is made for
_SHIFT = 128
_TINY = 1e-30


class Int8Linear(nn.Module):
    """A linear layer whose inputs (…, k) and weight are rounded to int8 for a product that is exact.

    activation: what follows.  lowest: the least value that an input can have, where that is far from minus the largest
    (after an activation): all of int8 is then used for what is above it, and the inputs are overwritten.
    Raises NotImplementedError, or what torch raises, where the processor or the build of torch has no such product.
    """

    def __init__(self, linear: nn.Linear, activation: Activation | None = None, lowest: float | None = None) -> None:
        super().__init__()
        weight = linear.weight.detach().float()
        self.weight = torch.zeros(()).expand(weight.shape)  # for code that asks a layer for its type
        rounded, self._scales = _rounded(weight, _largest_pair())
        self._packed = torch.ops.onednn.qlinear_prepack(rounded, [_ROWS, rounded.shape[1]])
        self._zeros = torch.zeros(len(rounded), dtype=torch.int64)
        self._bias = torch.zeros(len(rounded)) if linear.bias is None else linear.bias.detach().float()
        if lowest is not None:
            self._bias = self._bias + lowest * self._scales * rounded.sum(1, dtype=torch.int32)
        self._activation, self._lowest = activation, lowest
        self._require_exact(rounded)

    def forward(self, inputs: Tensor) -> Tensor:
        """The outputs (…, n) of inputs (…, k), in float32."""
        rows = inputs.reshape(-1, inputs.shape[-1]).float()
        whole, scale = _of_any_sign(rows) if self._lowest is None else _from(rows, self._lowest)
        sums = self._products(_shifted(whole), _SHIFT if self._lowest is None else 0)
        found = torch.addcmul(self._bias, sums, scale, out=sums).view(*inputs.shape[:-1], -1)
        return found if self._activation is None else self._activation.apply(found)

    def _products(self, whole: Tensor, zero: int) -> Tensor:
        return _product(whole, zero, self._packed, self._scales, self._zeros)

    def _require_exact(self, weight: Tensor) -> None:
        """Refuse a product that cuts off sums on its way: with the largest inputs by the signs of some weights."""
        each = max(1, len(weight) // 64)
        some = weight[::each].float()  # of the outputs; all of them would take as long as packing the weight
        whole = torch.where(some[::8] > 0, 255, 0).to(torch.uint8)
        for zero in (0, _SHIFT):
            wanted = (whole.float() - zero) @ some.T * self._scales[::each]  # whole numbers below 2 ** 24, so exact
            found = self._products(whole, zero)[:, ::each]
            if not torch.allclose(found, wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max())):
                raise NotImplementedError("int8 products are not exact")


class Int8Patches(nn.Module):
    """The first layer, which cuts the image into patches, as a linear layer of their pixels."""

    def __init__(self, of: nn.Conv2d) -> None:
        super().__init__()
        linear = nn.Linear(of.weight[0].numel(), len(of.weight), bias=False, device="meta")
        linear.weight = nn.Parameter(of.weight.flatten(1), requires_grad=False)
        if of.bias is not None:
            linear.bias = nn.Parameter(of.bias, requires_grad=False)
        self._linear, self._size = Int8Linear(linear), of.kernel_size

    @property
    def weight(self) -> Tensor:
        """For code that asks a layer for its type."""
        return self._linear.weight

    def forward(self, pixels: Tensor) -> Tensor:
        """The patches (images, width, rows, columns) of images (images, channels, height, width), in float32."""
        images, channels, height, width = pixels.shape
        down, across = self._size
        rows, columns = height // down, width // across
        cut = pixels[:, :, : rows * down, : columns * across]
        cut = cut.reshape(images, channels, rows, down, columns, across).permute(0, 2, 4, 1, 3, 5)
        return self._linear(cut.flatten(3)).permute(0, 3, 1, 2)  # type: ignore[no-any-return]


def int8_patches(of: nn.Conv2d) -> nn.Module:
    """A convolution in int8 if it cuts its input into patches side by side, else itself."""
    beside = of.stride == of.kernel_size and of.padding in ("valid", (0, 0))
    return Int8Patches(of) if beside and of.dilation == (1, 1) and of.groups == 1 else of


def _product(whole: Tensor, zero: int, packed: Tensor, scales: Tensor, zeros: Tensor) -> Tensor:
    """(m, n) float32 sums of (m, k) uint8 less `zero`, times packed (k, n) int8, scaled by (n,)."""
    product = torch.ops.onednn.qlinear_pointwise
    return product(whole, 1.0, zero, packed, scales, zeros, None, 1.0, 0, torch.float32, "none", [], "")  # type: ignore[no-any-return]


def _shifted(whole: Tensor) -> Tensor:
    """int8 + 128 as uint8, in place: torch makes int8 of numbers much faster, oneDNN multiplies uint8 much faster."""
    return whole.view(torch.uint8).bitwise_xor_(_SHIFT)


def _of_any_sign(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Rows (m, k) as int8, and their scales (m, 1)."""
    # Not abs().amax(): that writes all of the rows once more, which takes several times as long as reading them twice.
    peak = torch.maximum(rows.amax(1, keepdim=True), rows.amin(1, keepdim=True).neg_()).clamp_min_(_TINY)
    return (rows * (_LARGEST / peak)).round_().to(torch.int8), peak / _LARGEST


def _from(rows: Tensor, lowest: float) -> tuple[Tensor, Tensor]:
    """Rows (m, k) that are nowhere below `lowest`, which becomes the least int8, and their scales (m, 1); in place."""
    peak = rows.amax(1, keepdim=True).sub_(lowest).clamp_min_(_TINY)
    factor = (2 * _LARGEST + 1) / peak
    torch.addcmul(-lowest * factor - _SHIFT, rows, factor, out=rows)
    return rows.round_().to(torch.int8), factor.reciprocal_()


def _rounded(weight: Tensor, pair: int) -> tuple[Tensor, Tensor]:
    """A weight (n, k) as int8, and the scales (n,) of its rows; two neighbours add up to `pair` at most, unsigned."""
    size = weight.abs()
    if size.shape[1] % 2:
        size = nn.functional.pad(size, (0, 1))
    largest, pairs = size.amax(1) / _LARGEST, (size[:, ::2] + size[:, 1::2]).amax(1) / (pair - 1)
    scales = torch.maximum(largest, pairs).clamp_min(_TINY)
    return (weight / scales[:, None]).round_().to(torch.int8), scales


@cache
def _largest_pair() -> int:
    """What the sizes of two neighbouring weights may add up to.

    A processor with AVX2 alone adds the products of two neighbours in 16 bits, where larger ones are cut off.
    """
    weight = torch.full((32, 64), _LARGEST, dtype=torch.int8)
    scales, zeros = torch.ones(len(weight)), torch.zeros(len(weight), dtype=torch.int64)
    packed = torch.ops.onednn.qlinear_prepack(weight, [8, 64])
    most = _product(torch.full((8, 64), 255, dtype=torch.uint8), 0, packed, scales, zeros)
    return 2 * _LARGEST + 1 if float(most.min()) == 64 * 255 * _LARGEST else _LARGEST + 1
