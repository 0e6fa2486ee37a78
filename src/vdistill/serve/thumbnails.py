"""Small images of items, made once and kept on the disk, at most so many bytes of them."""

from __future__ import annotations

import io
from pathlib import Path

from vdistill.images import DECODER_VERSION, load, quiet
from vdistill.serve.settings import THUMBNAIL_BYTES
from vdistill.sources import Source
from vdistill.sources.cache import Cache

_QUALITY = 82
_VERSION = 1


class Thumbnails:
    """JPEG files of a few sizes. May be shared between threads. A folder that cannot be written costs time alone."""

    def __init__(self, folder: Path, most: int = THUMBNAIL_BYTES) -> None:
        self._cache = Cache(folder, most)

    def get(self, sha256: str, image: Source, side: int) -> bytes:
        """A JPEG of at most side × side pixels.

        sha256: of the file as it was indexed. Raises ImageError where it cannot be read.
        """
        version = f"{side} {_VERSION} {DECODER_VERSION}"
        found = self._cache.get(sha256, version)
        if found is None:
            found = made(image, side)
            self._cache.put(sha256, version, found)
        return found


def made(image: Source, side: int) -> bytes:
    """A JPEG of at most side × side pixels. Raises ImageError where the image cannot be read."""
    with quiet():
        small = load(image, side)
    small.thumbnail((side, side))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=_QUALITY)
    return file.getvalue()
