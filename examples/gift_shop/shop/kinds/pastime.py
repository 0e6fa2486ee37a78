"""Quiet pastimes of the hobby shop: baking, stars, tools, board games, sewing, writing, wine."""

from __future__ import annotations

from shop.canvas import Pen, arc, curve, rounded, turn


def rolling_pin(pen: Pen) -> None:
    """A leaning rolling pin with two handles."""
    tilt, about = -38, (50, 50)
    for left, right in ((-8, 12), (88, 108)):
        pen.poly(turn(rounded(left, 44, right, 56, 6), tilt, about), "wood")
    for left, right in ((10, 17), (83, 90)):
        pen.poly(turn(rounded(left, 47, right, 53, 1), tilt, about), "steel")
    pen.poly(turn(rounded(16, 36, 84, 64, 6), tilt, about))
    pen.mark(turn([(22, 42), (78, 42)], tilt, about), 1.2)


def cake_stand(pen: Pen) -> None:
    """A plate on a foot, with a small cake under a cherry."""
    pen.poly([(30, 22), (70, 22), (70, 48), (30, 48)], "paper")
    pen.poly([(30, 22), (70, 22), (70, 30), *curve((70, 30), (60, 36), (50, 30), (40, 36), (30, 30))], "skin")
    pen.ellipse((50, 17), (5, 5), "soil", 0.8)
    pen.poly([(46, 56), (54, 56), *curve((54, 56), (56, 76), (72, 92)), (28, 92), *curve((28, 92), (44, 76), (46, 56))])
    pen.ellipse((50, 51), (44, 8))
    pen.ellipse((50, 49), (36, 4.6), "body-light", 0.8)


def telescope(pen: Pen) -> None:
    """A telescope on a tripod, looking up to the right."""
    for x in (26, 50, 74):
        pen.stroke([(50, 54), (x, 98)], 4, "wood")
    tilt, about = -32, (50, 44)
    pen.poly(turn(rounded(2, 38, 18, 50, 2), tilt, about), "dark")
    pen.poly(turn(rounded(14, 34, 52, 54, 3), tilt, about), "body-dark")
    pen.poly(turn(rounded(48, 29, 96, 59, 3), tilt, about))
    pen.poly(turn(rounded(92, 26, 101, 62, 2), tilt, about), "silver")
    pen.ellipse((50, 52), (6, 6), "dark")


def globe(pen: Pen) -> None:
    """A globe with pale continents, in a meridian arm on a foot."""
    pen.poly([(28, 94), (72, 94), *curve((72, 94), (60, 86), (50, 86), (40, 86), (28, 94))], "wood")
    pen.stroke([(50, 82), (50, 90)], 4, "wood")
    pen.stroke(arc((48, 46), (41, 41), -70, 110), 3.4, "silver")
    pen.ellipse((48, 46), (35, 35))
    pen.poly(curve((28, 28), (44, 20), (52, 30), (44, 40), (46, 52), (34, 46), closed=True), "paper", 0.8)
    pen.poly(curve((58, 42), (74, 34), (78, 50), (66, 66), (56, 56), closed=True), "paper", 0.8)
    pen.poly(curve((34, 62), (46, 60), (48, 72), (38, 76), closed=True), "paper", 0.8)


def hammer(pen: Pen) -> None:
    """A claw hammer: wooden handle, coloured head."""
    tilt, about = 28, (50, 50)
    pen.poly(turn(rounded(45, 20, 55, 104, 4), tilt, about), "wood")
    pen.poly(turn([(30, 6), (66, 6), (66, 26), (34, 26)], tilt, about))
    pen.poly(turn(rounded(64, 2, 80, 30, 3), tilt, about), "steel")
    pen.poly(turn(curve((34, 6), (18, 6), (4, 22), (16, 18), (34, 24), closed=True), tilt, about))


def toolbox(pen: Pen) -> None:
    """A metal toolbox with a lid, two clasps and a handle."""
    pen.stroke([(30, 32), (34, 14), (66, 14), (70, 32)], 5, "dark")
    pen.box(6, 46, 94, 90, r=3)
    pen.poly([(12, 30), (88, 30), (96, 50), (4, 50)], "body-dark")
    for x in (26, 74):
        pen.box(x - 5, 44, x + 5, 60, "silver", 1.5)
    pen.mark([(8, 72), (92, 72)], 1.3)


