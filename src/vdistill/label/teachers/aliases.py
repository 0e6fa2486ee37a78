"""Short names of vision-language models that make good teachers."""

from __future__ import annotations

import difflib

ALIASES = {
    "qwen2-vl": "Qwen/Qwen2-VL-2B-Instruct",
    "qwen2-vl:2b": "Qwen/Qwen2-VL-2B-Instruct",
    "qwen2-vl:7b": "Qwen/Qwen2-VL-7B-Instruct",
    "qwen2.5-vl": "Qwen/Qwen2.5-VL-3B-Instruct",
    "qwen2.5-vl:3b": "Qwen/Qwen2.5-VL-3B-Instruct",
    "qwen2.5-vl:7b": "Qwen/Qwen2.5-VL-7B-Instruct",
    "qwen3-vl": "Qwen/Qwen3-VL-2B-Instruct",
    "qwen3-vl:2b": "Qwen/Qwen3-VL-2B-Instruct",
    "qwen3-vl:4b": "Qwen/Qwen3-VL-4B-Instruct",
    "qwen3-vl:8b": "Qwen/Qwen3-VL-8B-Instruct",
    "smolvlm": "HuggingFaceTB/SmolVLM2-2.2B-Instruct",
    "smolvlm:256m": "HuggingFaceTB/SmolVLM2-256M-Video-Instruct",
    "smolvlm:500m": "HuggingFaceTB/SmolVLM2-500M-Video-Instruct",
    "smolvlm:2.2b": "HuggingFaceTB/SmolVLM2-2.2B-Instruct",
}


def resolve(name: str) -> str:
    """The model id behind an alias; any other name is returned as it is."""
    return ALIASES.get(name, name)


def close_models(source: str) -> list[str]:
    """The known model ids that look like a mistyped one, the closest first; none for one that is known."""
    known = sorted(set(ALIASES.values()))
    return [] if source in known else difflib.get_close_matches(source, known, n=3, cutoff=0.8)
