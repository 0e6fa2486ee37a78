"""What stands behind a product: plain, gradient, wall and table, wallpaper or plaster, never in its colour."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from shop.canvas import Colour

_SIZE = tuple[int, int]

# Muted tones: no product is this pale or this grey, so a background never reads as a colour of the shop.
GROUNDS: tuple[Colour, ...] = (
    (236, 228, 212),
    (216, 206, 190),
    (224, 228, 232),
    (188, 194, 200),
    (142, 150, 158),
    (206, 218, 226),
    (170, 190, 204),
    (208, 220, 204),
    (170, 188, 168),
    (232, 212, 206),
    (206, 178, 172),
    (214, 208, 226),
    (178, 172, 196),
    (196, 174, 150),
    (112, 110, 116),
    (232, 222, 186),
)
_LEAST_CONTRAST = 95.0


def background(name: str, product: Colour, size: _SIZE, rng: np.random.Generator) -> Image.Image:
    """An RGB background of `size` (width, height) that contrasts with the product's colour `product`, called `name`."""
    fitting = [ground for ground in GROUNDS if _distance(ground, product) >= _LEAST_CONTRAST and _differs(name, ground)]
    first, second = (fitting[i] for i in rng.choice(len(fitting), 2, replace=False))
    style = _STYLES[int(rng.integers(len(_STYLES)))]
    return style(first, second, size, rng)


def _differs(name: str, ground: Colour) -> bool:
    """Whether the ground has another hue than the product (a pale green wall flatters no green pot)."""
    r, g, b = ground
    tints = {"red": r > g + 20, "green": g > r + 2 and g > b, "blue": b > r + 12, "purple": b > g + 12}
    tints |= {"yellow": r > b + 35, "orange": r > b + 35}
    return not tints.get(name, False)


def _distance(a: Colour, b: Colour) -> float:
    return float(np.linalg.norm(np.subtract(a, b)))


def _plain(first: Colour, second: Colour, size: _SIZE, rng: np.random.Generator) -> Image.Image:
    return Image.new("RGB", size, first)


def _gradient(first: Colour, second: Colour, size: _SIZE, rng: np.random.Generator) -> Image.Image:
    """A smooth change from one tone to another, at any angle."""
    angle = rng.uniform(0, 2 * np.pi)
    x, y = np.meshgrid(np.linspace(-1, 1, size[0]), np.linspace(-1, 1, size[1]))
    share = np.clip((x * np.cos(angle) + y * np.sin(angle)) / 2.4 + 0.5, 0, 1)[..., None]
    return Image.fromarray((np.array(first) * (1 - share) + np.array(second) * share).astype(np.uint8))


def _table(first: Colour, second: Colour, size: _SIZE, rng: np.random.Generator) -> Image.Image:
    """A wall above a table top with a lit edge."""
    scene = Image.new("RGB", size, first)
    horizon = round(size[1] * rng.uniform(0.58, 0.8))
    draw = ImageDraw.Draw(scene)
    draw.rectangle((0, horizon, *size), fill=second)
    draw.line((0, horizon, size[0], horizon), fill=_scaled(second, 0.8), width=max(1, size[1] // 70))
    for _ in range(int(rng.integers(0, 5))):
        y = int(rng.integers(horizon, size[1]))
        draw.line((0, y, size[0], y + int(rng.integers(-2, 3))), fill=_scaled(second, 0.93), width=1)
    return scene


def _wallpaper(first: Colour, second: Colour, size: _SIZE, rng: np.random.Generator) -> Image.Image:
    """Broad faint stripes."""
    scene = Image.new("RGB", size, first)
    draw = ImageDraw.Draw(scene)
    breadth = max(3, round(min(size) * rng.uniform(0.06, 0.14)))
    for x in range(0, size[0], 2 * breadth):
        draw.rectangle((x, 0, x + breadth - 1, size[1]), fill=_scaled(first, 0.93))
    return scene


def _plaster(first: Colour, second: Colour, size: _SIZE, rng: np.random.Generator) -> Image.Image:
    """Cloudy texture, as of plaster or linen."""
    coarse = Image.fromarray(rng.integers(90, 166, size=(12, 12), dtype=np.uint8)).resize(
        size, Image.Resampling.BICUBIC
    )
    grain = np.asarray(coarse, dtype=np.float32)[..., None] - 128 + rng.normal(0, 3.5, (size[1], size[0], 1))
    return Image.fromarray(np.clip(np.array(first) + 0.45 * grain, 0, 255).astype(np.uint8))


def _spotlight(first: Colour, second: Colour, size: _SIZE, rng: np.random.Generator) -> Image.Image:
    """A pool of light on a wall."""
    scene = Image.new("RGB", size, _scaled(first, 0.82))
    x, y, r = size[0] * rng.uniform(0.35, 0.65), size[1] * rng.uniform(0.3, 0.6), min(size) * rng.uniform(0.4, 0.6)
    ImageDraw.Draw(scene).ellipse((x - r, y - r, x + r, y + r), fill=first)
    return scene.filter(ImageFilter.GaussianBlur(min(size) * 0.1))


def _scaled(colour: Colour, factor: float) -> Colour:
    r, g, b = (round(channel * factor) for channel in colour)
    return r, g, b


_STYLES = (_plain, _gradient, _table, _wallpaper, _plaster, _spotlight)
