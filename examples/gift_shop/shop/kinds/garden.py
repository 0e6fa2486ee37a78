"""Garden and animals: what stands in the shed and by the kennel."""

from __future__ import annotations

from shop.canvas import Pen, arc, curve, turn


def watering_can(pen: Pen) -> None:
    """Side view: conical body, long spout with a rose, two handles."""
    pen.stroke(curve((33, 48), (14, 46), (10, 62), (18, 76), (29, 78)), 5)
    pen.stroke(curve((32, 44), (38, 24), (52, 20), (62, 28), (65, 44)), 5)
    pen.poly([(62, 62), (84, 32), (90, 36), (70, 80)])
    pen.poly([(77, 24), (98, 38), (93, 46), (74, 33)], "body-light")
    for x, y in ((82, 31), (87, 35), (92, 39)):
        pen.ellipse((x, y), (1.3, 1.3), "hollow", 0)
    pen.poly([(29, 44), (69, 44), (75, 86), (23, 86)])
    pen.ellipse((49, 44), (20, 5), "body-dark")
    pen.ellipse((51, 45), (14, 3), "hollow", 0)
    pen.mark(curve((28, 56), (49, 60), (71, 56)), 1.6)
    pen.mark(curve((25, 76), (49, 80), (73, 76)), 1.6)


def trowel(pen: Pen) -> None:
    """A hand trowel lying on the diagonal: pointed blade, steel neck, wooden grip."""
    pen.stroke(turn([(50, 58), (50, 48), (50, 40)], 40), 4, "steel")
    pen.poly(turn(rounded_grip(), 40), "wood")
    pen.mark(turn([(45, 34), (55, 34)], 40), 1.4, "soil")
    pen.poly(turn(curve((50, 101), (35, 84), (33, 60), (38, 53), (62, 53), (67, 60), (65, 84), closed=True), 40))
    pen.poly(turn(curve((50, 92), (44, 80), (43, 62), (50, 57), (57, 62), (56, 80), closed=True), 40), "body-dark", 0.8)


def rounded_grip() -> list[tuple[float, float]]:
    """The outline of an upright wooden grip, thick at its end."""
    return curve((46, 40), (43, 28), (42, 10), (44, 0), (50, -3), (56, 0), (58, 10), (57, 28), (54, 40), closed=True)


def plant_pot(pen: Pen) -> None:
    """A tapered pot with a rim, a saucer and a leafy plant."""
    for tip, bend in (
        ((50, 6), (50, 28)),
        ((26, 14), (34, 30)),
        ((74, 14), (66, 30)),
        ((14, 34), (30, 40)),
        ((86, 34), (70, 40)),
    ):
        pen.mark([(50, 52), bend, tip], 2, "leaf")
        pen.poly(leaf((50, 50), tip), "leaf", 1.0)
    pen.ellipse((50, 92), (30, 5), "body-dark")
    pen.poly([(27, 60), (73, 60), (66, 92), (34, 92)])
    pen.box(22, 50, 78, 63, r=2)
    pen.mark([(28, 66), (72, 66)], 1.4)


def leaf(base: tuple[float, float], tip: tuple[float, float], width: float = 9) -> list[tuple[float, float]]:
    """A pointed leaf whose far half is broad."""
    (x0, y0), (x1, y1) = base, tip
    length = max(1.0, ((x1 - x0) ** 2 + (y1 - y0) ** 2) ** 0.5)
    nx, ny = -(y1 - y0) / length * width, (x1 - x0) / length * width

    def at(t: float, side: float) -> tuple[float, float]:
        return x0 + (x1 - x0) * t + nx * side, y0 + (y1 - y0) * t + ny * side

    return curve(base, at(0.45, 0.5), at(0.75, 0.95), at(1, 0), at(0.75, -0.95), at(0.45, -0.5), closed=True)


