"""Music and games: instruments, headphones, things with buttons."""

from __future__ import annotations

from shop.canvas import Pen, arc, curve, rounded, turn


def guitar(pen: Pen) -> None:
    """An acoustic guitar leaning to the right: waisted body, sound hole, neck with frets, head with pegs."""
    tilt, about = 32, (50, 56)

    def lean(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
        return turn(points, tilt, about)

    for y in (-8, -2, 4):
        pen.stroke(lean([(43, y), (57, y)]), 2, "silver", 0.8)
    pen.poly(lean(rounded(45.5, -12, 54.5, 8, 2)), "dark")
    right = ((50, 46), (60, 45), (68, 51), (67, 60), (63, 66), (66, 74), (75, 84), (72, 98), (60, 105), (50, 106))
    left = tuple((100 - x, y) for x, y in reversed(right[1:-1]))
    pen.poly(lean(curve(*right, *left, closed=True)))
    pen.poly(lean(rounded(46.8, 4, 53.2, 68, 1)), "wood")
    for y in (12, 20, 28, 36, 43):
        pen.mark(lean([(47, y), (53, y)]), 0.9, "soil")
    pen.ellipse(lean([(50, 70)])[0], (8, 8), "hollow")
    pen.poly(lean(rounded(40, 90, 60, 94, 1)), "dark")
    for x in (48, 50, 52):
        pen.mark(lean([(x, 6), (x, 91)]), 0.5, "silver")


def drum(pen: Pen) -> None:
    """A snare drum with laced sides, a skin on top and two crossed sticks."""
    pen.poly([(10, 44), (90, 44), (90, 80), *arc((50, 80), (40, 13), 0, 180), (10, 80)])
    feet = [(10 + 80 * i / 6, 52 + 11 * (1 - abs(i - 3) / 3)) for i in range(7)]
    for i in range(6):
        (x0, y0), (x1, y1) = feet[i], feet[i + 1]
        middle = ((x0 + x1) / 2, (y0 + y1) / 2 + 27)
        pen.mark([(x0, y0), middle, (x1, y1)], 2, "paper")
    pen.stroke(arc((50, 80), (40, 13), 0, 180), 4, "steel")
    pen.ellipse((50, 44), (40, 13), "steel")
    pen.ellipse((50, 43), (36, 10.5), "paper")
    for x0, x1 in ((18, 62), (84, 40)):
        pen.stroke([(x0, 8), (x1, 44)], 3.6, "wood")
        pen.ellipse((x1, 44), (4, 3.4), "wood")


def headphones(pen: Pen) -> None:
    """Over-ear headphones from the front: padded band and two large cups."""
    pen.stroke(arc((50, 54), (36, 42), 184, 356), 8)
    pen.stroke(arc((50, 52), (30, 35), 205, 335), 3, "dark", 0.6)
    for x, side in ((18, 1), (82, -1)):
        pen.box(x + side * 12 - 6, 52, x + side * 12 + 6, 92, "dark", 5)
        pen.poly(rounded(x - 11, 50, x + 11, 94, 9))
        pen.ellipse((x, 72), (6, 12), "body-light", 1)


def game_controller(pen: Pen) -> None:
    """A gamepad: two grips, a directional cross, two sticks and four buttons."""
    right = ((50, 30), (66, 28), (82, 30), (90, 42), (97, 66), (94, 82), (84, 84), (74, 72), (64, 66), (50, 66))
    left = tuple((100 - x, y) for x, y in reversed(right[1:-1]))
    for x in (27, 73):
        pen.box(x - 11, 22, x + 11, 36, "dark", 4)
    pen.poly(curve(*right, *left, closed=True))
    pen.box(18, 43, 36, 49, "dark", 1)
    pen.box(24, 37, 30, 55, "dark", 1)
    for dx, dy in ((0, -7), (7, 0), (0, 7), (-7, 0)):
        pen.ellipse((73 + dx, 46 + dy), (3.6, 3.6), "silver", 0.9)
    for x in (38, 62):
        pen.ellipse((x, 59), (7.5, 7.5), "dark")
        pen.ellipse((x, 58), (4.5, 4.5), "steel", 0.8)
    pen.box(45, 38, 55, 43, "silver", 2)


def handheld_console(pen: Pen) -> None:
    """An upright pocket game console: screen with a tiny landscape, cross and two buttons."""
    pen.box(20, 3, 80, 97, r=7)
    pen.box(26, 10, 74, 50, "dark", 3)
    pen.poly(rounded(31, 14, 69, 46, 1), "glass", 0)
    pen.poly([(31, 46), (31, 38), (41, 28), (49, 37), (56, 31), (69, 42), (69, 46)], "leaf", 0)
    pen.ellipse((61, 21), (4, 4), "flame", 0)
    pen.box(28, 63, 48, 70, "dark", 1)
    pen.box(34.5, 56.5, 41.5, 76.5, "dark", 1)
    pen.ellipse((70, 61), (5, 5), "silver")
    pen.ellipse((58, 70), (5, 5), "silver")
    for x in (38, 50):
        pen.stroke([(x, 85), (x + 6, 82)], 2.4, "dark", 0.5)
    for x in (62, 67, 72):
        pen.mark([(x, 90), (x + 4, 82)], 1.4)
