"""What a call to a model in this process takes: parameters (no weights), arithmetic, and this machine's speed."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from vdistill.encoders.pretrained import quiet_transformers

OVERHEAD = 1.6  # attention, norms and copies, on top of what the large products take at their measured speed
_MATRIX = (1024, 1536, 4096)
_BY_NAME = re.compile(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)([mb])(?![a-z0-9])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Size:
    """Parameters of a model: all, those that each token passes, and those that each patch of an image passes."""

    all: float
    text: float
    vision: float = 0.0

    def operations(self, tokens: int, patches: int) -> float:
        """Floating-point operations of one forward pass."""
        return 2.0 * (self.text * tokens + self.vision * patches)


def size_of(config: Any) -> Size:
    """The size of the model that a configuration describes; no weights are needed, nor memory for them."""
    from transformers import AutoModelForImageTextToText

    with torch.device("meta"), quiet_transformers():
        model = AutoModelForImageTextToText.from_config(config)
    share = _share_of_experts(config.get_text_config())
    text = vision = 0.0
    for name, parameter in model.named_parameters():
        if re.search(r"vision|visual|vit\b", name):
            vision += parameter.numel()
        elif not re.search(r"embed_tokens|lm_head|wte", name):  # looked up; computed for one position
            text += parameter.numel() * (share if ".experts." in name else 1.0)
    return Size(sum(parameter.numel() for parameter in model.parameters()), text, vision)


def size_by_name(name: str) -> Size | None:
    """What a model's name says of its size ("…-2B-…"); None where it says nothing. A tenth is taken to be vision."""
    found = _BY_NAME.findall(name.rpartition("/")[2])
    if not found:
        return None
    number, unit = found[0]
    parameters = float(number) * (1e6 if unit in "mM" else 1e9)
    return Size(parameters, 0.9 * parameters, 0.1 * parameters)


def patches_of(inputs: Any, config: Any) -> int:
    """Patches of images in a batch of tensors, from the values in them; 0 where that cannot be told."""
    pixels = inputs.get("pixel_values")
    vision = getattr(config, "vision_config", None)
    side = getattr(vision, "patch_size", None)
    if pixels is None or not isinstance(side, int):
        return 0
    frames = getattr(vision, "temporal_patch_size", 1) if pixels.dim() == 2 else 1
    return int(pixels.numel() // (3 * side * side * frames))


@lru_cache(maxsize=4)
def speed(device: str, dtype: torch.dtype) -> float:
    """Floating-point operations a second of this machine in a large matrix product; measured once, within a second."""
    rows, inner, columns = _MATRIX
    left = torch.rand(rows, inner, device=device, dtype=dtype)
    right = torch.rand(inner, columns, device=device, dtype=dtype)
    best = min(_seconds(left, right, device) for _ in range(3))
    return 2.0 * rows * inner * columns / best


def _seconds(left: torch.Tensor, right: torch.Tensor, device: str) -> float:
    started = time.perf_counter()
    product = left @ right
    product[0, 0].item()  # waits for a device that works on its own
    return max(time.perf_counter() - started, 1e-9)


def _share_of_experts(text: Any) -> float:
    """Of the experts' parameters, those that one token passes."""
    active = getattr(text, "num_experts_per_tok", None)
    every = getattr(text, "num_experts", None) or getattr(text, "num_local_experts", None)
    every = every or getattr(text, "n_routed_experts", None)
    return active / every if active and every else 1.0
