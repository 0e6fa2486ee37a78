"""Writes a Hugging Face tokenizer as one file that `tokenizers` reads without transformers."""

from __future__ import annotations

import json
import re
import string
from pathlib import Path
from typing import Any

from vdistill.encoders.tokenizer import PROBES
from vdistill.errors import VdistillError


def export_tokenizer(tokenizer: Any, path: Path) -> None:
    """Write `tokenizer.json`. Raises VdistillError for a tokenizer without one that cannot be converted."""
    backend = getattr(tokenizer, "backend_tokenizer", None) or _converted(tokenizer)
    state = type(backend).from_str(backend.to_str())  # a copy: the caller's keeps its own truncation and padding
    state.no_truncation()
    state.no_padding()
    path.write_text(_short(json.loads(state.to_str())), encoding="utf-8")


def _short(tokenizer: dict[str, Any]) -> str:
    """The file without spaces, and with the merges of a BPE model as "a b" where that is clear: quicker to read."""
    merges = tokenizer["model"].get("merges")
    if merges and not any(" " in part for pair in merges for part in pair):
        tokenizer["model"]["merges"] = [" ".join(pair) for pair in merges]
    return json.dumps(tokenizer, ensure_ascii=False, separators=(",", ":"))


def check_same(ours: list[list[int]], theirs: list[list[int]], kind: str) -> None:
    """Raise VdistillError, naming the text, where the two tokenizers differ on a probe."""
    for text, one, other in zip(PROBES, ours, theirs, strict=True):
        if one != other:
            raise VdistillError(
                f"the exported tokenizer reads {text[:40]!r} differently from {kind}",
                hint="use a backbone with a fast tokenizer (tokenizer.json); please report this one",
            )


def _converted(tokenizer: Any) -> Any:
    """A SentencePiece tokenizer, which transformers runs in Python, converted to `tokenizers`."""
    from transformers.convert_slow_tokenizer import SpmConverter

    kind = type(tokenizer).__name__
    if kind != "SiglipTokenizer":
        raise _no_way(kind, "it has no tokenizer.json")
    try:
        backend = SpmConverter(tokenizer).converted()
    except Exception as error:  # whatever protobuf and the converter find wrong
        raise _no_way(kind, str(error)) from error
    backend.normalizer = _siglip_normalizer(tokenizer, backend.normalizer)
    backend.post_processor = _closing(tokenizer)
    return backend


def _siglip_normalizer(tokenizer: Any, rest: Any) -> Any:
    """SigLIP's own clean-up before SentencePiece's: lower case, no ASCII punctuation, single spaces."""
    from tokenizers import Regex, normalizers

    lower = [normalizers.Lowercase()] if tokenizer.do_lower_case else []
    return normalizers.Sequence(
        [
            normalizers.Replace("▁", " "),
            *lower,
            normalizers.Replace(Regex(f"[{re.escape(string.punctuation)}]"), ""),
            normalizers.Replace(Regex(r"\s+"), " "),
            normalizers.Strip(),
            rest,
        ]
    )


def _closing(tokenizer: Any) -> Any:
    from tokenizers.processors import TemplateProcessing

    end = tokenizer.eos_token
    return TemplateProcessing(single=f"$A {end}", special_tokens=[(end, tokenizer.eos_token_id)])


def _no_way(kind: str, why: str) -> VdistillError:
    return VdistillError(
        f"cannot export the tokenizer {kind}: {why}", hint="use a backbone with a fast tokenizer (tokenizer.json)"
    )
