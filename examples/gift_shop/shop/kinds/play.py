"""Toys and crafts."""

from __future__ import annotations

import math

from shop.canvas import Pen, arc, curve


def teddy_bear(pen: Pen) -> None:
    """A sitting bear: round ears, muzzle, paws with pads, a bow tie."""
    for x in (28, 72):
        pen.ellipse((x, 14), (11, 11))
        pen.ellipse((x, 15), (6, 6), "skin", 0.8)
    for x, bend in ((16, 20), (84, 80)):
        pen.stroke([(bend + (50 - bend) * 0.5, 60), (bend, 62), (x, 70)], 14)
    pen.ellipse((50, 70), (25, 25))
    pen.ellipse((50, 72), (14, 15), "skin", 1)
    for x in (24, 76):
        pen.ellipse((x, 87), (14, 12))
        pen.ellipse((x, 88), (8, 7), "skin", 0.8)
    pen.ellipse((50, 31), (29, 26))
    pen.ellipse((50, 39), (13, 10), "skin", 1)
    pen.ellipse((50, 34), (5, 3.6), "hollow", 0)
    pen.mark([(50, 37), (50, 42)], 1.4, "hollow")
    pen.mark(arc((50, 40), (5, 4), 20, 160), 1.4, "hollow")
    for x in (38, 62):
        pen.ellipse((x, 26), (3.2, 3.8), "hollow", 0)
        pen.ellipse((x - 1, 24.6), (1, 1), "paper", 0)
    pen.poly([(50, 59), (36, 53), (36, 66)], "paper", 1)
    pen.poly([(50, 59), (64, 53), (64, 66)], "paper", 1)


def toy_train(pen: Pen) -> None:
    """A steam engine from the side: chimney with smoke, boiler, cab, wheels with a rod."""
    for x, y, r in ((86, 8, 7), (76, 4, 5), (70, 12, 4)):
        pen.ellipse((x, y), (r, r * 0.8), "silver", 0.8)
    pen.poly([(66, 20), (86, 20), (81, 28), (80, 42), (72, 42), (71, 28)], "body-dark")
    pen.box(30, 40, 90, 72, r=7)
    for x in (50, 66):
        pen.stroke([(x, 42), (x, 70)], 2.4, "flame", 0.5)
    pen.ellipse((50, 38), (7, 7), "flame")
    pen.box(6, 22, 38, 76, r=2)
    pen.box(2, 14, 43, 24, "body-dark", 3)
    pen.box(13, 32, 31, 50, "glass", 2)
    pen.box(4, 70, 94, 79, "dark", 2)
    pen.poly([(90, 70), (100, 90), (84, 90), (84, 79)], "steel")
    for x, r in ((20, 13), (51, 10), (75, 10)):
        pen.ellipse((x, 97 - r), (r, r), "dark")
        pen.ellipse((x, 97 - r), (r * 0.6, r * 0.6), "flame", 0.8)
        pen.ellipse((x, 97 - r), (2, 2), "dark", 0)
    pen.stroke([(20, 88), (75, 88)], 2.4, "silver", 0.8)


def paint_palette(pen: Pen) -> None:
    """A kidney-shaped palette with a thumb hole, blobs of paint and a brush."""
    outline = (
        (8, 56),
        (14, 30),
        (38, 14),
        (66, 16),
        (90, 34),
        (92, 56),
        (76, 64),
        (68, 74),
        (74, 86),
        (58, 94),
        (30, 88),
        (12, 74),
    )
    pen.poly(curve(*outline, closed=True))
    pen.ellipse((56, 76), (7, 6), "hollow")
    for x, y, paint in ((24, 52, "paper"), (33, 34, "flame"), (52, 27, "leaf"), (71, 34, "glass"), (32, 72, "soil")):
        pen.poly(
            curve(
                *(
                    (x + r * math.cos(a), y + r * math.sin(a))
                    for a, r in zip((0, 1.2, 2.4, 3.7, 5), (8, 6.6, 8, 6.8, 7.6), strict=True)
                ),
                closed=True,
            ),
            paint,
            1,
        )
    pen.stroke([(50, 60), (92, 10)], 3, "wood", 0.9)
    pen.stroke([(47, 63.5), (52, 57.5)], 4.4, "silver", 0.9)
    pen.poly(curve((48, 58), (51.5, 62), (44, 70), (39, 72), (41, 66), closed=True), "dark", 0.9)


def ball_of_yarn(pen: Pen) -> None:
    """A wound ball of wool with two knitting needles through it and a loose thread."""
    for x0, x1 in ((16, 74), (84, 26)):
        pen.stroke([(x0, 6), (x1, 92)], 3, "wood", 0.9)
        pen.ellipse((x0, 6), (4.6, 4.6), "dark")
    pen.stroke(curve((60, 88), (80, 94), (90, 86), (98, 92)), 2.4)
    pen.ellipse((50, 56), (34, 34))
    for shift in (-20, -10, 0, 10, 20):
        pen.mark(
            curve(
                (22 + max(0, shift) * 0.9, 40 - shift),
                (50 + shift * 0.4, 34 - shift * 0.6),
                (78 - max(0, -shift) * 0.2, 44 - shift * 0.5),
            ),
            1.7,
        )
    for shift in (-12, -4, 4, 12):
        pen.mark(curve((28 + shift, 76 - shift * 0.3), (40 + shift, 56), (64 + shift, 42 + shift * 0.3)), 1.7)
    for shift in (0, 8, 16):
        pen.mark(curve((34 + shift * 0.4, 84 - shift), (58, 78 - shift), (80 + shift * 0.1, 66 - shift)), 1.7)
