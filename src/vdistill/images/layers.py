"""The colours and the opacity of a decoded image in 8 bits, from all the layouts that files store them in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

_DEEP_GREY = ("I", "F", "I;16", "I;16B", "I;16L", "I;16N")
_LEVELS = {"L;2": 85, "L;4": 17}  # PNG: one step of grey in 2 or 4 bits, in 8 bits
_DEEP_RGB, _LOW_BYTES = "RGB;16B", "RGB;16L"  # PNG: in the wrong byte order Pillow keeps the low bytes
_BITS, _PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0


@dataclass(frozen=True, slots=True)
class Stored:
    """How the file stores its values, which Pillow does not keep when it decodes.

    png: Pillow's name for the layout of a PNG.  bits: per value of a TIFF.  negative: a TIFF in which 0 means white.
    """

    png: str = ""
    bits: int = 0
    negative: bool = False


def stored(image: Image.Image) -> Stored:
    """The layout of an image that is open but not decoded yet."""
    tags: Any = getattr(image, "tag_v2", None)
    if tags is not None:
        return Stored(bits=int(tags.get(_BITS, (0,))[0]), negative=tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO)
    tiles: list[Any] = getattr(image, "tile", [])
    return Stored(png=str(tiles[0].args)) if image.format == "PNG" and tiles else Stored()


def layers(image: Image.Image, how: Stored, file: BinaryIO) -> tuple[Image.Image, Image.Image | None]:
    """The decoded colours, in L, RGB, CMYK, YCbCr or LAB, and the opacity in L where not everything is opaque."""
    key = image.info.get("transparency")
    if image.mode in _DEEP_GREY:
        values = np.asarray(image)
        return _to_eight_bits(values, image.mode, how), _all_but(values != key) if isinstance(key, int) else None
    if how.png == _DEEP_RGB and isinstance(key, tuple):
        return image, _all_but(_differs(image, file, key))
    if how.png in _LEVELS and isinstance(key, int):
        image.info["transparency"] = key * _LEVELS[how.png] & 255
    if not image.has_transparency_data:
        return image.convert("RGB" if image.mode == "P" else "L") if image.mode in ("P", "1") else image, None
    if image.mode in ("PA", "La"):  # these have no direct way to RGBA
        image = image.convert("RGBA" if image.mode == "PA" else "LA")
    if image.mode == "LA":
        return image.getchannel("L"), image.getchannel("A")
    image = image.convert("RGBA")
    return image.convert("RGB"), image.getchannel("A")


def _to_eight_bits(values: np.ndarray, mode: str, how: Stored) -> Image.Image:
    """Grey of more than 8 bits, scaled where Pillow would clip.

    16-bit formats use their full range; wider integers and floats the range of their values.
    """
    values = np.nan_to_num(values.astype(np.float64), posinf=0, neginf=0)
    low, high = min(values.min(), 0.0), max(values.max(), 0.0)
    if mode.startswith("I;16"):
        high = 2.0**how.bits - 1 if 8 < how.bits < 16 else 65535.0
    elif mode == "I" and low == 0 and 255 < high <= 65535:
        high = 65535.0
    elif low == 0 and high <= 255:
        high = 1.0 if mode == "F" and high <= 1 else 255.0
    grey = np.rint((values - low) * (255 / (high - low))).clip(0, 255).astype(np.uint8)
    return Image.fromarray(255 - grey if how.negative else grey)


def _differs(image: Image.Image, file: BinaryIO, key: tuple[int, ...]) -> np.ndarray:
    """Where a PNG with 16 bits per channel has another colour than `key`: Pillow keeps only the high bytes."""
    file.seek(0)
    with Image.open(file, formats=("PNG",)) as low:
        low.tile = [low.tile[0]._replace(args=_LOW_BYTES)]
        values = np.asarray(image, np.uint16) * 256 + np.asarray(low, np.uint16)
    return np.asarray((values != np.array(key, np.uint16)).any(axis=-1))


def _all_but(opaque: np.ndarray) -> Image.Image:
    return Image.fromarray(np.where(opaque, 255, 0).astype(np.uint8))
