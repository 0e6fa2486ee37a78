"""Copies of a dual encoder that embed images side by side."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch

from vdistill.encoders.bf16_cpu import Bf16Copy
from vdistill.encoders.dual_encoder import VISION_HEADS, DualEncoder


def replicas(encoder: DualEncoder) -> list[DualEncoder]:
    """Encoders of images alone: one on each accelerator of the encoder's kind, or one on the CPU."""
    return [_fastest(one) for one in _on_all_devices(encoder)]


def _on_all_devices(encoder: DualEncoder) -> list[DualEncoder]:
    device = encoder.device
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    others = [torch.device("cuda", number) for number in range(count) if number != (device.index or 0)]
    return [encoder, *(replace(encoder, model=copy.deepcopy(encoder.model).to(one), device=one) for one in others)]


def _fastest(encoder: DualEncoder) -> DualEncoder:
    """The bf16 copy on a CPU, where it gives what the encoder gives."""
    if encoder.precision != "bf16" or not encoder.on_cpu:
        return encoder
    lean = Bf16Copy.of(encoder, (encoder.vision_name, *VISION_HEADS))
    return lean if lean.agrees_with(encoder) else encoder
