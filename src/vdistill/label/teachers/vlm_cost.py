"""What a call to a model in this process takes: tokens, arithmetic by its parameters, and this machine's speed."""

from __future__ import annotations

import re
import timeit
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from vdistill.encoders.pretrained import quiet_transformers

OVERHEAD = 1.6  # attention, norms and copies, on top of what the large products take at their measured speed
# Where a model's own files cannot be asked: about so many of an image of `USUAL_PIXELS`, and of the text.
USUAL_PIXELS, USUAL_IMAGE, USUAL_TEXT_TOKENS = 512 * 512, (340, 1350), 150
_MATRIX = (1024, 1536, 4096)
_BY_NAME = re.compile(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)([mb])(?![a-z0-9])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Work:
    """What one question puts through a model: tokens of its text and images, and patches of its images."""

    tokens: int
    patches: int

    @classmethod
    def usual(cls, images: int, pixels: int) -> Work:
        """An estimate for so many images of so many pixels."""
        tokens, patches = (round(each * images * pixels / USUAL_PIXELS) for each in USUAL_IMAGE)
        return cls(USUAL_TEXT_TOKENS + tokens, patches)

    @classmethod
    def of(cls, inputs: Any, config: Any) -> Work:
        """That of one question's tensors; patches are 0 where they cannot be told from the number of values."""
        pixels, vision = inputs.get("pixel_values"), getattr(config, "vision_config", None)
        side, patches = getattr(vision, "patch_size", None), 0
        if pixels is not None and isinstance(side, int):
            frames = getattr(vision, "temporal_patch_size", 1) if pixels.dim() == 2 else 1
            patches = int(pixels.numel() // (3 * side * side * frames))
        return cls(int(inputs["input_ids"].shape[1]), patches)


@dataclass(frozen=True, slots=True)
class Size:
    """Parameters of a model that each token passes, and those that each patch of an image passes."""

    text: float
    vision: float

    def seconds(self, work: Work, device: str, dtype: torch.dtype) -> float:
        """The time of one forward pass on this machine."""
        operations = 2.0 * (self.text * work.tokens + self.vision * work.patches)
        return operations / speed(device, dtype) * OVERHEAD


def size_of(config: Any) -> Size:
    """The size of the model that a configuration describes; no weights are needed, nor memory for them."""
    from transformers import AutoModelForImageTextToText

    with torch.device("meta"), quiet_transformers():
        model = AutoModelForImageTextToText.from_config(config)
    share = _active_experts(config.get_text_config())
    text = vision = 0.0
    for name, parameter in model.named_parameters():
        if re.search(r"vision|visual|vit\b", name):
            vision += parameter.numel()
        elif not re.search(r"embed_tokens|lm_head|wte", name):  # looked up; computed for one position
            text += parameter.numel() * (share if ".experts." in name else 1.0)
    return Size(text, vision)


def size_by_name(name: str) -> Size | None:
    """The size that is part of a model's name ("…-2B-…"), if any; a tenth of it is taken to be vision."""
    found = _BY_NAME.search(name.rpartition("/")[2])
    if found is None:
        return None
    parameters = float(found[1]) * (1e6 if found[2] in "mM" else 1e9)
    return Size(0.9 * parameters, 0.1 * parameters)


@lru_cache(maxsize=4)
def speed(device: str, dtype: torch.dtype) -> float:
    """Floating-point operations per second of this machine in a large matrix product; measured once."""
    rows, inner, columns = _MATRIX
    left = torch.rand(rows, inner, device=device, dtype=dtype)
    right = torch.rand(inner, columns, device=device, dtype=dtype)
    # One value of the product is read, which waits for a device that works asynchronously.
    best = min(timeit.repeat(lambda: (left @ right)[0, 0].item(), number=1, repeat=3))
    return 2.0 * rows * inner * columns / best


def _active_experts(text: Any) -> float:
    """The share of the experts' parameters that one token passes."""
    active = getattr(text, "num_experts_per_tok", None)
    counts = (getattr(text, name, None) for name in ("num_experts", "num_local_experts", "n_routed_experts"))
    every = next(filter(None, counts), None)
    return active / every if active and every else 1.0
