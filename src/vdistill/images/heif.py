"""HEIC and HEIF, as phones write them, read by pillow-heif, an optional dependency."""

from __future__ import annotations

from typing import BinaryIO

from PIL import Image

from vdistill.errors import ImageError

_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"})
_AVIF = frozenset({b"avif", b"avis"})  # in the same container, and read by Pillow itself


def is_heif(start: bytes) -> bool:
    """Whether a file with these first bytes is HEIF, and not AVIF."""
    if start[4:8] != b"ftyp":
        return False
    end = min(len(start), int.from_bytes(start[:4], "big"))
    brands = {start[8:12], *(start[at : at + 4] for at in range(16, end, 4))}
    return bool(brands & _BRANDS) and not brands & _AVIF


def opened(file: BinaryIO) -> Image.Image:
    """The image, not decoded yet. Raises ImageError without pillow-heif, and as Pillow's readers do."""
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise ImageError("HEIC is read by an extra: pip install 'vdistill[heic]'") from error
    image: Image.Image = HeifImageFile(file)
    return image
