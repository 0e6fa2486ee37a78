"""Images as a vision-language model is shown them: scaled to its bounds, and for a server as inline JPEGs."""

from __future__ import annotations

import base64
import io
import math
import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

from PIL import Image

from vdistill.errors import ImageError
from vdistill.images import load
from vdistill.records import Failure, ShownImage
from vdistill.sources import Source

LEAST_SIDE = 28  # below it servers fail: one merged patch of Qwen2-VL
MOST_BYTES = 256 * 2**20  # of encoded images: some thousand, which is many pools
JPEG_QUALITY = 90

T = TypeVar("T")


def load_scaled(source: Source, *, most_side: int, most_pixels: int | None = None) -> Image.Image:
    """The RGB image, its sides from LEAST_SIDE to `most_side` pixels, and within `most_pixels` if given.

    The aspect ratio is kept, unless the shorter side would fall under LEAST_SIDE. Raises ImageError as `load` does.
    """
    image = load(source, most_side)
    scale = min(1.0, most_side / max(image.size))
    if most_pixels is not None:
        scale = min(scale, math.sqrt(most_pixels / (image.width * image.height)))
    width, height = (max(LEAST_SIDE, math.floor(side * scale)) for side in image.size)
    return image if (width, height) == image.size else image.resize((width, height))


def load_each(images: Sequence[ShownImage], read: Callable[[ShownImage], T]) -> list[T] | Failure:
    """What `read` makes of each image, or a Failure that names the first one that raises ImageError."""
    found = []
    for image in images:
        try:
            found.append(read(image))
        except ImageError as error:
            return Failure(f"{image.item_id} cannot be read: {error.message}")
    return found


class ImageCache:
    """Encodes images as JPEG and keeps the most recently used: queries share pools of images.

    May be used from several threads at once.
    """

    def __init__(self, most_side: int, most_pixels: int | None, most_bytes: int = MOST_BYTES) -> None:
        """Bounds of an image in pixels (a side, the whole), and of all that is kept in bytes."""
        self._most_side, self._most_pixels, self._most_bytes = most_side, most_pixels, most_bytes
        self._kept: dict[ShownImage, bytes] = {}  # the least recently used first
        self._lock = threading.Lock()
        self.nbytes = 0

    def data_uri(self, image: ShownImage) -> str:
        """The image as a `data:` URI. Raises ImageError for one that cannot be read."""
        with self._lock:
            data = self._kept.get(image)
        if data is None:
            data = self._encoded(image)
        with self._lock:
            self._drop(image)
            self._kept[image] = data
            self.nbytes += len(data)
            while self.nbytes > self._most_bytes:
                self._drop(next(iter(self._kept)))
        return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"

    def _drop(self, image: ShownImage) -> None:
        self.nbytes -= len(self._kept.pop(image, b""))

    def _encoded(self, image: ShownImage) -> bytes:
        data = io.BytesIO()
        scaled = load_scaled(image.source, most_side=self._most_side, most_pixels=self._most_pixels)
        scaled.save(data, "JPEG", quality=JPEG_QUALITY)
        return data.getvalue()
