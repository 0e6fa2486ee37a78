"""The adapter: LoRA on the image tower alone, so that the text tower stays the backbone's to the bit."""

from __future__ import annotations

import torch

from vdistill.distill.dropout import by_image
from vdistill.distill.settings import DistillSettings
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.pretrained import quiet_peft
from vdistill.errors import VdistillError


def attach(encoder: DualEncoder, settings: DistillSettings) -> int:
    """Wrap the encoder's model with a fresh adapter; returns how many parameters train.

    Raises VdistillError where the settings do not fit the model.
    """
    from peft import LoraConfig, get_peft_model

    targets = encoder.lora_targets(settings.train_layers)
    if not targets:
        raise VdistillError(
            f"--train-layers 0: {encoder.source} has no projection to train", hint="train one block or more"
        )
    if settings.rank < 1:
        raise VdistillError(f"--rank {settings.rank} is out of range", hint="8 to 64 is usual")
    if not 0 <= settings.dropout < 1:
        raise VdistillError(f"--dropout {settings.dropout:g} is out of range", hint="from 0 to below 1; 0.05 is usual")
    torch.manual_seed(settings.seed)
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=2 * settings.rank if settings.alpha is None else settings.alpha,
        lora_dropout=settings.dropout,
        use_dora=settings.dora,
        use_rslora=settings.rslora,
        target_modules=targets,
        bias="none",
    )
    with quiet_peft():
        encoder.model = get_peft_model(encoder.model, config)
    by_image(encoder.model)
    return sum(parameter.numel() for parameter in encoder.model.parameters() if parameter.requires_grad)