def dice(pen: Pen) -> None:
    """Two dice, the front one showing five."""
    pen.poly(turn(rounded(52, 10, 92, 50, 6), 14, (72, 30)), "body-dark")
    for x, y in ((62, 20), (82, 40)):
        pen.ellipse(turn([(x, y)], 14, (72, 30))[0], (4, 4), "paper", 0.6)
    pen.poly(turn(rounded(8, 34, 66, 92, 8), -8, (37, 63)))
    for x, y in ((22, 48), (52, 48), (37, 63), (22, 78), (52, 78)):
        pen.ellipse(turn([(x, y)], -8, (37, 63))[0], (5.4, 5.4), "paper", 0.6)


def chess_pawn(pen: Pen) -> None:
    """A turned pawn: round head, collar, flared body, base."""
    pen.poly([(44, 40), (56, 40), *curve((56, 40), (58, 64), (72, 80)), (28, 80), *curve((28, 80), (42, 64), (44, 40))])
    pen.box(22, 78, 78, 94, "body-dark", 4)
    pen.ellipse((50, 41), (20, 5), "body-dark")
    pen.ellipse((50, 22), (18, 18))


def sewing_machine(pen: Pen) -> None:
    """An old sewing machine: arm, hand wheel, needle, on a wooden base."""
    pen.box(4, 80, 96, 94, "wood", 2)
    pen.poly([(62, 80), (62, 46), (28, 46), (28, 58), (12, 58), (12, 28), (84, 28), (84, 80)])
    pen.ellipse((90, 44), (7, 14), "dark")
    pen.ellipse((90, 44), (2.6, 5), "silver", 0.8)
    pen.stroke([(20, 58), (20, 76)], 2.4, "steel", 0.8)
    pen.box(12, 74, 30, 80, "silver", 1)
    pen.box(42, 16, 50, 28, "paper", 1.5)
    pen.mark([(34, 37), (76, 37)], 2, "paper")


def spool_of_thread(pen: Pen) -> None:
    """A wooden reel wound with coloured thread, its end loose, a needle beside it."""
    pen.box(20, 8, 72, 20, "wood", 3)
    pen.box(20, 80, 72, 92, "wood", 3)
    pen.poly([(26, 20), (66, 20), (68, 50), (66, 80), (26, 80), (24, 50)])
    for y in range(27, 78, 7):
        pen.mark([(25, y), (67, y - 4)], 1.1)
    pen.stroke(curve((66, 72), (82, 78), (78, 92), (92, 94)), 2)
    pen.stroke([(84, 10), (90, 74)], 2.4, "steel", 0.8)


def wine_glass(pen: Pen) -> None:
    """A stemmed glass, half full."""
    pen.poly([*curve((28, 8), (22, 36), (34, 56), (50, 60)), *curve((50, 60), (66, 56), (78, 36), (72, 8))], "glass")
    pen.poly([*curve((25, 28), (26, 42), (36, 54), (50, 57)), *curve((50, 57), (64, 54), (74, 42), (75, 28))])
    pen.ellipse((50, 28), (25, 4.4), "body-light", 0.8)
    pen.stroke([(50, 60), (50, 88)], 4)
    pen.ellipse((50, 91), (22, 5))


def typewriter(pen: Pen) -> None:
    """A typewriter: paper, roller, body, rows of keys."""
    pen.box(30, 4, 70, 40, "paper", 1)
    for y in (12, 19, 26):
        pen.mark([(36, y), (64, y)], 1.1, "dark")
    pen.box(10, 34, 90, 46, "dark", 4)
    for x in (5, 95):
        pen.ellipse((x, 40), (4, 6), "silver")
    pen.poly([(18, 44), (82, 44), (95, 92), (5, 92)])
    for row, y in enumerate((60, 71, 82)):
        for x in range(22 - 3 * row, 84 + 3 * row, 10):
            pen.ellipse((x, y), (3.6, 3.2), "paper", 0.8)


def fountain_pen(pen: Pen) -> None:
    """A fountain pen writing a line."""
    tilt, about = 45, (50, 50)
    pen.poly(turn([(44, 84), (56, 84), (50, 110)], tilt, about), "silver")
    pen.mark(turn([(50, 92), (50, 106)], tilt, about), 1, "dark")
    pen.poly(turn(rounded(43, 66, 57, 86, 2), tilt, about), "dark")
    pen.poly(turn(rounded(40, -6, 60, 68, 6), tilt, about))
    pen.poly(turn(rounded(39, 26, 61, 31, 1), tilt, about), "silver")
    pen.poly(turn(rounded(58, -2, 63, 24, 2), tilt, about), "silver")
    pen.stroke(curve((8, 92), (24, 96), (40, 90), (60, 96)), 1.8, "dark", 0.3)
