"""Names of models: short ones to type, and the one under which a model's answers are stored."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator
from pathlib import Path

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

_HASHED = (".safetensors", ".bin", ".json", ".jinja", ".txt", ".model")
_SAMPLES, _SAMPLE_BYTES = 64, 1 << 14  # read of a large file


def close_model(source: str) -> str | None:
    """The known model id that a mistyped one is closest to, if any; None for one that is known."""
    known = sorted(set(ALIASES.values()))
    return None if source in known else next(iter(difflib.get_close_matches(source, known, n=1, cutoff=0.8)), None)


def model_name(source: str) -> str:
    """A hub id as it is; a folder by its name and a hash of its files, of large ones by samples spread over the file.

    So a model that was trained further gets a name of its own, though its files are as long as before. Raises OSError
    as reading does.
    """
    folder = Path(source)
    if not folder.is_dir():
        return source
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file() and path.suffix in _HASHED):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        for sample in _samples(path):
            digest.update(sample)
    return f"{folder.resolve().name}@{digest.hexdigest()[:8]}"


def _samples(path: Path) -> Iterator[bytes]:
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= _SAMPLES * _SAMPLE_BYTES:
            yield file.read()
            return
        for number in range(_SAMPLES):
            file.seek(number * (size - _SAMPLE_BYTES) // (_SAMPLES - 1))
            yield file.read(_SAMPLE_BYTES)
