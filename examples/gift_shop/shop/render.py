"""From a product and a seed to a drawing: finish, light, background and composition."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from shop.backgrounds import background
from shop.canvas import Colour, Pen
from shop.kinds import DRAWINGS

COLOURS: dict[str, Colour] = {
    "red": (204, 30, 36),
    "orange": (242, 126, 22),
    "yellow": (250, 212, 40),
    "green": (34, 142, 62),
    "blue": (30, 92, 204),
    "purple": (122, 48, 160),
    "black": (40, 40, 45),
    "white": (244, 243, 239),
}
FINISHES = ("matte", "glossy", "hand-painted")

# The pattern of the hand-painted finish: cream on everything that cream shows on.
_BRUSH: dict[str, Colour] = {"yellow": (150, 72, 34), "white": (128, 92, 70)}
_CREAM: Colour = (255, 240, 206)
_OVERSAMPLING = 3


@dataclass(frozen=True, slots=True)
class Product:
    """What a literal title tells: colour, finish and kind."""

    kind: str
    colour: str
    finish: str

    @property
    def title(self) -> str:
        """The literal title, e.g. "red glossy watering can"."""
        return f"{self.colour} {self.finish} {self.kind}"


def products(kinds: Iterable[str]) -> list[Product]:
    """Every kind in every colour and finish, in a fixed order."""
    return [Product(kind, colour, finish) for kind in kinds for colour in COLOURS for finish in FINISHES]


def drawing(product: Product, rng: np.random.Generator, sides: tuple[int, int]) -> Image.Image:
    """An RGB drawing of the product; `sides` (least and greatest, in pixels) bound its width and height."""
    width, height = (int(side) for side in rng.integers(sides[0], sides[1] + 1, size=2))
    if rng.random() < 0.5:
        height = width
    width, height = max(width, round(height * 0.75)), max(height, round(width * 0.75))
    scene = background(product.colour, COLOURS[product.colour], (width, height), rng)
    side = round(min(width, height) * rng.uniform(0.66, 0.9))
    layer = cut_out(product, side, rng)
    layer = layer.rotate(rng.uniform(-9, 9), Image.Resampling.BICUBIC, expand=True)
    slack_x, slack_y = width - layer.width, height - layer.height
    at = round(slack_x * rng.uniform(0.15, 0.85)), round(slack_y * rng.uniform(0.3, 0.9))
    _shadow(scene, layer, at)
    scene.paste(layer, at, layer)
    return scene


def cut_out(product: Product, side: int, rng: np.random.Generator) -> Image.Image:
    """The product alone on a transparent square of `side` pixels, drawn larger and scaled down."""
    margin = 1.12  # a few drawings reach a little past the unit square
    pen = Pen(side * _OVERSAMPLING, COLOURS[product.colour], margin)
    DRAWINGS[product.kind](pen)
    if product.finish == "hand-painted":
        _paint_by_hand(pen, product, rng)
    return _light(pen, product.finish).resize((side, side), Image.Resampling.LANCZOS)


def _light(pen: Pen, finish: str) -> Image.Image:
    """The pen's drawing lit from the upper left, RGBA.

    The relief is blurred twice: narrowly for the edges of parts, widely for the roundness of the whole.
    """
    *colours, alpha = pen.drawing.split()
    edge = _slope(pen.relief, 1.2 * pen.scale)
    swell = _slope(pen.relief, 5.0 * pen.scale)
    if finish == "glossy":
        light = 1 + 0.35 * edge + 0.75 * swell
        shine = np.clip(np.clip(swell * 3.2 - 0.42, 0, 0.85) + 0.62 * _glare(pen), 0, 0.9)
        gloss = [shine, np.asarray(pen.mask, dtype=np.float32) / 255]
    else:
        light = 1 + 0.10 * edge + 0.30 * swell
        gloss = []
    return Image.merge("RGBA", (*(_lit(colour, light, gloss) for colour in colours), alpha))


def _lit(colour: Image.Image, light: np.ndarray, gloss: list[np.ndarray]) -> Image.Image:
    """One colour channel: by itself, since numpy repeats what is alike for all three slowly.

    gloss: the shine, and where the body is; none where the finish has none.
    """
    lit = np.asarray(colour, dtype=np.float32) * light
    if gloss:
        shine, body = gloss
        lit += (255 - lit) * shine * body
    return Image.fromarray(np.clip(lit, 0, 255, out=lit).astype(np.uint8))


def _slope(relief: Image.Image, radius: float) -> np.ndarray:
    """How far a surface leans towards the light, in about [-0.5, 0.5]; (side, side)."""
    soft = np.asarray(relief.filter(ImageFilter.GaussianBlur(radius)), dtype=np.float32) / 255
    step = max(1, round(radius * 0.8))
    padded = np.pad(soft, step, mode="edge")
    towards, away = padded[2 * step :, 2 * step :], padded[: -2 * step, : -2 * step]
    return (towards - away) * 0.6


def _glare(pen: Pen) -> np.ndarray:
    """Two slanting reflections on the body, in [0, 1]; (side, side)."""
    streaks = Image.new("L", pen.mask.size, 0)
    draw = ImageDraw.Draw(streaks)
    side = pen.side
    for start, breadth in ((0.16, 0.10), (0.31, 0.035), (0.70, 0.06)):
        top, bottom = start * side + 0.22 * side, start * side - 0.22 * side
        draw.polygon([(top, 0), (top + breadth * side, 0), (bottom + breadth * side, side), (bottom, side)], fill=255)
    inset = pen.mask.filter(ImageFilter.GaussianBlur(1.6 * pen.scale)).point(lambda v: 255 if v > 225 else 0)
    clipped = ImageChops.multiply(streaks, inset).filter(ImageFilter.GaussianBlur(0.5 * pen.scale))
    return np.asarray(clipped, dtype=np.float32) / 255


def _paint_by_hand(pen: Pen, product: Product, rng: np.random.Generator) -> None:
    """Covers the body with dots or blossoms in rows that no machine would set."""
    ink = _BRUSH.get(product.colour, _CREAM)
    pattern = Image.new("L", pen.drawing.size, 0)
    draw = ImageDraw.Draw(pattern)
    step = pen.scale * rng.uniform(10.5, 13)
    blossoms = rng.random() < 0.5
    rows = int(pen.side / step) + 2
    for row in range(rows):
        for column in range(rows):
            jitter_x, jitter_y = rng.normal(0, 0.07, 2)
            x, y = (column + 0.5 * (row % 2) + jitter_x) * step, (row + jitter_y) * step
            radius = step * rng.uniform(0.23, 0.29)
            _blossom(draw, x, y, radius * 1.25) if blossoms else _dot(draw, x, y, radius)
    clipped = ImageChops.multiply(pattern, pen.mask)
    pen.drawing.paste(Image.new("RGB", pattern.size, ink), (0, 0), clipped)


def _dot(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=235)


def _blossom(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float) -> None:
    petal = radius * 0.52
    for angle in np.linspace(0, 2 * np.pi, 5, endpoint=False):
        _dot(draw, x + radius * 0.62 * np.cos(angle), y + radius * 0.62 * np.sin(angle), petal)
    draw.ellipse((x - petal * 0.5, y - petal * 0.5, x + petal * 0.5, y + petal * 0.5), fill=60)


def _shadow(scene: Image.Image, layer: Image.Image, at: tuple[int, int]) -> None:
    """A soft shadow under the product, a little to the right."""
    side = max(layer.size)
    shade = Image.new("L", scene.size, 0)
    alpha = layer.getchannel("A").point(lambda v: v * 0.45)
    shade.paste(alpha, (at[0] + round(side * 0.03), at[1] + round(side * 0.035)))
    scene.paste((28, 24, 32), (0, 0), shade.filter(ImageFilter.GaussianBlur(max(1.0, side * 0.025))))
