"""The pen that draws a product: shapes in a 100 × 100 square, each in the product's own colour or a neutral one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw

Point = tuple[float, float]
Colour = tuple[int, int, int]

# Neutral materials stay the same whatever the product's colour, so that a colour word means the product and no part.
NEUTRALS: dict[str, Colour] = {
    "steel": (176, 182, 190),
    "silver": (214, 218, 224),
    "dark": (66, 66, 72),
    "wood": (190, 152, 110),
    "paper": (246, 240, 224),
    "glass": (196, 222, 230),
    "leaf": (92, 150, 84),
    "soil": (96, 72, 56),
    "hollow": (54, 48, 46),
    "flame": (255, 206, 92),
    "skin": (226, 200, 170),
}
SHADES = {"body": 1.0, "body-dark": 0.72, "body-light": 1.22}


def arc(centre: Point, radius: Point, start: float, stop: float, steps: int = 36) -> list[Point]:
    """Points on an ellipse from `start` to `stop` degrees (0 is right, 90 is down)."""
    angles = [math.radians(start + (stop - start) * step / steps) for step in range(steps + 1)]
    return [(centre[0] + radius[0] * math.cos(a), centre[1] + radius[1] * math.sin(a)) for a in angles]


def curve(*knots: Point, closed: bool = False, steps: int = 10) -> list[Point]:
    """A Catmull–Rom spline through the knots."""
    count = len(knots)
    if closed:
        padded = [knots[-1], *knots, knots[0], knots[1]]
    else:
        padded = [knots[0], *knots, knots[-1]]
    points: list[Point] = []
    for i in range(1, count + 1 if closed else count):
        p0, p1, p2, p3 = padded[i - 1 : i + 3]
        points.extend(_spline(p0, p1, p2, p3, step / steps) for step in range(steps))
    if not closed:
        points.append(knots[-1])
    return points


def turn(points: Sequence[Point], degrees: float, about: Point = (50, 50)) -> list[Point]:
    """The points rotated clockwise on the screen."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    x0, y0 = about
    return [(x0 + (x - x0) * c - (y - y0) * s, y0 + (x - x0) * s + (y - y0) * c) for x, y in points]


def _spline(p0: Point, p1: Point, p2: Point, p3: Point, t: float) -> Point:
    def one(a: float, b: float, c: float, d: float) -> float:
        return 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t * t + (3 * b - a - 3 * c + d) * t**3)

    return one(p0[0], p1[0], p2[0], p3[0]), one(p0[1], p1[1], p2[1], p3[1])


class Pen:
    """Draws on three layers at once: the drawing, the relief (for light) and the body mask (for finishes)."""

    def __init__(self, side: int, body: Colour, margin: float = 1.0) -> None:
        """A square canvas of `side` pixels, the unit square in its middle; "body" shapes take the product's colour.

        `margin` is the canvas's side over the unit square's.
        """
        self.side = side
        self.scale = side / 100 / margin
        self.offset = (side - side / margin) / 2
        self.body = body
        self.drawing = Image.new("RGBA", (side, side), (0, 0, 0, 0))
        self.relief = Image.new("L", (side, side), 0)
        self.mask = Image.new("L", (side, side), 0)
        self._layers = [ImageDraw.Draw(layer) for layer in (self.drawing, self.relief, self.mask)]

    def poly(self, points: Sequence[Point], paint: str = "body", edge: float = 1.3) -> None:
        """A filled shape with an outline `edge` units wide (0 for none)."""
        pixels = self._pixels(points)
        for draw, fill, line in self._inks(paint):
            draw.polygon(pixels, fill=fill)
            if edge:
                draw.line([*pixels, pixels[0], pixels[1]], fill=line, width=self._width(edge), joint="curve")

    def ellipse(self, centre: Point, radius: Point, paint: str = "body", edge: float = 1.3) -> None:
        """A filled ellipse."""
        self.poly(arc(centre, radius, 0, 360, 48)[:-1], paint, edge)

    def box(self, left: float, top: float, right: float, bottom: float, paint: str = "body", r: float = 3) -> None:
        """A rectangle with corners rounded by `r` units."""
        self.poly(rounded(left, top, right, bottom, r), paint)

    def stroke(self, points: Sequence[Point], width: float, paint: str = "body", edge: float = 1.3) -> None:
        """A thick line with round ends and an outline."""
        pixels = self._pixels(points)
        for draw, fill, line in self._inks(paint):
            if edge:
                self._line(draw, pixels, width + 2 * edge, line)
            self._line(draw, pixels, width, fill)

    def mark(self, points: Sequence[Point], width: float = 1.2, paint: str = "line") -> None:
        """A thin line without outline: a seam, a string, a crease."""
        pixels = self._pixels(points)
        drawing, relief, _ = self._layers
        ink = self._line_colour("body") if paint == "line" else self._fill_colour(paint)
        self._line(drawing, pixels, width, ink)
        self._line(relief, pixels, width, 90)

    def _line(self, draw: ImageDraw.ImageDraw, pixels: list[Point], width: float, ink: Colour | int) -> None:
        size = self._width(width)
        draw.line(pixels, fill=ink, width=size, joint="curve")
        for x, y in (pixels[0], pixels[-1]):
            draw.ellipse((x - size / 2, y - size / 2, x + size / 2, y + size / 2), fill=ink)

    def _pixels(self, points: Sequence[Point]) -> list[Point]:
        return [(x * self.scale + self.offset, y * self.scale + self.offset) for x, y in points]

    def _width(self, units: float) -> int:
        return max(1, round(units * self.scale))

    def _inks(self, paint: str) -> list[tuple[ImageDraw.ImageDraw, Colour | int, Colour | int]]:
        drawing, relief, mask = self._layers
        inside = 255 if paint in SHADES else 0
        return [
            (drawing, self._fill_colour(paint), self._line_colour(paint)),
            (relief, 255, 60),
            (mask, inside, inside),
        ]

    def _fill_colour(self, paint: str) -> Colour:
        if paint in NEUTRALS:
            return NEUTRALS[paint]
        lift = 14 if paint == "body-light" else 0  # so that a light part shows on black too
        return _shade(self.body, SHADES[paint], lift)

    def _line_colour(self, paint: str) -> Colour:
        fill = self._fill_colour(paint)
        if sum(fill) < 200:
            return _shade(fill, 1.0, 70)  # dark parts are outlined in grey, or they would melt together
        return _shade(fill, 0.45, 0)


def rounded(left: float, top: float, right: float, bottom: float, r: float) -> list[Point]:
    """The outline of a rectangle with rounded corners."""
    corners = [
        (right - r, top + r, -90),
        (right - r, bottom - r, 0),
        (left + r, bottom - r, 90),
        (left + r, top + r, 180),
    ]
    return [point for x, y, start in corners for point in arc((x, y), (r, r), start, start + 90, 8)]


def _shade(colour: Colour, factor: float, lift: int) -> Colour:
    r, g, b = (max(0, min(255, round(channel * factor + lift))) for channel in colour)
    return r, g, b
