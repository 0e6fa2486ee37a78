"""Descriptions and tags: they hint at who would love a product, in words of their own."""

from __future__ import annotations

import numpy as np

from shop.render import Product
from shop.stocks import Stock

_FINISHES = {
    "matte": ("Plain lines, no ornament.", "A quiet, even surface."),
    "glossy": ("A mirror-bright, up-to-date look.", "Catches every light in the room."),
    "hand-painted": ("Decorated by brush, no two alike.", "Village-fair charm in every dot and petal."),
}


def describe(stock: Stock, product: Product, rng: np.random.Generator) -> dict[str, object]:
    """`description` and `tags` of a product."""
    hint = stock.hints[product.kind][int(rng.integers(2))]
    look = _FINISHES[product.finish][int(rng.integers(2))]
    return {"description": f"{hint} {look}", "tags": [product.kind, product.colour, product.finish]}
