"""Small images, as JPEG files in memory."""

from __future__ import annotations

import base64
import io

from vdistill.errors import ImageError
from vdistill.images.decode import load
from vdistill.sources import Source

SIDE = 240  # px


def thumbnail_or_reason(image: Source, side: int = SIDE) -> tuple[str | None, str]:
    """A JPEG of at most `side` × `side` pixels as a data: URI; or None, and why the image cannot be read."""
    try:
        data = thumbnail(image, side)
    except ImageError as error:
        return None, error.message
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}", ""


def thumbnail(image: Source, side: int) -> bytes:
    """A JPEG of at most `side` × `side` pixels. Raises ImageError where the image cannot be read."""
    small = load(image, side)
    small.thumbnail((side, side))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=82)
    return file.getvalue()
