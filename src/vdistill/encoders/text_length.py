"""Whether texts are certain to be short enough for a checkpoint, without torch and without its tokenizer."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_RESERVED = 8  # positions for special tokens, and those that some towers leave unused


def surely_whole(source: str, texts: Iterable[str]) -> bool:
    """Whether no tokenizer could make more tokens of any text than the local checkpoint `source` reads.

    A token is at least one byte of the text as tokenizers decompose it. False where only the tokenizer can tell.
    """
    folder = Path(source)
    text = _read(folder / "config.json").get("text_config")
    positions = text.get("max_position_embeddings") if isinstance(text, dict) else None
    longest = _read(folder / "tokenizer_config.json").get("model_max_length")
    if not isinstance(positions, int) or not isinstance(longest, int | float):
        return False
    limit = min(positions, longest) - _RESERVED
    return all(len(unicodedata.normalize("NFKD", text).encode()) <= limit for text in texts)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
