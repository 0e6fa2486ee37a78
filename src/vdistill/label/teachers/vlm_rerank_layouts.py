"""The layouts of rerankers that run in this process, by the true classes of transformers and without code of theirs.

    Qwen3-VL-Reranker     a Qwen3-VL that is asked yes or no; the score is how much likelier "yes" is, in logits
    jina-reranker-m0      a Qwen2-VL whose last hidden state goes through two linear layers, here taken from its file

Sources: the model cards of Qwen/Qwen3-VL-Reranker-2B and jinaai/jina-reranker-m0.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import safe_open
from torch import Tensor, nn

from vdistill.encoders.hub import Files
from vdistill.encoders.weights import load_whole, require_whole
from vdistill.errors import VdistillError
from vdistill.label.teachers.vlm_processor import Processor

JUDGE = (
    "Judge whether the Document meets the requirements based on the Query and the Instruct provided. "
    'Note that the answer can only be "yes" or "no".'
)
INSTRUCT = "Given what a customer of a shop is looking for, retrieve pictures that suit this customer."
JINA = "JinaVLForRanking"
_SCORE_TOKEN, _SCORE_BIAS = 100, 2.65  # of jina-reranker-m0: appended to each prompt; taken off each score


class Layout(Protocol):
    """How a model is loaded, asked and read."""

    def load(self, files: Files, dtype: torch.dtype) -> Any:
        """The model, all of its weights from its files."""
        ...

    def prompt(self, processor: Processor, query: str) -> str:
        """What the model reads, with one place for an image."""
        ...

    def inputs(self, inputs: Any) -> Any:
        """The tensors of prompts and images as this model takes them."""
        ...

    def scores(self, model: Any, processor: Processor, tensors: Any) -> Tensor:
        """(prompts,) in logits."""
        ...


def layout_of(source: str, config: Any) -> Layout:
    """The layout of a model. Raises VdistillError, naming its class, for one that is not known here."""
    named = next(iter(getattr(config, "architectures", None) or []), config.model_type)
    if named == JINA:
        return JinaM0()
    if named in ("Qwen3VLForConditionalGeneration", "Qwen3VLMoeForConditionalGeneration"):
        return YesNo()
    raise VdistillError(
        f"{source} is a {named}, which is no reranker that runs in this process",
        hint="Qwen3-VL-Reranker and jina-reranker-m0 do; a server runs others, with --endpoint URL",
    )


class YesNo:
    """Qwen3-VL-Reranker."""

    def load(self, files: Files, dtype: torch.dtype) -> Any:
        """The model of its class."""
        from transformers import AutoModelForImageTextToText

        return load_whole(AutoModelForImageTextToText, files.name, dtype=dtype, **files.where)

    def prompt(self, processor: Processor, query: str) -> str:
        """In its chat template."""
        texts = f"<Instruct>: {INSTRUCT}", f"<Query>:{query}", "\n<Document>:"
        content: list[Any] = [*(("text", text) for text in texts), ("image", None)]
        return processor.template.prompt(JUDGE, content)

    def inputs(self, inputs: Any) -> Any:
        """As they are."""
        return inputs

    def scores(self, model: Any, processor: Processor, tensors: Any) -> Tensor:
        """Of "yes" above "no"."""
        yes, no = (processor.own.tokenizer.convert_tokens_to_ids(word) for word in ("yes", "no"))
        logits = model(**tensors, logits_to_keep=1).logits[:, -1].float()
        return torch.as_tensor(logits[:, yes] - logits[:, no])


class JinaM0:
    """jina-reranker-m0."""

    def load(self, files: Files, dtype: torch.dtype) -> Any:
        """A Qwen2-VL without its head over words, and the layers `score` of the same files."""
        from transformers import Qwen2VLForConditionalGeneration

        model, found = Qwen2VLForConditionalGeneration.from_pretrained(
            files.name, trust_remote_code=False, output_loading_info=True, dtype=dtype, **files.where
        )
        unknown = [name for name in found.get("unexpected_keys", ()) if not name.startswith("score.")]
        require_whole(files.name, model, {**found, "unexpected_keys": unknown}, unused=("lm_head",))
        size = model.config.get_text_config().hidden_size
        head = nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, 1))
        weights = _weights_of(files, "score.")
        missing = sorted(set(head.state_dict()) ^ set(weights))
        if missing:
            raise VdistillError(
                f"{files.name} has not the layers of a {JINA}: score.{missing[0]}", hint="download its files again"
            )
        head.load_state_dict(weights)
        model.score = head.to(dtype)
        return model

    def prompt(self, processor: Processor, query: str) -> str:
        """The document before the query, without a chat template."""
        token = processor.template.image_token or "<|image_pad|>"
        return f"**Document**:\n<|vision_start|>{token}<|vision_end|>\n**Query**:\n{query}"

    def inputs(self, inputs: Any) -> Any:
        """With the token that it scores at behind each prompt."""
        more = {"input_ids": _SCORE_TOKEN, "attention_mask": 1, "mm_token_type_ids": 0}
        for name, value in more.items():
            if name in inputs:
                tensor = inputs[name]
                inputs[name] = torch.cat([tensor, torch.full_like(tensor[:, :1], value)], dim=1)
        return inputs

    def scores(self, model: Any, processor: Processor, tensors: Any) -> Tensor:
        """The layers `score` at the last token, less their bias."""
        hidden = model.model(**tensors, use_cache=False).last_hidden_state[:, -1]
        return torch.as_tensor(model.score(hidden)[:, 0].float() - _SCORE_BIAS)


def _weights_of(files: Files, prefix: str) -> dict[str, Tensor]:
    """The tensors of a model's files whose names begin with `prefix`, without it."""
    from transformers.utils import cached_file

    index = cached_file(files.name, "model.safetensors.index.json", _raise_exceptions_for_missing_entries=False,
                        **files.where)  # fmt: skip
    names = {"model.safetensors"}
    if index is not None:
        known = json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"]
        names = {file for name, file in known.items() if name.startswith(prefix)}
    found: dict[str, Tensor] = {}
    for name in sorted(names):
        with safe_open(cached_file(files.name, name, **files.where), framework="pt") as file:
            ours = [key for key in file.keys() if key.startswith(prefix)]  # noqa: SIM118 - it is no mapping
            found |= {key[len(prefix) :]: file.get_tensor(key) for key in ours}
    return found
