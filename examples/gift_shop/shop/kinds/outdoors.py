"""Outdoors, travel and sport."""

from __future__ import annotations

from shop.canvas import Pen, arc, curve, rounded, turn


def tent(pen: Pen) -> None:
    """A ridge tent seen from its open end, with guy ropes and pegs."""
    for x0, x1 in ((42, 3), (84, 98)):
        pen.mark([(x0, 18), (x1, 90)], 1.3, "wood")
    pen.poly([(40, 14), (82, 18), (97, 86), (74, 90)], "body-dark")
    pen.poly([(40, 14), (10, 90), (74, 90)])
    pen.poly([(40, 34), (28, 90), (56, 90)], "hollow")
    pen.poly([(40, 34), (28, 90), *curve((22, 90), (28, 70), (40, 34))], "body-light", 1)
    pen.poly([(40, 34), (56, 90), *curve((63, 90), (55, 68), (40, 34))], "body-light", 1)
    pen.stroke([(40, 6), (40, 15)], 2.4, "wood")


def backpack(pen: Pen) -> None:
    """A hiking rucksack: lid with buckles, front pocket, side pockets, a rolled mat on top."""
    pen.stroke(curve((42, 16), (44, 3), (56, 3), (58, 16)), 3.4, "dark")
    for x in (8, 78):
        pen.box(x, 48, x + 14, 84, "body-dark", 5)
    pen.box(18, 14, 82, 94, r=13)
    pen.box(29, 56, 71, 88, "body-light", 6)
    pen.mark([(31, 65), (69, 65)], 1.4)
    pen.poly(
        [
            (17, 20),
            *arc((50, 22), (33, 14), 180, 360),
            (83, 20),
            *curve((83, 40), (76, 47), (50, 48), (24, 47), (17, 40)),
        ],
        "body-dark",
    )
    for x in (35, 65):
        pen.stroke([(x, 36), (x, 56)], 4, "wood", 1)
        pen.box(x - 4.5, 48, x + 4.5, 55, "silver", 1)


def suitcase(pen: Pen) -> None:
    """An upright trolley case: telescopic handle, ribbed shell, wheels, a luggage tag."""
    pen.stroke([(38, 24), (38, 4), (62, 4), (62, 24)], 3.4, "steel")
    for x in (26, 74):
        pen.ellipse((x, 95), (5, 5), "dark")
    pen.box(18, 20, 82, 93, r=7)
    for x in (32, 44, 56, 68):
        pen.stroke([(x, 30), (x, 84)], 2.4, "body-dark", 0.5)
    for x, y in ((18, 20), (74, 20), (18, 85), (74, 85)):
        pen.box(x, y, x + 8, y + 8, "body-dark", 3)
    pen.stroke(curve((44, 22), (44, 15), (56, 15), (56, 22)), 3, "dark")
    pen.mark([(60, 20), (73, 34)], 1.4, "wood")
    pen.poly(turn(rounded(68, 34, 82, 54, 2), -14, (75, 34)), "paper")
    pen.mark(turn([(71, 44), (79, 44)], -14, (75, 34)), 1.4, "dark")


def camera(pen: Pen) -> None:
    """A photo camera from the front: big lens, viewfinder hump, shutter button, flash."""
    pen.poly([(36, 30), (42, 16), (62, 16), (68, 30)], "body-dark")
    pen.box(14, 20, 28, 30, "steel", 2)
    pen.box(6, 27, 94, 84, r=7)
    pen.box(6, 38, 94, 44, "dark", 1)
    pen.box(75, 31, 89, 38, "paper", 1.5)
    pen.ellipse((20, 34), (3, 3), "flame", 0.8)
    pen.ellipse((51, 57), (25, 25), "silver")
    pen.ellipse((51, 57), (20, 20), "dark")
    pen.ellipse((51, 57), (12, 12), "glass")
    pen.ellipse((51, 57), (7, 7), "hollow", 0)
    pen.ellipse((47, 52), (3.4, 3.4), "paper", 0)


def kite(pen: Pen) -> None:
    """A diamond kite in the wind with crossed spars and a bowed tail."""
    pen.mark(curve((44, 66), (38, 76), (52, 82), (44, 90), (58, 98)), 1.4, "dark")
    for x, y in ((42, 76), (49, 84), (50, 94)):
        pen.poly([(x - 6, y - 3.6), (x, y), (x - 6, y + 3.6)], "body-light", 0.8)
        pen.poly([(x + 6, y - 3.6), (x, y), (x + 6, y + 3.6)], "body-light", 0.8)
    top, right, bottom, left, middle = (66, 2), (94, 34), (44, 68), (22, 18), (59, 26)
    pen.poly([top, right, bottom, left])
    pen.poly([top, right, middle], "body-dark", 0.8)
    pen.poly([left, middle, bottom], "body-dark", 0.8)
    pen.mark([top, bottom], 1.8, "wood")
    pen.mark([left, right], 1.8, "wood")


def dumbbell(pen: Pen) -> None:
    """A dumbbell on the slant: steel bar, two weights a side."""
    pen.poly(turn(rounded(18, 45, 82, 55, 2), -24), "silver")
    for x in (38, 44, 50, 56, 62):
        pen.mark(turn([(x - 2, 46), (x + 2, 54)], -24), 1, "dark")
    for x, half, paint in ((9, 17, "body-dark"), (21, 26, "body"), (79, 26, "body"), (91, 17, "body-dark")):
        pen.poly(turn(rounded(x - 6, 50 - half, x + 6, 50 + half, 4), -24), paint)
    for x in (1.5, 98.5):
        pen.poly(turn(rounded(x - 2.4, 45, x + 2.4, 55, 1.5), -24), "silver")


def yoga_mat(pen: Pen) -> None:
    """A mat rolled up to a spiral at one end, the rest laid flat, a strap around the roll."""
    pen.poly([(20, 70), (66, 84), (98, 62), (58, 50)], "body-light")
    pen.poly([(24, 36), (62, 20), *curve((62, 20), (76, 24), (78, 40), (72, 52)), (34, 86)])
    pen.ellipse((26, 61), (21, 26))
    for grow in (0.76, 0.52, 0.28):
        pen.mark(arc((26, 61), (21 * grow, 26 * grow), 0, 360), 2.2)
    pen.stroke(curve((44, 29), (58, 34), (60, 52), (55, 68)), 3.4, "dark", 0.8)


def sneaker(pen: Pen) -> None:
    """A running shoe from the side: thick sole, laces, side stripes."""
    upper = [
        *curve((8, 74), (7, 54), (10, 36), (14, 28)),
        *curve((18, 27), (26, 36), (38, 35), (42, 27)),
        *curve((46, 25), (58, 44), (74, 53), (90, 58), (96, 68), (96, 76)),
    ]
    pen.poly(upper)
    pen.poly(curve((9, 34), (14, 28), (24, 36), (20, 54), (9, 60), closed=True), "body-dark", 1)
    pen.poly(curve((80, 56), (92, 60), (96, 70), (95, 77), (76, 77), (76, 64), closed=True), "body-light", 1)
    for i in range(4):
        x, y = 47 + i * 7.5, 36 + i * 5.2
        pen.stroke([(x - 5, y + 5), (x + 4, y - 2)], 2.6, "paper", 0.7)
    for x in (32, 42):
        pen.poly([(x, 50), (x + 6, 49), (x + 12, 74), (x + 5, 75)], "paper", 0.8)
    pen.box(5, 74, 98, 86, "paper", 5)
    pen.mark([(7, 81), (96, 81)], 1.6, "steel")
