"""`open_clip_config.json` translated for transformers: architecture and preprocessing, or why that is impossible."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from vdistill.errors import VdistillError

_MEAN, _STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_RESAMPLE = {"bicubic": 3, "bilinear": 2}
_SIGLIP_TRUNK = re.compile(r"vit_(base|large|so400m|giantopt)_patch(\d+)_siglip_\d+(\..*)?")
_SIGLIP_HEADS = {"base": 12, "large": 16, "so400m": 16, "giantopt": 16}
# Settings that change nothing in a forward pass, or are looked at below.
_TOWER = set(
    ["layers", "width", "mlp_ratio", "pool_type", "act_kwargs", "norm_kwargs", "output_tokens", "final_ln_after_pool"]
)
_VISION = _TOWER | set(
    [
        "image_size",
        "patch_size",
        "head_width",
        "patch_dropout",
        "pos_embed_type",
        "attn_pooler_queries",
        "attn_pooler_heads",
        "timm_model_name",
        "timm_model_pretrained",
        "timm_pool",
        "timm_proj",
        "timm_proj_bias",
        "timm_drop",
        "timm_drop_path",
    ]
)
_TEXT = _TOWER | set(
    [
        "context_length",
        "vocab_size",
        "hf_tokenizer_name",
        "tokenizer_mode",
        "tokenizer_kwargs",
        "heads",
        "pad_id",
        "eos_id",
        "proj_type",
        "proj_bias",
        "no_causal_mask",
    ]
)


def model_config(source: str, facts: Mapping[str, Any], sizes: Mapping[str, int] | None = None) -> Any:
    """The CLIPConfig or SiglipConfig of an `open_clip_config.json`.

    sizes: of the image tower of a SigLIP, which its config does not give (`open_clip_layout.trunk_sizes`); without
    them only the text tower is described correctly.
    Raises VdistillError, naming the reason, for an architecture that is neither.
    """
    model = facts.get("model_cfg") or {}
    vision, text = model.get("vision_cfg") or {}, model.get("text_cfg") or {}
    trunk = str(vision.get("timm_model_name") or "")
    why = _obstacle(model, vision, text, trunk)
    if why:
        raise VdistillError(
            f"{source} is an open_clip model that is neither a CLIP nor a SigLIP of transformers: {why}",
            hint="docs/distill.md lists models that work, and why others cannot",
        )
    try:
        return _siglip(model, vision, text, trunk, sizes or {}) if trunk else _clip(model, vision, text)
    except (KeyError, TypeError, ValueError) as error:
        raise VdistillError(
            f"the open_clip_config.json of {source} is damaged: {error}", hint="download it again"
        ) from error


def processor_config(source: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of the image processor of transformers that does what open_clip's preprocessing does.

    Raises VdistillError for a way of resizing that has none.
    """
    given = facts.get("preprocess_cfg") or {}
    size = given.get("size") or (facts["model_cfg"].get("vision_cfg") or {}).get("image_size", 224)
    height, width = (size, size) if isinstance(size, int) else size[-2:]
    mode, interpolation = given.get("resize_mode", "shortest"), given.get("interpolation", "bicubic")
    if mode not in ("shortest", "squash") or interpolation not in _RESAMPLE or (mode == "shortest" and height != width):
        raise VdistillError(
            f"{source} resizes images to {height} × {width} by {mode!r} and {interpolation!r}, which is not supported",
            hint="docs/distill.md lists models that work",
        )
    area = {"height": int(height), "width": int(width)}
    common = {
        "do_resize": True,
        "do_rescale": True,
        "do_normalize": True,
        "rescale_factor": 1 / 255,
        "resample": _RESAMPLE[interpolation],
        "image_mean": list(given.get("mean") or _MEAN),
        "image_std": list(given.get("std") or _STD),
    }
    if mode == "squash":
        return {"image_processor_type": "SiglipImageProcessor", "size": area, **common}
    crop = {"do_center_crop": True, "size": {"shortest_edge": int(height)}, "crop_size": area}
    return {"image_processor_type": "CLIPImageProcessor", **crop, **common}


def _obstacle(model: Mapping[str, Any], vision: Mapping[str, Any], text: Mapping[str, Any], trunk: str) -> str | None:
    """Why this architecture has no counterpart in transformers; None where it has one."""
    if model.get("multimodal_cfg"):
        return "it is a CoCa, with a decoder"
    if text.get("hf_model_name"):
        return f"its text tower is {text['hf_model_name']}"
    for part, known in ((vision, _VISION), (text, _TEXT)):
        odd = [name for name, value in part.items() if value and name not in known]
        if odd:
            return f"it has {odd[0]}={part[odd[0]]!r}"
    return _not_siglip(vision, text, trunk) if trunk else _not_clip(vision, text)


