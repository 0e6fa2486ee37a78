"""A model in open_clip's layout, loaded into the class of transformers that computes the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from vdistill.encoders.checkpoint import OPEN_CLIP_CONFIG, Checkpoint
from vdistill.encoders.open_clip_config import model_config
from vdistill.encoders.open_clip_layout import converted, trunk_sizes
from vdistill.encoders.weights import require_whole
from vdistill.errors import VdistillError

WEIGHTS = ("open_clip_model.safetensors", "model.safetensors")
_PICKLES = ("open_clip_pytorch_model.bin", "pytorch_model.bin")


def load(checkpoint: Checkpoint) -> Any:
    """The CLIPModel or SiglipModel, float32, with the weights of the checkpoint.

    Raises VdistillError for an architecture that is neither, for pickled weights, and for weights that do not fit.
    """
    from transformers import CLIPModel, SiglipModel

    facts, source = checkpoint.open_clip or {}, checkpoint.source
    model_config(source, facts)  # refuses other architectures before gigabytes are read
    tensors = load_file(_weights(checkpoint))
    config = model_config(source, facts, trunk_sizes(tensors))
    kind: Any = CLIPModel if config.model_type == "clip" else SiglipModel
    state = {name: part.float() for name, part in converted(source, tensors, config.model_type).items()}
    model, found = kind.from_pretrained(
        None, config=config, state_dict=state, dtype=torch.float32, output_loading_info=True,
        ignore_mismatched_sizes=True,
    )  # fmt: skip
    require_whole(source, model, found)
    return model


def _weights(checkpoint: Checkpoint) -> Path:
    for name in WEIGHTS:
        found = checkpoint.file(name)
        if found is not None:
            return found
    pickle = next((name for name in _PICKLES if checkpoint.file(name) is not None), None)
    if pickle is None:
        raise VdistillError(
            f"{checkpoint.source} has {OPEN_CLIP_CONFIG} but no {WEIGHTS[0]}",
            hint="copy the whole folder, or download it again",
        )
    raise VdistillError(
        f"{checkpoint.source} has its weights only in {pickle}, and pickles are not opened",
        hint="if you trust it, rewrite it once, in its folder: python -c 'import torch, safetensors.torch as s; "
        f'd = torch.load("{pickle}", weights_only=True); s.save_file({{k: d[k].clone() for k in d}}, "{WEIGHTS[0]}")\'',
    )
