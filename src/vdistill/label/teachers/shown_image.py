"""A picture as a vision-language model is shown it: neither too small to be seen nor too large to be paid for."""

from __future__ import annotations

import math
from pathlib import Path

from PIL import Image

from vdistill.images import load

LEAST_SIDE = 28  # below it servers fail: one merged patch of Qwen2-VL


def shown(path: Path, *, most_side: int, most_pixels: int | None = None) -> Image.Image:
    """The RGB picture, its sides from LEAST_SIDE to `most_side` pixels, within `most_pixels` where they are given.

    Its aspect is kept, but for a shorter side under LEAST_SIDE. Raises ImageError as `load` does.
    """
    image = load(path, most_side)
    scale = min(1.0, most_side / max(image.size))
    if most_pixels is not None:
        scale = min(scale, math.sqrt(most_pixels / (image.width * image.height)))
    width, height = (max(LEAST_SIDE, math.floor(side * scale)) for side in image.size)
    return image if (width, height) == image.size else image.resize((width, height))
