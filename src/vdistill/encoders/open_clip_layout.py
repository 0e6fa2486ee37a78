"""Tensors of open_clip under the names and in the shapes of transformers' CLIPModel and SiglipModel."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from vdistill.errors import VdistillError

Change = Callable[[Tensor], Sequence[Tensor]]
Rule = tuple[str, tuple[str, ...], Change]  # a pattern of whole names, the names it becomes, and their tensors

_BUFFERS = re.compile(r"(text\.)?attn_mask|.*\.position_ids")  # computed, not trained
_HEAD = "vision_model.head."
_WRAPPERS = ("module.", "model.")  # of data-parallel training; of checkpoints with code of their own


def converted(source: str, tensors: Mapping[str, Tensor], family: str) -> dict[str, Tensor]:
    """The state dict of transformers' model from open_clip's; `family` is "clip" or "siglip".

    Raises VdistillError, naming one, for tensors that have no place there and would be lost.
    """
    rules = _CLIP if family == "clip" else _SIGLIP
    found: dict[str, Tensor] = {}
    for name, tensor in _unwrapped(tensors):
        if _BUFFERS.fullmatch(name):
            continue
        match = next(((hit, rule) for rule in rules if (hit := re.fullmatch(rule[0], name))), None)
        if match is None:
            raise VdistillError(
                f"{source} holds a weight {name}, for which a {family} model has no place",
                hint="its open_clip_config.json describes another architecture; docs/distill.md lists models that work",
            )
        hit, (_, names, change) = match
        found |= {hit.expand(to): part.contiguous() for to, part in zip(names, change(tensor), strict=True)}
    return _joined(found)


def trunk_sizes(tensors: Mapping[str, Tensor]) -> dict[str, int]:
    """Sizes of the image tower of a SigLIP, as a config of transformers names them; empty where it is incomplete."""
    shapes = {name.partition("visual.trunk.")[2]: tuple(tensor.shape) for name, tensor in tensors.items()}
    try:
        return {
            "hidden_size": shapes["pos_embed"][-1],
            "intermediate_size": shapes["blocks.0.mlp.fc1.weight"][0],
            "num_hidden_layers": 1 + max(int(name.split(".")[1]) for name in shapes if name.startswith("blocks.")),
        }
    except KeyError:
        return {}  # missing tensors are reported when the model is filled


def _joined(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """With the pooling head's queries stacked on its keys and values, as torch's attention has them."""
    for kind in ("weight", "bias"):
        parts = [tensors.pop(f"{_HEAD}{part}.{kind}", None) for part in ("q", "kv")]
        present = [part for part in parts if part is not None]
        if present:
            tensors[f"{_HEAD}attention.in_proj_{kind}"] = torch.cat(present)
    return tensors


def _unwrapped(tensors: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Names without the prefix of a wrapper that all share, and without that of the text tower."""
    wrapper = next((one for one in _WRAPPERS if tensors and all(name.startswith(one) for name in tensors)), "")
    for name, tensor in tensors.items():
        yield name.removeprefix(wrapper).removeprefix("text."), tensor


def _same(tensor: Tensor) -> Sequence[Tensor]:
    return (tensor,)


def _transposed(tensor: Tensor) -> Sequence[Tensor]:
    """open_clip multiplies by the matrix itself, a linear layer by its transpose."""
    return (tensor.T,)


def _thirds(tensor: Tensor) -> Sequence[Tensor]:
    """Queries, keys and values are stacked."""
    return tensor.chunk(3)


def _layers(ours: str, theirs: str) -> list[Rule]:
    """The rules for a tower of open_clip's residual attention blocks."""
    block, place = rf"{re.escape(ours)}transformer\.resblocks\.(\d+)\.", rf"{theirs}.encoder.layers.\1."
    names = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", r"attn\.out_proj": "self_attn.out_proj",
             r"mlp\.c_fc": "mlp.fc1", r"mlp\.c_proj": "mlp.fc2"}  # fmt: skip
    thirds = tuple(rf"{place}self_attn.{letter}_proj.\2" for letter in "qkv")
    return [
        *((rf"{block}{of}\.(weight|bias)", (rf"{place}{to}.\2",), _same) for of, to in names.items()),
        (rf"{block}attn\.in_proj_(weight|bias)", thirds, _thirds),
    ]