def rubber_boots(pen: Pen) -> None:
    """A pair of wellington boots, one behind the other."""
    for dx, dy, paint in ((17, -7, "body-dark"), (0, 0, "body")):
        outline = [
            *curve((20 + dx, 16 + dy), (22 + dx, 40 + dy), (19 + dx, 62 + dy), (18 + dx, 88 + dy)),
            *curve((18 + dx, 92 + dy), (72 + dx, 92 + dy), steps=2),
            *curve((73 + dx, 84 + dy), (68 + dx, 73 + dy), (52 + dx, 67 + dy), (47 + dx, 56 + dy), (48 + dx, 16 + dy)),
        ]
        pen.poly(outline, paint)
        pen.box(17 + dx, 88 + dy, 74 + dx, 95 + dy, "dark", 2)
        pen.ellipse((34 + dx, 16 + dy), (14, 3.6), "hollow")
        pen.mark(curve((21 + dx, 26 + dy), (34 + dx, 29 + dy), (48 + dx, 26 + dy)), 2)


def birdhouse(pen: Pen) -> None:
    """A nesting box with a pitched roof, a round hole and a perch, on a pole."""
    pen.box(45, 80, 55, 101, "wood", 1)
    pen.poly([(24, 40), (50, 18), (76, 40), (76, 84), (24, 84)])
    pen.poly([(50, 6), (90, 42), (82, 49), (50, 21), (18, 49), (10, 42)], "body-dark")
    pen.ellipse((50, 52), (11, 11), "hollow")
    pen.stroke([(50, 71), (50, 76)], 4, "wood")
    pen.ellipse((50, 71), (3.4, 3.4), "wood")
    pen.box(19, 82, 81, 89, "body-dark", 1.5)


def dog_bowl(pen: Pen) -> None:
    """A feeding bowl full of kibble, a bone painted on its front."""
    for x, y in ((30, 36), (40, 31), (50, 29), (60, 31), (70, 36), (36, 39), (46, 36), (55, 37), (64, 40)):
        pen.ellipse((x, y), (6.5, 5.5), "soil", 1)
    pen.ellipse((50, 42), (36, 8), "body-dark")
    for x, y in ((30, 42), (40, 39), (50, 37), (60, 39), (70, 42), (45, 43), (57, 43)):
        pen.ellipse((x, y), (6.5, 5), "soil", 1)
    foot = [*curve((14, 42), (10, 62), (3, 80)), *arc((50, 80), (47, 7), 180, 0), *curve((97, 80), (90, 62), (86, 42))]
    pen.poly([*foot, *arc((50, 42), (36, 8), 0, 180)])
    pen.poly(bone((50, 67)), "paper")


def bone(centre: tuple[float, float], size: float = 1.0) -> list[tuple[float, float]]:
    """The outline of a cartoon bone."""
    knots = ((-15, -3.5), (15, -3.5), (17, -9), (24, -8), (24, -1), (22, 0), (24, 1), (24, 8), (17, 9), (15, 3.5))
    mirrored = ((-15, 3.5), (-17, 9), (-24, 8), (-24, 1), (-22, 0), (-24, -1), (-24, -8), (-17, -9))
    return curve(*((centre[0] + x * size, centre[1] + y * size) for x, y in (*knots, *mirrored)), closed=True, steps=5)


def kennel(pen: Pen) -> None:
    """A dog house: gable front with an arched door and a bone above it."""
    pen.poly([(18, 46), (50, 16), (82, 46), (82, 92), (18, 92)])
    for y in (58, 70, 82):
        pen.mark([(19, y), (81, y)], 1.1)
    pen.poly([(50, 5), (96, 47), (88, 55), (50, 20), (12, 55), (4, 47)], "body-dark")
    pen.poly([(34, 92), *arc((50, 64), (16, 17), 180, 360), (66, 92)], "hollow")
    pen.poly(bone((50, 38), 0.62), "paper", 1)
    pen.box(12, 90, 88, 96, "wood", 1)
