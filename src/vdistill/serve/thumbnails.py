"""Small images of items, made once and kept on the disk, at most so many bytes of them."""

from __future__ import annotations

from pathlib import Path

from vdistill.bundle.pack_writer import SIDE
from vdistill.images import DECODER_VERSION, quiet
from vdistill.images.thumbnails import thumbnail
from vdistill.serve.held import Held
from vdistill.serve.settings import THUMBNAIL_BYTES
from vdistill.sources import Source
from vdistill.sources.cache import Cache

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
            with quiet():
                found = thumbnail(image, side)
            self._cache.put(sha256, version, found)
        return found

    def of(self, sha256: str, image: Source, side: int, packed: bytes | None) -> bytes:
        """As `get`, but from the small image that a pack has, where there is one: its catalog may be far away."""
        if packed is None:
            return self.get(sha256, image, side)
        if side >= SIDE:
            return packed
        return self.get(sha256, Held(packed), side)
