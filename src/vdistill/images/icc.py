"""Colours as the image means them: converted to sRGB by its ICC profile."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

# Modes, and the colour spaces of the profiles that they may have; RGB profiles apply to grey as well.
_SPACES = {"RGB": ("RGB ",), "CMYK": ("CMYK",), "L": ("GRAY", "RGB ")}
_SAME = 2  # of 255: a profile that changes no colour by more is that of sRGB


def to_srgb(image: Image.Image, profile: object = None) -> Image.Image:
    """The image in RGB: by its profile, or by Pillow's own rules where that is missing, damaged or of another mode.

    Takes L, RGB, CMYK, YCbCr and LAB with 8 bits a channel.
    """
    if image.mode == "LAB":
        return _from_lab(image)
    if image.mode == "YCbCr":
        image = image.convert("RGB")
    if isinstance(profile, bytes) and image.mode in _SPACES and not (image.mode != "CMYK" and _is_srgb(profile)):
        image = _managed(image, profile) or image
    return image if image.mode == "RGB" else image.convert("RGB")


def _managed(image: Image.Image, profile: bytes) -> Image.Image | None:
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space
        if space not in _SPACES[image.mode]:
            return None
        image = image.convert("RGB") if space == "RGB " else image
        return _transformed(image, source)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


def _from_lab(image: Image.Image) -> Image.Image:
    from PIL import ImageCms

    return _transformed(image, ImageCms.createProfile("LAB"))


def _transformed(image: Image.Image, source: Any) -> Image.Image:
    from PIL import ImageCms

    found = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert found is not None  # it is None where the image is changed in place
    return found


@lru_cache(maxsize=64)
def _is_srgb(profile: bytes) -> bool:
    """Whether it is one of the many profiles of sRGB, by what it does to colours: names are not reliable."""
    steps = np.array([0, 16, 32, 48, 64, 96, 128, 160, 192, 224, 255], np.uint8)
    probe = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    found = _managed(Image.fromarray(probe), profile)
    return found is not None and int(np.abs(np.asarray(found, np.int16) - probe).max()) <= _SAME