_TEXT: list[Rule] = [
    *_layers("", "text_model"),
    (r"token_embedding\.weight", ("text_model.embeddings.token_embedding.weight",), _same),
    (r"positional_embedding", ("text_model.embeddings.position_embedding.weight",), _same),
    (r"ln_final\.(weight|bias)", (r"text_model.final_layer_norm.\1",), _same),
]
_CLIP: list[Rule] = [
    *_TEXT,
    *_layers("visual.", "vision_model"),
    (r"visual\.conv1\.weight", ("vision_model.embeddings.patch_embedding.weight",), _same),
    (r"visual\.class_embedding", ("vision_model.embeddings.class_embedding",), _same),
    (r"visual\.positional_embedding", ("vision_model.embeddings.position_embedding.weight",), _same),
    (r"visual\.ln_pre\.(weight|bias)", (r"vision_model.pre_layrnorm.\1",), _same),
    (r"visual\.ln_post\.(weight|bias)", (r"vision_model.post_layernorm.\1",), _same),
    (r"visual\.proj", ("visual_projection.weight",), _transposed),
    (r"text_projection", ("text_projection.weight",), _transposed),
    (r"logit_scale", ("logit_scale",), lambda scale: (scale.reshape(()),)),
    (r"logit_bias", (), lambda _: ()),  # shifts all similarities alike
]
_TRUNK, _LAYER = r"visual\.trunk\.", r"vision_model.encoder.layers.\1."
_SIGLIP: list[Rule] = [
    *_TEXT,
    (r"text_projection\.(weight|bias)", (r"text_model.head.\1",), _same),
    (rf"{_TRUNK}patch_embed\.proj\.(weight|bias)", (r"vision_model.embeddings.patch_embedding.\1",), _same),
    (rf"{_TRUNK}pos_embed", ("vision_model.embeddings.position_embedding.weight",), lambda batch: (batch[0],)),
    (rf"{_TRUNK}blocks\.(\d+)\.norm([12])\.(weight|bias)", (rf"{_LAYER}layer_norm\2.\3",), _same),
    (rf"{_TRUNK}blocks\.(\d+)\.attn\.qkv\.(weight|bias)",
     tuple(rf"{_LAYER}self_attn.{letter}_proj.\2" for letter in "qkv"), _thirds),
    (rf"{_TRUNK}blocks\.(\d+)\.attn\.proj\.(weight|bias)", (rf"{_LAYER}self_attn.out_proj.\2",), _same),
    (rf"{_TRUNK}blocks\.(\d+)\.mlp\.fc([12])\.(weight|bias)", (rf"{_LAYER}mlp.fc\2.\3",), _same),
    (rf"{_TRUNK}norm\.(weight|bias)", (r"vision_model.post_layernorm.\1",), _same),
    (rf"{_TRUNK}attn_pool\.latent", (f"{_HEAD}probe",), _same),
    (rf"{_TRUNK}attn_pool\.(q|kv)\.(weight|bias)", (rf"{_HEAD}\1.\2",), _same),  # joined below
    (rf"{_TRUNK}attn_pool\.proj\.(weight|bias)", (rf"{_HEAD}attention.out_proj.\1",), _same),
    (rf"{_TRUNK}attn_pool\.norm\.(weight|bias)", (rf"{_HEAD}layernorm.\1",), _same),
    (rf"{_TRUNK}attn_pool\.mlp\.fc([12])\.(weight|bias)", (rf"{_HEAD}mlp.fc\1.\2",), _same),
    (r"logit_(scale|bias)", (r"logit_\1",), lambda value: (value.reshape(1),)),
]  # fmt: skip
