"""A small catalog of drawings: a shape in a colour each."""

import json
from pathlib import Path

from PIL import Image, ImageDraw

COLOURS = ("red", "green", "blue", "yellow")
SHAPES = ("mug", "lamp", "chair", "plant", "teapot", "pot")


def draw_catalog(folder: Path) -> None:
    rows = []
    for c, colour in enumerate(COLOURS):
        for s, shape in enumerate(SHAPES):
            name = f"{colour}_{shape}.png"
            draw(colour, s, 40 + 4 * c, 48 + 3 * s).save(folder / name)
            row = {"file_name": name, "title": f"{colour} {shape}", "description": f"a {shape} for the kitchen"}
            rows.append({**row, "price": 5 * (c + 1) + s})
    (folder / "metadata.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")


def draw(colour: str, sides: int, width: int, height: int) -> Image.Image:
    image = Image.new("RGB", (width, height), "white")
    centre = (width // 2, height // 2, min(width, height) // 3)
    pen = ImageDraw.Draw(image)
    if sides:
        pen.regular_polygon(centre, sides + 2, fill=colour, outline="black")
    else:
        pen.circle(centre[:2], centre[2], fill=colour, outline="black")
    return image
