"""What a training step of a large tower takes in memory, encoded in parts.

    python tests/benchmarks/step_memory.py --gib 3 --images 128 --precision bf16

A CLIP with an image tower of ViT-L/14 size (224 pixels, 24 blocks of width 1024) and random weights, LoRA of rank 32
on all blocks. One step: all images are encoded, the loss joins them all, and every adapter weight has its gradient.
Printed are how many images were encoded at once, seconds, and the peak of resident memory beyond what the process had
when the model and the images were loaded. Linux only (/proc/self/clear_refs starts the peak anew).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from transformers import CLIPConfig, CLIPModel

from vdistill.distill.adapter import attach
from vdistill.distill.checkpoint import trained
from vdistill.distill.memory import SHARE, free_bytes, images_at_once
from vdistill.distill.settings import DistillSettings
from vdistill.distill.step_encoder import StepEncoder, attention
from vdistill.distill.towers import WholeTower
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.feature_cache import GIB

VISION = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
          "image_size": 224, "patch_size": 14}  # fmt: skip
TEXT = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 99}


def resident(field: str) -> float:
    """VmRSS or VmHWM in GiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024**2
    raise SystemExit("no /proc/self/status")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--gib", type=float, help="as --step-memory; half of what is free without")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--quick", action="store_true", help="a tiny tower, to see that it runs")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.images, vision = 8, VISION | {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
                                                "num_attention_heads": 2, "patch_size": 56}  # fmt: skip
    else:
        vision = VISION
    torch.manual_seed(0)
    model = CLIPModel(CLIPConfig(text_config=TEXT, vision_config=vision, projection_dim=768)).eval()
    model.requires_grad_(False)
    encoder = DualEncoder("vit-l-14", model, None, None, torch.device("cpu"), arguments.precision)  # type: ignore[arg-type]
    attach(encoder, DistillSettings(rank=32))
    encoder.model.train()
    pixels = torch.from_numpy(np.random.default_rng(0).normal(size=(arguments.images, 3, 224, 224)).astype(np.float32))
    images = SimpleNamespace(batch=lambda numbers: {"pixel_values": pixels[numbers].numpy()})
    tower = WholeTower(encoder, images)  # type: ignore[arg-type]
    limit = arguments.gib * GIB if arguments.gib else SHARE * free_bytes(encoder.device)
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    at_once = images_at_once(lambda count: tower.features(np.arange(count)), arguments.images, limit)
    began = time.monotonic()
    encoded = StepEncoder(tower, at_once, attention(encoder)).encode(np.arange(arguments.images))
    torch.log_softmax(encoded.vectors @ encoded.vectors.T, dim=1).diagonal().mean().backward()
    encoded.finish()
    assert all(parameter.grad is not None for parameter in trained(encoder.model).values())
    facts = {"images": arguments.images, "precision": arguments.precision, "allowed_gib": round(limit / GIB, 2),
             "at_once": at_once, "seconds": round(time.monotonic() - began, 1), "model_gib": round(before, 2),
             "beyond_gib": round(resident("VmHWM") - before, 2)}  # fmt: skip
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
