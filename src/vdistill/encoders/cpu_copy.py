"""A copy of a dual encoder that embeds images fast on a CPU: in int8 or bf16, where its vectors stay what they were."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, pdist

from vdistill.encoders.bf16_cpu import Bf16Linear, Bf16Patches
from vdistill.encoders.dual_encoder import VISION_HEADS, DualEncoder, pooled
from vdistill.encoders.int8_cpu import Int8Linear, int8_patches
from vdistill.encoders.lean_blocks import LeanBlock, Products, lean_block

PROBES = 8  # images that a path is tried on
_FEWEST = 3  # fewer do not tell how far apart images are


@dataclass(frozen=True)
class NumericPath:
    """How the products of an image tower are computed.

    batch: images at once; more are slower.  heads: whether the projection after the tower takes this path, too.
    cosine, error: what vectors must keep to: at least this cosine to float32, and at most this error as a share of the
    median distance between two images.
    """

    products: Products
    patches: Callable[[nn.Conv2d], nn.Module]
    batch: int
    heads: bool
    cosine: float
    error: float


INT8 = NumericPath(Int8Linear, int8_patches, batch=32, heads=False, cosine=0.9995, error=0.1)
BF16 = NumericPath(Bf16Linear, Bf16Patches, batch=16, heads=True, cosine=0.99, error=1.0)


PATHS = {"int8": INT8, "bf16": BF16}


class CpuCopy(DualEncoder):
    """A dual encoder whose image tower takes a numeric path of its own."""

    path: NumericPath

    @classmethod
    def of(cls, encoder: DualEncoder, path: NumericPath) -> CpuCopy:
        """With a copy of the image tower of `encoder`; the text tower is shared.

        Raises what torch raises where this processor or this build of torch does not have the path.
        """
        model = copy.copy(encoder.model)
        modules = dict(model.named_children())
        parts = (encoder.vision_name, *(VISION_HEADS if path.heads else ()))
        lowered = {name: on_path(modules[name], path) for name in parts if name in modules}
        model._modules = modules | lowered
        found = cls(encoder.source, model, encoder.tokenizer, encoder.preprocessing, encoder.device, encoder.precision)
        found.path = path
        last = encoder.vision_blocks()[-1]
        block = model.get_submodule(last)
        if isinstance(block, LeanBlock):
            block.first_only = _reads_first_only(encoder, encoder.model.get_submodule(last))
        return found

    def image_features(self, **inputs: Tensor) -> Tensor:
        """Unit vectors (n, dim) of pixel tensors."""
        parts = zip(*(torch.split(tensor, self.path.batch) for tensor in inputs.values()), strict=True)
        found = [self.model.get_image_features(**dict(zip(inputs, part, strict=True))) for part in parts]
        return normalize(torch.cat([pooled(one) for one in found]).float(), dim=-1)


class FastOnCpu(DualEncoder):
    """A dual encoder that embeds images on the first numeric path that its first images agree with."""

    _chosen: DualEncoder | None = None

    @classmethod
    def of(cls, encoder: DualEncoder) -> FastOnCpu:
        """For an encoder on a CPU, which stays as it is."""
        return cls(**fields_of(encoder))

    def image_features(self, **inputs: Tensor) -> Tensor:
        """Unit vectors (n, dim) of pixel tensors; few images before the choice go through the encoder itself."""
        if self._chosen is None and len(next(iter(inputs.values()))) >= _FEWEST:
            self._chosen = self.choice({name: tensor[:PROBES] for name, tensor in inputs.items()})
        if self._chosen is None:
            return super().image_features(**inputs)
        return self._chosen.image_features(**inputs)

    def choice(self, inputs: Mapping[str, Tensor]) -> DualEncoder:
        """The fastest copy whose vectors of these images agree with float32; where none does, the encoder itself."""
        itself = DualEncoder(**fields_of(self))
        exact = DualEncoder(**{**fields_of(self), "precision": "fp32"}).image_features(**inputs)
        for path in (INT8, BF16) if self.precision == "bf16" else (INT8,):
            try:
                fast = CpuCopy.of(itself, path)
                if near(fast.image_features(**inputs), exact, path):
                    return fast
            except Exception:  # whatever a tower, a processor or a build of torch raises here, the encoder itself works
                continue
        return itself


def path_for(encoder: DualEncoder, inputs: Mapping[str, np.ndarray]) -> str | None:
    """The name of the path that suits these images, one preprocessed batch; None for the encoder's own.

    For an encoder on a CPU. It decides as `FastOnCpu` does with its first batch.
    """
    fast = FastOnCpu.of(encoder)
    first = {name: tensor[:PROBES] for name, tensor in fast.to_tensors(inputs).items()}
    if len(next(iter(first.values()))) < _FEWEST:
        return None
    with torch.inference_mode():
        chosen = fast.choice(first)
    return next((name for name, path in PATHS.items() if isinstance(chosen, CpuCopy) and chosen.path is path), None)


def with_path(encoder: DualEncoder, name: str | None) -> DualEncoder:
    """The encoder as it embeds images on this path. Raises what torch raises where this processor does not have it."""
    with torch.inference_mode():
        return encoder if name is None else CpuCopy.of(encoder, PATHS[name])


def fields_of(encoder: DualEncoder) -> dict[str, Any]:
    """The fields of an encoder."""
    return {name: getattr(encoder, name) for name in DualEncoder.__dataclass_fields__}


def near(found: Tensor, exact: Tensor, path: NumericPath) -> bool:
    """Whether vectors (n, dim) of images on this path are near enough to the `exact` ones."""
    cosine, error = (found * exact).sum(1).min(), (found - exact).norm(dim=1).median()
    return bool(cosine >= path.cosine) and bool(error <= path.error * pdist(exact).median())


def _reads_first_only(encoder: DualEncoder, last: nn.Module) -> bool:
    """Whether the tower reads no token but the first of what its last block gives."""
    inputs = {
        name: torch.linspace(0, 300, tensor.numel()).sin_().view_as(tensor) if tensor.is_floating_point() else tensor
        for name, tensor in encoder.blank().items()
    }
    wanted = pooled(encoder.model.get_image_features(**inputs))
    handle = last.register_forward_hook(lambda _module, _inputs, output: output[:, :1])
    try:
        found = pooled(encoder.model.get_image_features(**inputs))
    except Exception:  # whatever a tower raises that needs the other tokens
        return False
    finally:
        handle.remove()
    return torch.allclose(found, wanted, rtol=1e-4, atol=1e-5)


def on_path(module: nn.Module, path: NumericPath) -> nn.Module:
    """A copy of `module` on this path, without a copy of the weights that it does not need.

    Raises what torch raises where this processor or this build of torch does not have the path.
    """
    if type(module) is nn.Linear:
        return path.products(module)
    if type(module) is nn.Conv2d:
        return path.patches(module)
    if block := lean_block(module, path.products):
        return block
    found = copy.copy(module)
    found._modules = {name: child and on_path(child, path) for name, child in module._modules.items()}
    return found
