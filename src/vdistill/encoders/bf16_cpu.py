"""A copy of a dual encoder that embeds images fast on a CPU: bf16 products of weights laid out for them."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, normalize

from vdistill.encoders.dual_encoder import VISION_HEADS, DualEncoder, pooled

_LEAST = 0.99  # cosine of a white image's vectors: bf16 has three digits
BATCH = 16  # images; larger batches are slower


class Bf16Copy(DualEncoder):
    """A dual encoder whose image tower multiplies in bf16 and adds in float32.

    Autocast does so too, but converts the weights and lays them out anew for each batch.
    """

    @classmethod
    def of(cls, encoder: DualEncoder) -> Bf16Copy:
        """With a copy of the image tower of `encoder`, and of its heads; the text tower is shared."""
        model = copy.copy(encoder.model)
        modules, parts = dict(model.named_children()), (encoder.vision_name, *VISION_HEADS)
        lowered = {name: _lowered(copy.deepcopy(modules[name])) for name in parts if name in modules}
        model._modules = modules | lowered
        return cls(encoder.source, model, encoder.tokenizer, encoder.preprocessing, encoder.device, encoder.precision)

    def agrees_with(self, encoder: DualEncoder) -> bool:
        """Whether the tower runs in bf16 and gives what `encoder` gives: some mix layers with other products."""
        with torch.inference_mode():
            try:
                found, wanted = (one.image_features(**encoder.blank()) for one in (self, encoder))
            except Exception:  # whatever a tower raises here, the encoder itself works
                return False
        return float((found * wanted).sum()) > _LEAST

    def image_features(self, **inputs: Tensor) -> Tensor:
        """Unit vectors (n, dim) of pixel tensors."""
        parts = zip(*(torch.split(tensor, BATCH) for tensor in inputs.values()), strict=True)
        found = [self.model.get_image_features(**dict(zip(inputs, part, strict=True))) for part in parts]
        return normalize(torch.cat([pooled(one) for one in found]).float(), dim=-1)


class _Linear(nn.Module):
    """A linear layer in bf16, its weight laid out once as oneDNN multiplies it."""

    def __init__(self, of: nn.Linear) -> None:
        super().__init__()
        self.weight = of.weight.detach().bfloat16()  # for code that asks a layer for its type
        self.bias = None if of.bias is None else of.bias.detach().bfloat16()
        self._packed = _packed(self.weight, self.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        inputs = inputs.bfloat16()
        return linear(inputs, self.weight, self.bias) if self._packed is None else _product(inputs, *self._packed)


def _packed(weight: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor | None] | None:
    """The weight laid out for oneDNN, with its bias; None where that does not work.

    The operators are not public: they may vanish, change their arguments, refuse this processor, or err.
    """
    probe = torch.linspace(-1, 1, weight.shape[1], dtype=torch.bfloat16)[None]
    try:
        found = torch.ops.mkldnn._reorder_linear_weight(weight, BATCH * 50), bias
        right = torch.allclose(_product(probe, *found), linear(probe, weight, bias), rtol=0.05, atol=0.05)
    except Exception:  # whatever a build of torch raises here, the plain product works
        return None
    return found if right else None


def _product(inputs: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(inputs, packed, bias, "none", [], "")  # type: ignore[no-any-return]


class _Patches(nn.Module):
    """The first layer, which cuts the image into patches, in bf16."""

    def __init__(self, of: nn.Conv2d) -> None:
        super().__init__()
        self._of = of.bfloat16()

    @property
    def weight(self) -> Tensor:
        return self._of.weight

    def forward(self, pixels: Tensor) -> Tensor:
        return self._of(pixels.bfloat16()).float()  # type: ignore[no-any-return]


def _lowered(module: nn.Module) -> nn.Module:
    if type(module) is nn.Linear:
        return _Linear(module)
    if type(module) is nn.Conv2d:
        return _Patches(module)
    for name, child in list(module.named_children()):
        setattr(module, name, _lowered(child))
    return module
