"""Colours as the picture means them: embedded ICC profiles brought to sRGB."""

from __future__ import annotations

import io
from functools import lru_cache

from PIL import Image

_SPACES = {"RGB": "RGB ", "CMYK": "CMYK", "L": "GRAY"}  # modes, and the colour space their profile must be of


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image | None:
    """The picture in sRGB, by its profile; None where there is nothing to do, or the profile is damaged or foreign."""
    if image.mode not in _SPACES or _is_srgb(profile):
        return None
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space != _SPACES[image.mode]:
            return None
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None


@lru_cache(maxsize=64)
def _is_srgb(profile: bytes) -> bool:
    """Whether it is one of the many profiles of sRGB, which change next to nothing."""
    from PIL import ImageCms

    try:
        return "srgb" in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(profile))).lower()
    except (ImageCms.PyCMSError, OSError):
        return True  # it cannot be read, so it cannot be followed
