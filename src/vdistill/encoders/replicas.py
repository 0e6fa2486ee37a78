"""Copies of a dual encoder that embed images side by side."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch

from vdistill.encoders.cpu_copy import FastOnCpu
from vdistill.encoders.dual_encoder import DualEncoder


def replicas(encoder: DualEncoder) -> list[DualEncoder]:
    """Encoders for images alone: one on each CUDA device if the encoder is on one, else the fastest on its device."""
    device = encoder.device
    if encoder.on_cpu:  # a subclass has a way of its own to embed
        return [FastOnCpu.of(encoder) if type(encoder) is DualEncoder else encoder]
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    others = [torch.device("cuda", number) for number in range(count) if number != (device.index or 0)]
    return [encoder, *(replace(encoder, model=copy.deepcopy(encoder.model).to(one), device=one) for one in others)]
