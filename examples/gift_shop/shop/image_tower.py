"""The backbone's eyes: a small vision transformer that was trained once, on our own drawings, and is shipped."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

FOLDER = Path(__file__).resolve().parent.parent / "image_tower"
WEIGHTS, RECIPE = FOLDER / "image_tower.safetensors", FOLDER / "recipe.json"
MEAN = STD = (0.5, 0.5, 0.5)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How the shipped weights were made: `make_backbone.py --retrain` follows it.

    drawings: of each title, all different.  epochs: passes over all of them, and `second_epochs` more with another peak
    of the learning rate.  auxiliary: weight of the losses of
    three classifiers (kind, colour, finish), which are thrown away.
    """

    pixels: int = 96
    patch: int = 24
    width: int = 256
    depth: int = 5
    heads: int = 8
    drawings: int = 24
    epochs: int = 12
    batch: int = 192
    lr: float = 1e-3
    second_epochs: int = 3
    second_lr: float = 3e-4
    weight_decay: float = 0.05
    auxiliary: float = 0.3
    seed: int = 11


def processor_config(recipe: Recipe) -> dict[str, Any]:
    """How images come to the tower."""
    return {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": recipe.pixels},
        "crop_size": {"height": recipe.pixels, "width": recipe.pixels},
        "image_mean": MEAN,
        "image_std": STD,
    }


def new_model(text: nn.Module, recipe: Recipe):  # noqa: ANN201
    """A VisionTextDualEncoderModel of the text tower, frozen, and an untrained image tower."""
    from transformers import CLIPVisionConfig, CLIPVisionModel, VisionTextDualEncoderConfig, VisionTextDualEncoderModel

    dim = text.config.hidden_size
    vision = CLIPVisionConfig(
        hidden_size=recipe.width, intermediate_size=4 * recipe.width, num_hidden_layers=recipe.depth,
        num_attention_heads=recipe.heads, image_size=recipe.pixels, patch_size=recipe.patch, projection_dim=dim,
    )  # fmt: skip
    config = VisionTextDualEncoderConfig.from_vision_text_configs(
        vision, text.config, projection_dim=dim, logit_scale_init_value=3.0
    )
    model = VisionTextDualEncoderModel(config=config, vision_model=CLIPVisionModel(vision), text_model=text)
    with torch.no_grad():  # MiniLM's own geometry is the space that both towers meet in
        model.text_projection.weight.copy_(torch.eye(dim))
    model.text_model.requires_grad_(False)
    model.text_projection.requires_grad_(False)
    return model


def eyes(model) -> dict[str, Tensor]:  # noqa: ANN001
    """What is trained and shipped: the image tower, its projection, the scale of the logits."""
    return {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("text_")}


def ship(model, recipe: Recipe, figures: dict[str, float]) -> None:  # noqa: ANN001
    """Write the weights in half precision, and beside them the recipe, their hash and what they can do."""
    FOLDER.mkdir(exist_ok=True)
    save_file({name: tensor.detach().half().contiguous() for name, tensor in eyes(model).items()}, WEIGHTS)
    facts = {"recipe": asdict(recipe), "sha256": _sha256(), "figures": figures}
    RECIPE.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def shipped(text: nn.Module):  # noqa: ANN201
    """The model with the shipped eyes, float32, and the recipe they were made by. Exits where the file is another."""
    facts = json.loads(RECIPE.read_text(encoding="utf-8"))
    if _sha256() != facts["sha256"]:
        sys.exit(f"error: {WEIGHTS} is not what {RECIPE.name} describes\nhint: check it out again, or --retrain")
    recipe = Recipe(**facts["recipe"])
    model = new_model(text, recipe)
    weights = {name: tensor.float() for name, tensor in load_file(WEIGHTS).items()}
    model.load_state_dict(weights | {name: t for name, t in model.state_dict().items() if name.startswith("text_")})
    return model.eval(), recipe


def _sha256() -> str:
    return hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()
