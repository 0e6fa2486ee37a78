"""What the hobby shop has to wear, carry and put beside the bed."""

from __future__ import annotations

from shop.canvas import Pen, arc, curve, rounded, turn


def handbag(pen: Pen) -> None:
    """A handbag with a flap, a clasp and a curved handle."""
    pen.stroke(arc((50, 42), (24, 34), 180, 360), 4.6, "body-dark")
    pen.poly([(14, 40), (86, 40), *curve((86, 40), (95, 88), (84, 94)), *curve((84, 94), (50, 96), (16, 94)), (5, 88)])
    pen.poly([(13, 38), (87, 38), *curve((87, 38), (80, 64), (50, 68), (20, 64), (13, 38))], "body-light")
    pen.box(44, 60, 56, 74, "silver", 2)


def umbrella(pen: Pen) -> None:
    """An open umbrella with a hooked handle."""
    pen.stroke([(50, 6), (50, 84), *curve((50, 84), (52, 95), (62, 95), (64, 85))], 3.4, "wood")
    pen.poly(
        [
            (4, 54),
            *arc((50, 54), (46, 42), 180, 360),
            (96, 54),
            *curve((96, 54), (88, 48), (80, 54)),
            *curve((80, 54), (65, 46), (50, 54)),
            *curve((50, 54), (35, 46), (20, 54)),
            *curve((20, 54), (12, 48), (4, 54)),
        ]
    )
    for x in (20, 80):
        pen.mark(curve((50, 12), ((50 + x) / 2 + (x - 50) / 6, 28), (x, 54)), 1.2)


def perfume_bottle(pen: Pen) -> None:
    """A square flacon with a round stopper, a label, and a bulb to squeeze."""
    pen.stroke(curve((56, 26), (74, 18), (84, 30)), 2.4, "dark", 0.6)
    pen.ellipse((86, 40), (10, 13), "body-dark")
    pen.box(38, 18, 60, 34, "silver", 2)
    pen.ellipse((49, 12), (9, 8))
    pen.box(14, 34, 76, 94, "glass", 8)
    pen.box(20, 46, 70, 89, r=5)
    pen.box(32, 56, 58, 74, "paper", 1)


def alarm_clock(pen: Pen) -> None:
    """A round alarm clock with two bells, on two feet."""
    for x, y in ((26, 92), (74, 92)):
        pen.stroke([(50 + (x - 50) * 0.6, 78), (x, y)], 5, "dark")
    for x, lean in ((28, -34), (72, 34)):
        pen.poly(turn([(x - 15, 24), *arc((x, 24), (15, 14), 180, 360), (x + 15, 24)], lean, (x, 24)))
    pen.stroke([(50, 10), (50, 24)], 3.4, "steel")
    pen.ellipse((50, 56), (36, 36))
    pen.ellipse((50, 56), (28, 28), "paper")
    for degrees in range(0, 360, 30):
        pen.mark(turn([(50, 31), (50, 34)], degrees, (50, 56)), 1.6, "dark")
    pen.stroke([(50, 56), (50, 38)], 2.4, "dark", 0.3)
    pen.stroke([(50, 56), (63, 62)], 2.4, "dark", 0.3)


def bow_tie(pen: Pen) -> None:
    """A bow tie with its knot and folds."""
    for side in (-1, 1):
        wing = curve((50, 46), (50 + 18 * side, 30), (50 + 44 * side, 26), (50 + 40 * side, 50),
                     (50 + 44 * side, 74), (50 + 18 * side, 70), (50, 54), closed=True)  # fmt: skip
        pen.poly(wing)
        for lift in (-7, 7):
            pen.mark([(50 + 8 * side, 50 + lift / 2), (50 + 26 * side, 50 + lift)], 1.4)
    pen.poly(rounded(41, 38, 59, 62, 4), "body-dark")
