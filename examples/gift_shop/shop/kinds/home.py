"""Home: reading corner, soft things, light."""

from __future__ import annotations

from shop.canvas import Pen, arc, curve


def book(pen: Pen) -> None:
    """A thick closed book standing at an angle: cover, spine, page block and a ribbon."""
    pen.poly([(22, 82), (30, 94), (86, 90), (80, 78)], "paper")
    pen.poly([(20, 10), (78, 4), (80, 78), (22, 84)])
    pen.poly([(20, 10), (28, 9), (30, 83), (22, 84)], "body-dark")
    pen.poly(
        [*curve((22, 84), (18, 92), (26, 98)), (86, 93), (86, 90), (30, 94), *curve((30, 94), (26, 90), (29, 83))],
        "body-dark",
    )
    for y in (85, 88):
        pen.mark([(31, y + 3), (82, y - 1)], 0.6, "wood")
    pen.poly([(38, 22), (70, 19), (71, 40), (39, 43)], "paper", 1)
    pen.mark([(43, 29), (66, 27)], 1.8, "dark")
    pen.mark([(46, 36), (63, 34.5)], 1.4, "dark")
    pen.poly([(62, 91), (68, 90.5), (68, 101), (65, 98), (62, 101)], "flame", 0.8)


def desk_lamp(pen: Pen) -> None:
    """A jointed reading lamp with a bell shade, shining down."""
    pen.poly([(58, 42), (92, 28), (98, 82), (44, 82)], "flame", 0)
    pen.stroke([(30, 86), (20, 52), (50, 24)], 4, "steel")
    pen.ellipse((20, 52), (4.6, 4.6), "dark")
    pen.ellipse((74, 37), (8, 7), "paper")
    pen.poly(
        [
            (44, 18),
            (56, 12),
            *curve((56, 12), (78, 10), (94, 26)),
            *curve((94, 26), (76, 30), (57, 44)),
            *curve((57, 44), (46, 36), (44, 18)),
        ]
    )
    pen.ellipse((49, 16), (6.4, 6.4), "body-dark")
    pen.poly([(6, 94), *arc((30, 94), (24, 12), 180, 360), (54, 94)])
    pen.box(5, 91, 55, 97, "body-dark", 2)


def armchair(pen: Pen) -> None:
    """A plump armchair from the front: high back, two rolled arms, a seat cushion, wooden feet."""
    for x in (20, 74):
        pen.box(x, 86, x + 7, 98, "wood", 1)
    pen.poly([(22, 74), *curve((22, 74), (20, 26), (32, 8), (50, 5), (68, 8), (80, 26), (78, 74))])
    for x, y in ((40, 24), (60, 24), (50, 36)):
        pen.ellipse((x, y), (1.6, 1.6), "body-dark", 0.8)
    pen.box(22, 70, 78, 90, "body-dark", 3)
    pen.box(24, 56, 76, 73, "body-light", 6)
    for x in (6, 76):
        pen.poly([(x + 1, 90), *arc((x + 9, 50), (10, 9), 170, 370), (x + 17, 90)])
        pen.ellipse((x + 9, 51), (5, 5), "body-dark", 1)


def candle(pen: Pen) -> None:
    """A pillar candle with a flame and wax drips, on a holder with a ring."""
    pen.poly(curve((50, 2), (58, 15), (56, 26), (50, 29), (44, 26), (42, 15), closed=True), "flame", 1)
    pen.poly(curve((50, 13), (54, 21), (50, 27), (46, 21), closed=True), "paper", 0)
    pen.mark([(50, 26), (50, 36)], 1.8, "dark")
    pen.box(33, 36, 67, 84, r=3)
    pen.poly(
        [
            (33, 40),
            *arc((50, 38), (17, 5), 180, 360),
            (67, 40),
            (67, 52),
            *curve((67, 52), (63, 57), (60, 48), (54, 44), (50, 56), (46, 58), (43, 46), (38, 46), (36, 62), (33, 60)),
        ],
        "body-light",
        1,
    )
    pen.stroke(arc((82, 82), (9, 9), 0, 360), 3.4, "steel")
    pen.poly([(16, 80), (84, 80), *curve((84, 80), (76, 93), (50, 95), (24, 93), (16, 80))], "steel")


def cushion(pen: Pen) -> None:
    """A square pillow with pinched corners, piping, a button in the middle and tassels."""
    corners = [(10, 14), (90, 14), (90, 88), (10, 88)]
    for x, y in corners:
        dx, dy = (-1 if x < 50 else 1), (-1 if y < 50 else 1)
        pen.stroke([(x, y), (x + dx * 6, y + dy * 7)], 5, "paper")
        pen.ellipse((x, y), (3.6, 3.6), "paper", 1)
    sides = (
        (10, 14),
        (30, 21),
        (50, 22),
        (70, 21),
        (90, 14),
        (84, 34),
        (83, 51),
        (84, 68),
        (90, 88),
        (70, 81),
        (50, 80),
        (30, 81),
        (10, 88),
        (16, 68),
        (17, 51),
        (16, 34),
    )
    pen.poly(curve(*sides, closed=True, steps=5))
    for x, y in ((24, 28), (76, 28), (24, 74), (76, 74)):
        pen.mark(
            curve((50 + (x - 50) * 0.25, 51 + (y - 51) * 0.25), (50 + (x - 50) * 0.5, 51 + (y - 51) * 0.6), (x, y)), 1.4
        )
    pen.ellipse((50, 51), (5, 5), "body-dark")


def lantern(pen: Pen) -> None:
    """A storm lantern: bail handle, cap, glass with a flame, wire guards, oil tank."""
    pen.stroke(curve((24, 40), (20, 14), (50, 0), (80, 14), (76, 40)), 2.6, "steel")
    for x in (22, 78):
        pen.stroke(curve((50 + (x - 50) * 0.5, 24), (x, 30), (x, 60), (50 + (x - 50) * 0.8, 78)), 4)
    pen.poly(curve((38, 36), (62, 36), (69, 54), (62, 72), (38, 72), (31, 54), closed=True), "glass")
    pen.poly(curve((50, 42), (57, 56), (55, 66), (50, 69), (45, 66), (43, 56), closed=True), "flame", 1)
    pen.poly([(32, 37), (38, 24), (40, 14), (60, 14), (62, 24), (68, 37)])
    pen.box(43, 7, 57, 15, "body-dark", 2)
    pen.poly([(30, 71), (70, 71), (80, 80), (80, 94), (20, 94), (20, 80)])
    pen.box(16, 91, 84, 98, "body-dark", 2)
    pen.ellipse((71, 84), (4, 4), "steel")
