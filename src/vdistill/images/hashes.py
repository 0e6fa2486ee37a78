"""Hashes of files."""

from __future__ import annotations

import hashlib
from typing import IO, Any, Literal, Protocol

_EDGE = 64 * 1024


class Readable(Protocol):
    """What can be read: a path, an image elsewhere, a part of a pack."""

    def open(self, mode: Literal["rb"], /) -> IO[bytes] | Any:
        """Its bytes."""


def file_sha256(image: Readable) -> str:
    """Hash of a file's bytes, in hex. Raises OSError as reading does."""
    digest = hashlib.sha256()
    with image.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def edges_sha256(file_at: Readable) -> str:
    """Hash of a file's first and last 64 KiB, in hex. Raises OSError as reading does."""
    with file_at.open("rb") as file:
        digest = hashlib.sha256(file.read(_EDGE))
        file.seek(max(0, file.seek(0, 2) - _EDGE))
        digest.update(file.read(_EDGE))
    return digest.hexdigest()
