"""A file becomes an upright 8-bit RGB image in sRGB, or the reason why it cannot."""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from PIL import Image, UnidentifiedImageError

from vdistill.errors import ImageError
from vdistill.images import heif
from vdistill.images.icc import to_srgb
from vdistill.images.layers import layers, stored
from vdistill.images.repair import repaired
from vdistill.sources import Source
from vdistill.sources.local import LocalFile

# A larger declared size counts as a decompression bomb: twice the size at which Pillow starts to warn.
MAX_PIXELS = 178_000_000

# Each scan of a progressive JPEG covers the whole image: a small file with many would take hours. Cameras write ten.
MAX_SCANS = 200

# Recognised by content, whatever the suffix. Not all that Pillow reads: some formats start other programs. The first
# six need no further import.
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "PPM", "WEBP", "TIFF", "AVIF", "JPEG2000", "ICO")

_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence Pillow's warnings about odd files, on every thread that loads images within the block."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def load(image: Source | Path, target: int | None = None, most: int = MAX_PIXELS) -> Image.Image:
    """Decode an image to upright 8-bit RGB in sRGB, an animation to its first frame, transparency to white.

    `target` is the length in pixels that the shorter side will be scaled to later: a JPEG far larger than that is
    decoded at a fraction of its size, never below twice `target`.  most: pixels that it may declare.
    Raises ImageError, whose message is the reason alone, and nothing else.
    """
    try:
        return _load(LocalFile(image) if isinstance(image, Path) else image, target, most)
    except ImageError:
        raise
    except Exception as error:  # Pillow's readers raise exceptions of any kind on damaged files
        raise ImageError(_reason(error)) from error


def _load(image: Source, target: int | None, most: int) -> Image.Image:
    with image.open("rb") as file:
        if not file.read(1):
            raise ImageError("the file is empty")
        try:
            return _decoded(file, target, most)
        except (ImageError, MemoryError):
            raise
        except Exception:
            file.seek(0)
            whole = repaired(file.read())
            if whole is None:
                raise
    return _decoded(io.BytesIO(whole), target, most)


def _decoded(file: BinaryIO, target: int | None, most: int) -> Image.Image:
    with _opened(file) as image:
        width, height = image.size
        if width * height > most:
            raise ImageError(f"declares {width} × {height} pixels, more than {most // 10**6} million")
        if image.info.get("progressive") and _scans(file) > MAX_SCANS:
            raise ImageError(f"has more than {MAX_SCANS} scans")
        if target is not None and image.format in ("JPEG", "MPO") and min(width, height) > 4 * target:
            factor = 2 * target / min(width, height)
            image.draft(None, (math.ceil(width * factor), math.ceil(height * factor)))
        as_stored = stored(image)
        image.load()
        colours, alpha = layers(image, as_stored, file)
        rgb = _on_white(to_srgb(colours, image.info.get("icc_profile")), alpha)
        orientation = _orientation(image)  # read last: Pillow turns some formats itself, and removes the tag
    upright = rgb.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else rgb
    upright.info.clear()  # its profile and orientation are applied: they must not be saved with it again
    return upright


def _opened(file: BinaryIO) -> Image.Image:
    file.seek(0)
    start = file.read(64)
    return heif.opened(file) if heif.is_heif(start) else Image.open(file, formats=FORMATS)


def _scans(file: BinaryIO) -> int:
    file.seek(0)
    return file.read().count(b"\xff\xda")


def _on_white(image: Image.Image, alpha: Image.Image | None) -> Image.Image:
    if alpha is None:
        return image
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=alpha)
    return white


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) where there is none or the EXIF block is damaged."""
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # a damaged EXIF block is no reason to lose the image
        return 1


def _reason(error: Exception) -> str:
    """Why an image could not be read, short enough for a list."""
    if isinstance(error, UnidentifiedImageError):
        return "not an image in a known format"
    if isinstance(error, Image.DecompressionBombError):
        return f"declares more than {MAX_PIXELS // 10**6} million pixels"
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return f"damaged: {' '.join(str(error).split())[:120] or type(error).__name__}"
