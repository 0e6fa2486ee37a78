"""Many texts at once, for training: in bf16 on a CPU that multiplies it, where the vectors stay what they were."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from torch import nn

from vdistill.encoders.bf16_cpu import Bf16Linear
from vdistill.encoders.dual_encoder import VISION_HEADS, DualEncoder

_MANY = 256  # texts; for fewer the copy takes longer than it saves
_PROBES = 32  # texts that it is tried on
_COSINE = 0.999  # to float32, at least


def training_vectors(encoder: DualEncoder, texts: Sequence[str]) -> np.ndarray:
    """Unit vectors (n, dim), float32: what `encode_texts` gives, to three digits.

    Only for what trains and chooses: queries and what measures are encoded in float32.
    """
    if len(texts) < _MANY or not encoder.on_cpu or encoder.precision != "bf16":
        return encoder.encode_texts(texts)
    probes = texts[:: len(texts) // _PROBES]
    try:
        fast = replace(encoder, model=_lowered_texts(encoder))
        cosines = (fast.encode_texts(probes) * encoder.encode_texts(probes)).sum(axis=1)
    except Exception:  # whatever a tower, a processor or a build of torch raises here, the encoder itself works
        return encoder.encode_texts(texts)
    return (fast if cosines.min() >= _COSINE else encoder).encode_texts(texts)


def _lowered_texts(encoder: DualEncoder) -> nn.Module:
    """The model with a copy of all but its image tower."""
    model: nn.Module = copy.copy(encoder.model)
    images = (encoder.vision_name, *VISION_HEADS)
    model._modules = {
        name: part if part is None or name in images else _lowered(part) for name, part in model._modules.items()
    }
    return model


def _lowered(module: nn.Module) -> nn.Module:
    if type(module) is nn.Linear:
        return Bf16Linear(module)
    found: nn.Module = copy.copy(module)
    found._modules = {name: child and _lowered(child) for name, child in module._modules.items()}
    return found
