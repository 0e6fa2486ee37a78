"""Many texts, of training and of items: in bf16 on a CPU that multiplies it, where the vectors stay what they were."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from torch import nn

from vdistill.encoders.bf16_cpu import Bf16Linear
from vdistill.encoders.dual_encoder import VISION_HEADS, DualEncoder
from vdistill.encoders.text_vectors import TextVectors
from vdistill.workspace import Workspace

COSINE = 0.9995  # to float32, at least
_MANY = 256  # texts; for fewer the copy takes longer than it saves
_PROBES = 32  # texts that it is tried on


@dataclass
class ManyTexts:
    """Encodes texts as an encoder does, to three digits; faster once they are many.

    Queries and what measures are encoded in float32, by the encoder itself.
    """

    encoder: DualEncoder
    _seen: int = field(default=0, init=False)
    _chosen: DualEncoder | None = field(default=None, init=False)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors (n, dim), float32."""
        self._seen += len(texts)
        if self._chosen is None and self._seen >= _MANY and len(texts) >= _PROBES:
            self._chosen = self._choice(texts[:: len(texts) // _PROBES])
        return (self._chosen or self.encoder).encode_texts(texts)

    def _choice(self, probes: Sequence[str]) -> DualEncoder:
        """A copy in bf16 where its vectors of these texts are near enough, else the encoder itself."""
        if not self.encoder.on_cpu or self.encoder.precision != "bf16":
            return self.encoder
        try:
            fast = replace(self.encoder, model=_lowered_texts(self.encoder))
            cosines = (fast.encode_texts(probes) * self.encoder.encode_texts(probes)).sum(axis=1)
        except Exception:  # whatever a tower, a processor or a build of torch raises here, the encoder itself works
            return self.encoder
        return fast if cosines.min() >= COSINE else self.encoder


class KeptTexts:
    """Many texts whose vectors are kept in the cache of the workspace, for the next training or index."""

    def __init__(self, encoder: DualEncoder, workspace: Workspace) -> None:
        self._many = ManyTexts(encoder)
        self._kept = TextVectors(workspace, encoder.text_fingerprint, encoder.dim)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors (n, dim), float32."""
        return self._kept.of(texts, self._many.encode)

    def save(self) -> None:
        """Write what is new."""
        self._kept.save()


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
