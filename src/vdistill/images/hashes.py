"""Hashes of files."""

from __future__ import annotations

import hashlib
from pathlib import Path

from vdistill.sources import Source

_EDGE = 64 * 1024


def file_sha256(image: Source | Path) -> str:
    """Hash of a file's bytes, in hex. Raises OSError as reading does."""
    digest = hashlib.sha256()
    with image.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def edges_sha256(path: Path) -> str:
    """Hash of a file's first and last 64 KiB, in hex. Raises OSError as reading does."""
    with path.open("rb") as file:
        digest = hashlib.sha256(file.read(_EDGE))
        file.seek(max(0, path.stat().st_size - _EDGE))
        digest.update(file.read(_EDGE))
    return digest.hexdigest()
