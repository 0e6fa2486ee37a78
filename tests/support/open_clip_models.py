"""Tiny checkpoints in open_clip's layout with random weights, and its forward pass written out from its definition."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch.nn.functional import gelu, layer_norm, linear, multi_head_attention_forward, normalize

import models

WIDTH, TEXT_WIDTH, DIM, LAYERS = 64, 48, 24, 2


def clip(folder: Path, **changes) -> Path:
    """A `CLIP` of open_clip, and the tokenizer of CLIP; `changes` go into its model_cfg."""
    tokenizer = models._clip_tokenizer()
    config = {
        "embed_dim": DIM,
        "vision_cfg": {"image_size": 32, "layers": LAYERS, "width": WIDTH, "patch_size": 8, "head_width": 16},
        "text_cfg": {"context_length": 40, "vocab_size": len(tokenizer), "width": TEXT_WIDTH, "heads": 4,
                     "layers": LAYERS},
        **changes,
    }  # fmt: skip
    random = _Random()
    tensors = {
        **_text(random, TEXT_WIDTH, len(tokenizer), 40),
        "text_projection": random(TEXT_WIDTH, DIM),
        **_blocks(random, "visual.", WIDTH, 4 * WIDTH),
        "visual.conv1.weight": random(WIDTH, 3, 8, 8),
        "visual.class_embedding": random(WIDTH),
        "visual.positional_embedding": random(17, WIDTH),
        **_norm(random, "visual.ln_pre", WIDTH),
        **_norm(random, "visual.ln_post", WIDTH),
        "visual.proj": random(WIDTH, DIM),
        "logit_scale": torch.tensor(3.0),
    }
    preprocess = {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}
    return _save(folder, config, preprocess, tensors, tokenizer)


def siglip(folder: Path) -> Path:
    """A `CustomTextCLIP` of open_clip with a timm trunk, as SigLIP and the models of Marqo are; T5's tokenizer."""
    tokenizer = models._xlm_roberta_tokenizer()
    width, text = 36, 36
    config = {
        "embed_dim": width, "init_logit_bias": -10, "custom_text": True,
        "vision_cfg": {"image_size": 32, "timm_model_name": "vit_base_patch8_siglip_32", "timm_model_pretrained": False,
                       "timm_pool": "map", "timm_proj": "none"},
        "text_cfg": {"context_length": 16, "vocab_size": len(tokenizer), "hf_tokenizer_name": "nobody/nothing",
                     "tokenizer_kwargs": {"clean": "canonicalize"}, "width": text, "heads": 4, "layers": LAYERS,
                     "no_causal_mask": True, "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6}},
    }  # fmt: skip
    random = _Random()
    trunk = "visual.trunk."
    tensors = {
        **{f"text.{name}": part for name, part in _text(random, text, len(tokenizer), 16).items()},
        "text.text_projection.weight": random(width, text),
        "text.text_projection.bias": random(width),
        f"{trunk}patch_embed.proj.weight": random(width, 3, 8, 8),
        f"{trunk}patch_embed.proj.bias": random(width),
        f"{trunk}pos_embed": random(1, 16, width),
        **_norm(random, f"{trunk}norm", width),
        f"{trunk}attn_pool.latent": random(1, 1, width),
        **_linear(random, f"{trunk}attn_pool.q", width, width),
        **_linear(random, f"{trunk}attn_pool.kv", width, 2 * width),
        **_linear(random, f"{trunk}attn_pool.proj", width, width),
        **_norm(random, f"{trunk}attn_pool.norm", width),
        **_linear(random, f"{trunk}attn_pool.mlp.fc1", width, 100),
        **_linear(random, f"{trunk}attn_pool.mlp.fc2", 100, width),
        "logit_scale": torch.tensor(2.0),
        "logit_bias": torch.tensor(-10.0),
    }
    for number in range(LAYERS):
        block = f"{trunk}blocks.{number}."
        tensors |= _norm(random, f"{block}norm1", width) | _norm(random, f"{block}norm2", width)
        tensors |= _linear(random, f"{block}attn.qkv", width, 3 * width)
        tensors |= _linear(random, f"{block}attn.proj", width, width)
        tensors |= _linear(random, f"{block}mlp.fc1", width, 100) | _linear(random, f"{block}mlp.fc2", 100, width)
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    return _save(folder, config, preprocess, tensors, tokenizer)


def marqo(folder: Path) -> Path:
    """The same as published for AutoModel: names behind `model.`, and a config.json that asks for code of its own."""
    from safetensors.torch import load_file

    siglip(folder)
    tensors = load_file(folder / "open_clip_model.safetensors")
    (folder / "open_clip_model.safetensors").unlink()
    wrapped = {f"model.{name}": tensor for name, tensor in tensors.items()}
    save_file(wrapped, folder / "model.safetensors", {"format": "pt"})
    own = {"AutoConfig": "marqo_fashionSigLIP.MarqoFashionSigLIPConfig", "AutoModel": "marqo_fashionSigLIP.Marqo"}
    (folder / "config.json").write_text(json.dumps({"model_type": "siglip", "auto_map": own}))
    return folder


def text_vectors(tensors, ids, *, heads=4, causal, act, eps=1e-5):
    """What open_clip's text tower gives for token ids (n, length), as unit vectors."""
    tensors = {name.removeprefix("text."): part for name, part in tensors.items()}
    states = tensors["token_embedding.weight"][ids] + tensors["positional_embedding"][: ids.shape[1]]
    mask = torch.full((ids.shape[1], ids.shape[1]), float("-inf")).triu(1) if causal else None
    states = _norm_of(_through(tensors, "", states, heads, act, eps, mask), tensors, "ln_final", eps)
    if causal:
        return normalize(states[torch.arange(len(ids)), ids.argmax(1)] @ tensors["text_projection"], dim=-1)
    return normalize(_apply(states[:, -1], tensors, "text_projection"), dim=-1)


def image_vectors_of_clip(tensors, pixels, *, act, heads=4):
    """What open_clip's own image tower gives for pixels (n, 3, side, side), as unit vectors."""
    states = torch.nn.functional.conv2d(pixels, tensors["visual.conv1.weight"], stride=8).flatten(2).transpose(1, 2)
    first = tensors["visual.class_embedding"].expand(len(pixels), 1, -1)
    states = torch.cat([first, states], 1) + tensors["visual.positional_embedding"]
    states = _norm_of(states, tensors, "visual.ln_pre", 1e-5)
    states = _through(tensors, "visual.", states, heads, act, 1e-5, None)
    return normalize(_norm_of(states[:, 0], tensors, "visual.ln_post", 1e-5) @ tensors["visual.proj"], dim=-1)


def image_vectors_of_siglip(tensors, pixels, *, heads=12):
    """What timm's SigLIP tower gives for pixels (n, 3, side, side), as unit vectors."""
    trunk = {name.removeprefix("visual.trunk."): part for name, part in tensors.items()}
    patches = torch.nn.functional.conv2d(pixels, trunk["patch_embed.proj.weight"], trunk["patch_embed.proj.bias"], 8)
    states = patches.flatten(2).transpose(1, 2) + trunk["pos_embed"]
    for number in range(LAYERS):
        block = f"blocks.{number}."
        parts = _apply(_norm_of(states, trunk, f"{block}norm1", 1e-6), trunk, f"{block}attn.qkv").chunk(3, -1)
        states = states + _apply(_attention(*parts, heads), trunk, f"{block}attn.proj")
        inner = gelu(_apply(_norm_of(states, trunk, f"{block}norm2", 1e-6), trunk, f"{block}mlp.fc1"))
        states = states + _apply(inner, trunk, f"{block}mlp.fc2")
    states = _norm_of(states, trunk, "norm", 1e-6)
    asked = _apply(trunk["attn_pool.latent"].expand(len(pixels), -1, -1), trunk, "attn_pool.q")
    keys, values = _apply(states, trunk, "attn_pool.kv").chunk(2, -1)
    pooled = _apply(_attention(asked, keys, values, heads), trunk, "attn_pool.proj")
    inner = gelu(_apply(_norm_of(pooled, trunk, "attn_pool.norm", 1e-6), trunk, "attn_pool.mlp.fc1"))
    return normalize((pooled + _apply(inner, trunk, "attn_pool.mlp.fc2"))[:, 0], dim=-1)


def quick_gelu(values):
    return values * torch.sigmoid(1.702 * values)


class _Random:
    def __init__(self):
        self._generator = torch.Generator().manual_seed(7)

    def __call__(self, *shape):
        return 0.2 * torch.randn(*shape, generator=self._generator)


def _text(random, width, vocabulary, length):
    return {
        "token_embedding.weight": random(vocabulary, width),
        "positional_embedding": random(length, width),
        **_blocks(random, "", width, 4 * width),
        **_norm(random, "ln_final", width),
    }


def _blocks(random, tower, width, inner):
    found = {}
    for number in range(LAYERS):
        block = f"{tower}transformer.resblocks.{number}."
        found |= _norm(random, f"{block}ln_1", width) | _norm(random, f"{block}ln_2", width)
        found |= {
            f"{block}attn.in_proj_weight": random(3 * width, width),
            f"{block}attn.in_proj_bias": random(3 * width),
        }
        found |= _linear(random, f"{block}attn.out_proj", width, width)
        found |= _linear(random, f"{block}mlp.c_fc", width, inner) | _linear(random, f"{block}mlp.c_proj", inner, width)
    return found


def _norm(random, name, width):
    return {f"{name}.weight": 1 + random(width), f"{name}.bias": random(width)}


def _linear(random, name, inputs, outputs):
    return {f"{name}.weight": random(outputs, inputs), f"{name}.bias": random(outputs)}


def _save(folder, model, preprocess, tensors, tokenizer):
    folder.mkdir(parents=True, exist_ok=True)
    facts = {"model_cfg": model, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(facts, indent=2))
    save_file({name: part.contiguous() for name, part in tensors.items()}, folder / "open_clip_model.safetensors")
    tokenizer.save_pretrained(folder)
    return folder


def _through(tensors, tower, states, heads, act, eps, mask):
    for number in range(LAYERS):
        block = f"{tower}transformer.resblocks.{number}."
        inner = _norm_of(states, tensors, f"{block}ln_1", eps).transpose(0, 1)
        attended, _ = multi_head_attention_forward(
            inner, inner, inner, inner.shape[-1], heads, tensors[f"{block}attn.in_proj_weight"],
            tensors[f"{block}attn.in_proj_bias"], None, None, False, 0.0, tensors[f"{block}attn.out_proj.weight"],
            tensors[f"{block}attn.out_proj.bias"], training=False, attn_mask=mask, need_weights=False,
        )  # fmt: skip
        states = states + attended.transpose(0, 1)
        inner = act(_apply(_norm_of(states, tensors, f"{block}ln_2", eps), tensors, f"{block}mlp.c_fc"))
        states = states + _apply(inner, tensors, f"{block}mlp.c_proj")
    return states


def _attention(asked, keys, values, heads):
    split = [part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in (asked, keys, values)]
    weights = (split[0] @ split[1].transpose(-1, -2) / split[0].shape[-1] ** 0.5).softmax(-1)
    return (weights @ split[2]).transpose(1, 2).flatten(2)


def _norm_of(states, tensors, name, eps):
    return layer_norm(states, states.shape[-1:], tensors[f"{name}.weight"], tensors[f"{name}.bias"], eps)


def _apply(states, tensors, name):
    return linear(states, tensors[f"{name}.weight"], tensors[f"{name}.bias"])
