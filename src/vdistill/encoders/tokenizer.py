"""The tokenizer of a dual encoder, reading texts as its text tower was trained to; any other is refused."""

from __future__ import annotations

import re
import string
from typing import Any

from vdistill.encoders.checkpoint import Checkpoint
from vdistill.errors import VdistillError

# Texts that different tokenizers read differently.
PROBES = (
    "a photo of a red watering can",
    "Gift for a mother who loves gardening!",
    "  two   spaces,\ttab\nand newline ",
    "it's 5'10\" — don't you'll €9.99 50% #1",
    "Ünïcödé naïve café ſtraße",
    "日本語のテキスト と 한국어",
    "مرحبا بالعالم",
    "🎁👩‍🌾 emoji 🪴",
    "(parentheses) [brackets] {braces} under_score",
    "x",
    "a very long wish " * 60,
)
_LEAST_VOCABULARY = 0.5  # of the size of the tower's vocabulary
_CLIP_VOCABULARY = "openai/clip-vit-base-patch32"  # open_clip's own, where a config names none
_VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "sentencepiece.bpe.model",
                 "tokenizer.model")  # fmt: skip
_COPY = (
    "copy its tokenizer files (tokenizer.json and tokenizer_config.json, or vocab.json and merges.txt, or the model of "
    "SentencePiece) from where the model came from"
)


def tokenizer_of(checkpoint: Checkpoint, config: Any) -> Any:
    """The tokenizer for a model of this config.

    Raises VdistillError where the checkpoint has none, or that of another model, and whatever transformers raises.
    """
    tokenizer = _cased(_opened(checkpoint, config), config)
    _check(checkpoint.source, tokenizer, config)
    return tokenizer


def _opened(checkpoint: Checkpoint, config: Any) -> Any:
    from transformers import AutoTokenizer

    if checkpoint.open_clip is None:
        try:
            return AutoTokenizer.from_pretrained(checkpoint.name, **checkpoint.options, trust_remote_code=False)
        except Exception as error:  # each tokenizer raises its own kind for a missing file
            if _has_vocabulary(checkpoint):
                raise
            raise VdistillError(f"{checkpoint.source} has no tokenizer", hint=_COPY) from error
    text = (checkpoint.open_clip.get("model_cfg") or {}).get("text_cfg") or {}
    if _has_vocabulary(checkpoint):
        found = AutoTokenizer.from_pretrained(
            checkpoint.name, **checkpoint.options, config=config, trust_remote_code=False
        )
    else:
        found = _from_elsewhere(checkpoint, str(text.get("hf_tokenizer_name") or _CLIP_VOCABULARY))
    clean = (text.get("tokenizer_kwargs") or {}).get("clean")
    found.model_max_length = config.text_config.max_position_embeddings
    return _cleaning(found, clean) if clean in _CLEANING else found


def _has_vocabulary(checkpoint: Checkpoint) -> bool:
    return any(checkpoint.file(name) for name in _VOCABULARIES)


def _from_elsewhere(checkpoint: Checkpoint, name: str) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise VdistillError(
            f"{checkpoint.source} has no tokenizer of its own, and that of {name} cannot be loaded",
            hint=f"with network, run `hf download {name} --include '*token*' 'vocab*' 'merges*' --local-dir DIR`, and "
            "copy the files into the folder",
        ) from error


def _cased(tokenizer: Any, config: Any) -> Any:
    """Lower-casing for SigLIP 2 of a fixed resolution: trained on lower case, it has a tokenizer that keeps case."""
    if config.model_type not in ("siglip", "siglip2") or not type(tokenizer).__name__.startswith("Gemma"):
        return tokenizer
    return _cleaning(tokenizer, "lower")


_CLEANING = ("lower", "canonicalize", "whitespace")


def _cleaning(tokenizer: Any, how: str) -> Any:
    """The tokenizer with open_clip's text cleaning before its own, of a class that keeps it when saved."""
    from tokenizers import Regex, normalizers
    from transformers import PreTrainedTokenizerFast

    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:  # SigLIP's SentencePiece tokenizer, which does all this itself
        return tokenizer
    steps: list[Any] = []
    if how == "canonicalize":
        steps += [normalizers.Replace("_", " "), normalizers.Replace(Regex(f"[{re.escape(string.punctuation)}]"), "")]
    if how in ("canonicalize", "lower"):
        steps.append(normalizers.Lowercase())
    if how in ("canonicalize", "whitespace"):
        steps += [normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    backend = type(backend).from_str(backend.to_str())
    backend.normalizer = normalizers.Sequence([*steps, *([backend.normalizer] if backend.normalizer else [])])
    special = {name: getattr(tokenizer, name) for name in tokenizer.SPECIAL_TOKENS_ATTRIBUTES if name.endswith("token")}
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_max_length=tokenizer.model_max_length,
        padding_side=tokenizer.padding_side,
        truncation_side=tokenizer.truncation_side,
        model_input_names=tokenizer.model_input_names,
        **{name: value for name, value in special.items() if value is not None},
    )


def _check(source: str, tokenizer: Any, config: Any) -> None:
    """Raise VdistillError for a tokenizer that cannot be the model's."""
    one, other = tokenizer(list(PROBES[:2])).input_ids
    size = int(config.text_config.vocab_size)
    if one == other or len(tokenizer) < _LEAST_VOCABULARY * size:
        raise VdistillError(
            f"{source} has no tokenizer that fits it: a vocabulary of {len(tokenizer):,}, where the model has {size:,}",
            hint=f"its tokenizer files are missing or of another model: {_COPY}",
        )
    if max(*one, *other) >= size:
        raise VdistillError(
            f"the tokenizer of {source} has {len(tokenizer):,} entries, its model {size:,}: one is of another model",
            hint=_COPY,
        )
