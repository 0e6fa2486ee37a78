"""Images as they are sent: inline JPEGs. Queries share pools of images, so the same ones come again and again."""

from __future__ import annotations

import base64
import io
import threading
from collections import OrderedDict

from vdistill.label.teachers.shown_image import shown
from vdistill.records import ShownImage

MOST_BYTES = 256 * 2**20  # some thousand images, which is many pools
QUALITY = 90


class ImageCache:
    """Keeps the encoded images that were asked for last. May be used from several threads at once."""

    def __init__(self, most_side: int, most_pixels: int | None, most_bytes: int = MOST_BYTES) -> None:
        """Bounds of an image in pixels (a side, the whole), and of all that is kept."""
        self._most_side, self._most_pixels, self._most_bytes = most_side, most_pixels, most_bytes
        self._kept: OrderedDict[ShownImage, bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """Bytes that are kept."""
        return self._bytes

    def data_uri(self, image: ShownImage) -> str:
        """The image as a `data:` URI. Raises ImageError for one that cannot be read."""
        data = self._known(image)
        if data is None:
            data = self._encoded(image)
            self._keep(image, data)
        return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"

    def _known(self, image: ShownImage) -> bytes | None:
        with self._lock:
            if image in self._kept:
                self._kept.move_to_end(image)
            return self._kept.get(image)

    def _keep(self, image: ShownImage, data: bytes) -> None:
        with self._lock:
            self._bytes += len(data) - len(self._kept.get(image, b""))
            self._kept[image] = data
            self._kept.move_to_end(image)
            while self._bytes > self._most_bytes:
                self._bytes -= len(self._kept.popitem(last=False)[1])

    def _encoded(self, image: ShownImage) -> bytes:
        data = io.BytesIO()
        decoded = shown(image.path, most_side=self._most_side, most_pixels=self._most_pixels)
        decoded.save(data, "JPEG", quality=QUALITY)
        return data.getvalue()
