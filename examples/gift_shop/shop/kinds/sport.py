"""Sport and play of the hobby shop: wheels, water, ice, and what is thrown or hit."""

from __future__ import annotations

from shop.canvas import Pen, arc, curve, rounded, turn


def bicycle(pen: Pen) -> None:
    """A bicycle from the side: two wheels with spokes, a diamond frame, saddle and handlebar."""
    for x in (22, 78):
        pen.stroke(arc((x, 66), (19, 19), 0, 360), 3.4, "dark", 0.8)
        for degrees in range(0, 180, 30):
            ends = turn([(x - 17, 66), (x + 17, 66)], degrees, (x, 66))
            pen.mark(ends, 0.6, "steel")
    for line in ([(22, 66), (40, 36), (68, 36), (48, 66), (22, 66)], [(40, 36), (48, 66)], [(78, 66), (66, 28)]):
        pen.stroke(line, 4.4)
    pen.stroke([(40, 36), (37, 26)], 3, "steel", 0.8)
    pen.poly(curve((27, 24), (37, 21), (48, 24), (37, 28), closed=True), "dark")
    pen.stroke(curve((66, 28), (68, 20), (78, 20), (80, 27)), 3.2, "steel", 0.8)
    pen.ellipse((48, 66), (5, 5), "silver")


def bicycle_helmet(pen: Pen) -> None:
    """A cycling helmet from the side: a shell with long vents, and a strap."""
    pen.stroke(curve((28, 62), (40, 90), (54, 92), (70, 62)), 2.6, "dark", 0.6)
    pen.poly([(6, 62), *arc((50, 62), (44, 44), 180, 360), (94, 62), *curve((94, 62), (70, 70), (30, 70), (6, 62))])
    for x, lean in ((26, -14), (42, -6), (58, 4), (74, 14)):
        pen.poly(turn(rounded(x - 4, 28, x + 4, 56, 4), lean, (x, 42)), "hollow", 0.8)
    pen.box(46, 84, 58, 95, "silver", 2)


def beach_ball(pen: Pen) -> None:
    """A ball of six sections, every other one pale, with a valve."""
    pen.ellipse((50, 50), (44, 44))
    for degrees in (0, 120, 240):
        section = [(50, 50), *curve((50, 50), (66, 30), (72, 12)), *arc((50, 50), (44, 44), -60, 0), (50, 50)]
        pen.poly(turn(section, degrees, (50, 50)), "paper", 0.8)
    pen.ellipse((50, 50), (6, 6), "body-dark")


def diving_mask(pen: Pen) -> None:
    """A mask with one wide glass and a snorkel beside it."""
    pen.stroke(curve((84, 4), (84, 50), (78, 74), (62, 84)), 8)
    pen.box(80, 2, 90, 14, "dark", 2)
    pen.poly(curve((8, 34), (40, 26), (76, 34), (78, 58), (56, 76), (43, 62), (30, 76), (8, 60), closed=True))
    pen.poly(
        curve((15, 40), (42, 34), (70, 40), (70, 55), (56, 66), (43, 52), (30, 66), (15, 56), closed=True), "glass"
    )
    pen.stroke([(2, 46), (9, 46)], 6, "dark", 0.8)


def tennis_racket(pen: Pen) -> None:
    """A leaning racket: oval head with strings, throat, wrapped grip, and a ball."""
    tilt, about = 34, (50, 50)
    for x in range(38, 63, 4):
        pen.mark(turn([(x, 4), (x, 52)], tilt, about), 0.7, "steel")
    for y in range(8, 50, 4):
        pen.mark(turn([(32, y), (68, y)], tilt, about), 0.7, "steel")
    pen.stroke(turn(arc((50, 28), (19, 27), 0, 360), tilt, about), 4.6)
    for x in (42, 58):
        pen.stroke(turn([(x, 52), (50, 68)], tilt, about), 4)
    pen.poly(turn(rounded(46, 66, 54, 104, 3), tilt, about), "dark")
    for y in (74, 82, 90, 98):
        pen.mark(turn([(46, y), (54, y - 4)], tilt, about), 1, "steel")


def ice_skate(pen: Pen) -> None:
    """A laced boot on a steel blade."""
    pen.stroke([(8, 92), (84, 92), *curve((84, 92), (93, 90), (94, 82))], 3.4, "steel", 0.8)
    for x in (26, 68):
        pen.stroke([(x, 78), (x, 91)], 5, "silver", 0.8)
    pen.poly(curve((20, 12), (52, 10), (55, 42), (72, 56), (90, 66), (88, 76), (18, 76), (16, 44), closed=True))
    pen.box(14, 74, 90, 80, "dark", 2)
    pen.box(18, 6, 55, 18, "paper", 4)
    for y in (26, 34, 42, 50):
        pen.mark([(42 + (y - 26) / 4, y), (57 + (y - 26) / 3, y + 2)], 1.6, "paper")


def sledge(pen: Pen) -> None:
    """A slatted sledge on curved runners, with a rope."""
    for lift in (0, 12):
        pen.stroke(
            [(6, 84 - lift), (76, 84 - lift), *curve((76, 84 - lift), (94, 76 - lift), (92, 52 - lift))], 4, "steel"
        )
        for x in (22, 62):
            pen.stroke([(x, 62 - lift), (x, 83 - lift)], 4, "wood")
    for y in (44, 52, 60):
        pen.poly([(6 + (60 - y), y), (84 + (60 - y) / 3, y), (82 + (60 - y) / 3, y + 6), (4 + (60 - y), y + 6)])
    pen.mark(curve((91, 50), (76, 30), (50, 28), (36, 40)), 1.6, "soil")


def sailing_boat(pen: Pen) -> None:
    """A model sailing boat: a hull on a stand, a mast and two sails."""
    pen.poly([(34, 80), (66, 80), (74, 96), (26, 96)], "wood")
    pen.stroke([(50, 6), (50, 74)], 2.6, "wood", 0.8)
    pen.poly([*curve((54, 10), (74, 36), (86, 62)), (54, 62)], "paper")
    pen.poly([*curve((46, 16), (32, 40), (16, 62)), (46, 62)], "paper")
    pen.poly([(6, 68), (96, 66), *curve((96, 66), (84, 84), (66, 88), (34, 88)), *curve((34, 88), (16, 84), (6, 68))])
    pen.mark([(10, 74), (90, 73)], 1.4)
    pen.poly([(50, 2), (50, 10), (64, 6)], "body-light", 0.8)


def fishing_rod(pen: Pen) -> None:
    """A rod with a reel, the line hanging from its tip with a float and a hook."""
    pen.stroke([(10, 94), (88, 8)], 4.2)
    pen.stroke([(8, 96), (28, 74)], 7, "wood")
    for x, y in ((44, 57), (60, 39), (76, 21)):
        pen.ellipse((x + 3, y + 3), (2.6, 2.6), "steel", 0.8)
    pen.ellipse((43, 75), (11, 11))
    pen.ellipse((43, 75), (5, 5), "silver", 0.9)
    pen.stroke([(43, 75), (56, 83)], 2.6, "steel", 0.8)
    pen.mark([(88, 8), (90, 62)], 0.8, "dark")
    pen.ellipse((90, 58), (4.6, 8))
    pen.ellipse((90, 54), (3.6, 4), "paper", 0.6)
    pen.stroke(curve((90, 68), (91, 84), (84, 88), (80, 81)), 1.8, "steel", 0.5)