def _not_clip(vision: Mapping[str, Any], text: Mapping[str, Any]) -> str | None:
    if not isinstance(vision.get("layers", 12), int):
        return "its image tower is a ResNet"
    if not isinstance(vision.get("image_size", 224), int) or not isinstance(vision.get("patch_size", 16), int):
        return "its images or patches are not square"
    if vision.get("pool_type", "tok") != "tok":
        return f"its image tower pools by {vision['pool_type']!r}"
    if text.get("pool_type", "argmax") not in ("argmax", "eos") or text.get("no_causal_mask"):
        return "its text tower is not a causal one that ends in its last token"
    if (
        text.get("pool_type") == "eos" and text.get("eos_id", 2) == 2
    ):  # which means the highest id to transformers, see below
        return "its texts end in token 2"
    if text.get("proj_type", "linear") != "linear" or text.get("proj_bias"):
        return "its text projection is not a plain matrix"
    return None


def _not_siglip(vision: Mapping[str, Any], text: Mapping[str, Any], trunk: str) -> str | None:
    if not _SIGLIP_TRUNK.fullmatch(trunk):
        return f"its image tower is {trunk}"
    if vision.get("timm_pool") != "map" or vision.get("timm_proj") not in ("none", "", None):
        return "its image tower is not pooled as SigLIP's"
    if text.get("pool_type") != "last" or not text.get("no_causal_mask") or not text.get("proj_bias"):
        return "its text tower is not SigLIP's"
    return None


def _clip(model: Mapping[str, Any], vision: Mapping[str, Any], text: Mapping[str, Any]) -> Any:
    from transformers import CLIPConfig

    quick, dim = bool(model.get("quick_gelu")), int(model["embed_dim"])
    width = int(vision.get("width", 768))
    image = {
        **_tower(vision, width, width // int(vision.get("head_width", 64)), quick),
        "image_size": vision.get("image_size", 224),
        "patch_size": vision.get("patch_size", 16),
        "projection_dim": dim,
    }
    # With an end token of 2 the class of transformers takes the highest id of a text for its end, as open_clip does.
    end = text.get("eos_id", 2) if text.get("pool_type") == "eos" else 2
    ids = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": end}
    words = {**_text_tower(text, quick), **ids, "projection_dim": dim}
    return CLIPConfig(text_config=words, vision_config=image, projection_dim=dim)


def _siglip(
    model: Mapping[str, Any], vision: Mapping[str, Any], text: Mapping[str, Any], trunk: str, sizes: Mapping[str, int]
) -> Any:
    from transformers import SiglipConfig

    found = _SIGLIP_TRUNK.fullmatch(trunk)
    assert found is not None
    image = {
        "num_attention_heads": _SIGLIP_HEADS[found[1]],
        "hidden_act": "gelu_pytorch_tanh" if found[1] == "giantopt" else "gelu",
        "layer_norm_eps": 1e-6,
        "image_size": vision.get("image_size", 224),
        "patch_size": int(found[2]),
        **sizes,
    }
    ids = {"bos_token_id": None, "eos_token_id": 1, "pad_token_id": 1}
    words = {**_text_tower(text, quick=False), **ids, "projection_size": int(model["embed_dim"])}
    return SiglipConfig(text_config=words, vision_config=image)


def _text_tower(text: Mapping[str, Any], quick: bool) -> dict[str, Any]:
    return {
        **_tower(text, text.get("width", 512), text.get("heads", 8), quick),
        "vocab_size": text.get("vocab_size", 49408),
        "max_position_embeddings": text.get("context_length", 77),
    }


def _tower(given: Mapping[str, Any], width: Any, heads: Any, quick: bool) -> dict[str, Any]:
    act, norm = given.get("act_kwargs") or {}, given.get("norm_kwargs") or {}
    if act not in ({}, {"approximate": "none"}, {"approximate": "tanh"}) or set(norm) - {"eps"}:
        raise ValueError(f"unknown settings {act or norm}")
    smooth = "gelu_pytorch_tanh" if act.get("approximate") == "tanh" else "gelu"
    return {
        "hidden_size": int(width),
        "intermediate_size": int(int(width) * float(given.get("mlp_ratio", 4.0))),
        "num_hidden_layers": int(given.get("layers", 12)),
        "num_attention_heads": int(heads),
        "hidden_act": "quick_gelu" if quick else smooth,
        "layer_norm_eps": float(norm.get("eps", 1e-5)),
    }
