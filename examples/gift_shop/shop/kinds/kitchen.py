"""Kitchen and tea table: pans, pots, cups and what one wears by the stove."""

from __future__ import annotations

from shop.canvas import Pen, arc, curve, rounded, turn


def frying_pan(pen: Pen) -> None:
    """Seen from above: a round pan with a fried egg in it and a long handle."""
    pen.poly(turn(rounded(46, 62, 54, 108, 4), -45), "dark")
    pen.ellipse(turn([(50, 102)], -45)[0], (1.6, 1.6), "silver", 0)
    pen.poly(turn(rounded(45, 60, 55, 76, 2), -45), "body-dark")
    pen.ellipse((40, 40), (36, 36))
    pen.ellipse((40, 40), (28, 28), "body-dark")
    pen.poly(curve((26, 38), (32, 25), (44, 24), (55, 33), (54, 46), (44, 55), (30, 52), closed=True), "paper", 1)
    pen.ellipse((41, 39), (8, 8), "flame", 0.8)


def cooking_pot(pen: Pen) -> None:
    """A wide pot with two side handles and a lid with a knob."""
    for centre, start in (((15, 52), 90), ((85, 52), -90)):
        pen.stroke(arc(centre, (9, 7), start, start + 180), 5, "dark")
    pen.poly([(15, 40), (85, 40), *arc((77, 82), (8, 8), 0, 90), *arc((23, 82), (8, 8), 90, 180)])
    pen.poly([(13, 40), *arc((50, 40), (36, 16), 180, 360), (87, 40)], "body-light")
    pen.box(10, 37, 90, 43, "steel", 2)
    pen.box(46, 18, 54, 26, "steel", 1)
    pen.ellipse((50, 17), (8, 5), "dark")


def apron(pen: Pen) -> None:
    """A bib apron with neck loop, waist ties and a large pocket."""
    pen.stroke(curve((36, 22), (36, 8), (50, 1), (64, 8), (64, 22)), 3, "paper")
    pen.stroke(curve((22, 50), (8, 54), (4, 68), (8, 76)), 3, "paper")
    pen.stroke(curve((78, 50), (92, 54), (96, 68), (92, 76)), 3, "paper")
    pen.poly(
        [
            (34, 18),
            (66, 18),
            *curve((66, 18), (68, 36), (82, 46)),
            (86, 94),
            *curve((86, 94), (50, 98), (14, 94)),
            (18, 46),
        ]
        + curve((18, 46), (32, 36), (34, 18))
    )
    pen.box(32, 58, 68, 80, "body-dark", 3)
    pen.mark([(33, 64), (67, 64)], 1.2)
    pen.stroke([(43, 66), (43, 48)], 2, "wood", 0.8)
    pen.ellipse((43, 46), (4.2, 5.4), "wood", 0.8)
    pen.poly(rounded(33, 62, 67, 79, 2), "body-dark", 0)


def teapot(pen: Pen) -> None:
    """A round-bellied teapot: curved spout, ear handle, lid with a knob."""
    pen.stroke(curve((74, 44), (92, 38), (97, 54), (88, 68), (73, 70)), 6)
    pen.poly([*curve((30, 72), (16, 62), (12, 42), (2, 36)), *curve((10, 31), (22, 36), (26, 46), (34, 50))])
    pen.ellipse((6, 33.5), (5, 2.4), "hollow", 0.8)
    pen.box(36, 86, 68, 93, "body-dark", 2)
    pen.ellipse((52, 60), (30, 29))
    pen.poly([*arc((52, 36), (17, 11), 180, 360), *arc((52, 36), (17, 4), 0, 180)], "body-light")
    pen.ellipse((52, 22), (5, 5), "body-dark")


def mug(pen: Pen) -> None:
    """A straight mug with an ear handle, steaming."""
    for x in (34, 48, 62):
        pen.mark(curve((x, 24), (x + 5, 17), (x - 3, 10), (x + 3, 2)), 2.6, "silver")
    pen.stroke(curve((70, 46), (90, 44), (94, 62), (86, 76), (69, 76)), 7)
    pen.poly(
        [
            (20, 36),
            (74, 36),
            *curve((74, 36), (74, 70), (70, 90)),
            *arc((47, 90), (23, 5), 0, 180),
            *curve((24, 90), (20, 70), (20, 36)),
        ]
    )
    pen.ellipse((47, 36), (27, 7), "body-light")
    pen.ellipse((47, 37), (22, 4.6), "soil", 0.8)


def moka_pot(pen: Pen) -> None:
    """A stove-top coffee maker: faceted base and top with a narrow waist, a beak and an angled handle."""
    pen.stroke([(68, 26), (90, 26), (86, 58)], 6, "dark")
    pen.poly([(26, 56), (70, 56), (78, 94), (18, 94)])
    pen.poly([(24, 18), (72, 18), (66, 52), (30, 52)])
    pen.poly([(24, 18), (36, 18), (31, 34), (14, 20)], "body-light")
    pen.box(26, 51, 70, 58, "steel", 1)
    for x, top, bottom in ((38, 44, 36), (58, 52, 60)):
        pen.mark([(x, 19), (top, 51)], 1.3)
        pen.mark([(top, 58), (bottom, 93)], 1.3)
    pen.ellipse((60, 76), (3, 3), "steel")
    pen.poly([(24, 18), (40, 10), (58, 10), (72, 18)], "body-dark")
    pen.ellipse((49, 7), (4, 4.6), "dark")
