"""What a model is called where its answers are stored: another model must never pass for it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

MATTERS = (".safetensors", ".bin", ".json", ".jinja", ".txt", ".model")
PIECES, PIECE = 64, 1 << 14  # of a large file this many pieces of this many bytes are read


def model_name(source: str) -> str:
    """A hub id as it is; a folder by its name and a hash of its files, of the large ones spread samples.

    So a model that was trained further is another model, though its files are as long as before. Raises OSError as
    reading does.
    """
    folder = Path(source)
    if not folder.is_dir():
        return source
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.iterdir() if path.is_file() and path.suffix in MATTERS):
        digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        for piece in _sample(path):
            digest.update(piece)
    return f"{folder.resolve().name}@{digest.hexdigest()[:8]}"


def _sample(path: Path) -> Iterator[bytes]:
    size = path.stat().st_size
    with path.open("rb") as file:
        if size <= PIECES * PIECE:
            yield file.read()
            return
        for number in range(PIECES):
            file.seek(number * (size - PIECE) // (PIECES - 1))
            yield file.read(PIECE)
