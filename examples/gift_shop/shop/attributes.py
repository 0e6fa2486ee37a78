"""What titles do not tell: whom a kind is for, what a finish and a colour say, what things cost.

These attributes decide what the simulated shoppers like and what the qrels call relevant. No title names them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from shop.render import Product

# Kind → interests it serves, in [0, 1].
INTERESTS_OF: dict[str, dict[str, float]] = {
    "watering can": {"gardening": 1.0},
    "trowel": {"gardening": 1.0},
    "plant pot": {"gardening": 0.95, "cosiness": 0.4},
    "rubber boots": {"gardening": 0.75, "camping": 0.5},
    "birdhouse": {"gardening": 0.7, "pets": 0.4},
    "dog bowl": {"pets": 1.0},
    "kennel": {"pets": 1.0},
    "frying pan": {"cooking": 1.0},
    "cooking pot": {"cooking": 1.0},
    "apron": {"cooking": 0.9, "crafts": 0.4},
    "teapot": {"tea": 1.0},
    "mug": {"tea": 0.9, "cosiness": 0.4},
    "moka pot": {"tea": 0.95, "cooking": 0.4},
    "guitar": {"music": 1.0},
    "drum": {"music": 1.0, "children": 0.4},
    "headphones": {"music": 0.9, "gaming": 0.6},
    "game controller": {"gaming": 1.0},
    "handheld game console": {"gaming": 1.0, "children": 0.4},
    "book": {"reading": 1.0},
    "desk lamp": {"reading": 0.8},
    "armchair": {"cosiness": 0.9, "reading": 0.75},
    "candle": {"cosiness": 1.0},
    "cushion": {"cosiness": 0.95},
    "lantern": {"camping": 0.9, "cosiness": 0.5},
    "tent": {"camping": 1.0},
    "backpack": {"camping": 0.9, "travel": 0.85},
    "suitcase": {"travel": 1.0},
    "camera": {"photography": 1.0, "travel": 0.6},
    "kite": {"children": 0.85, "camping": 0.4},
    "dumbbell": {"fitness": 1.0},
    "yoga mat": {"fitness": 0.95},
    "sneaker": {"fitness": 0.9},
    "teddy bear": {"children": 1.0},
    "toy train": {"children": 1.0},
    "paint palette": {"crafts": 1.0},
    "ball of yarn": {"crafts": 0.95, "cosiness": 0.4},
}
INTERESTS = tuple(dict.fromkeys(name for found in INTERESTS_OF.values() for name in found))

# Finish → the taste it speaks to.
TASTE_OF = {"matte": "plain", "glossy": "showy", "hand-painted": "rustic"}
# A taste that is not met leaves this much of the pleasure in the taste; the opposite taste the least.
TASTE_MATCH: dict[tuple[str, str], float] = {
    ("plain", "showy"): 0.2, ("plain", "rustic"): 0.3,
    ("showy", "plain"): 0.2, ("showy", "rustic"): 0.4,
    ("rustic", "plain"): 0.3, ("rustic", "showy"): 0.3,
}  # fmt: skip

# How much of a clause's weight counts: a fine gift in the wrong colour is still a gift.
PULL = 0.65

# How near two colours feel, where not the same: warm ones are akin.
_AKIN = {frozenset(pair) for pair in (("red", "orange"), ("orange", "yellow"), ("blue", "purple"), ("black", "purple"))}

_BASE_PRICE: dict[str, float] = {
    "watering can": 18, "trowel": 9, "plant pot": 12, "rubber boots": 32, "birdhouse": 26, "dog bowl": 11,
    "kennel": 110, "frying pan": 38, "cooking pot": 52, "apron": 17, "teapot": 29, "mug": 8, "moka pot": 30,
    "guitar": 190, "drum": 120, "headphones": 95, "game controller": 48, "handheld game console": 140, "book": 15,
    "desk lamp": 36, "armchair": 320, "candle": 7, "cushion": 19, "lantern": 34, "tent": 150, "backpack": 75,
    "suitcase": 115, "camera": 280, "kite": 16, "dumbbell": 28, "yoga mat": 24, "sneaker": 82, "teddy bear": 18,
    "toy train": 35, "paint palette": 21, "ball of yarn": 6,
}  # fmt: skip
_FINISH_PRICE = {"matte": 0.9, "glossy": 1.05, "hand-painted": 1.3}


@dataclass(frozen=True, slots=True)
class Wish:
    """What a query is about; weights in [0, 1] say how much of the match hangs on each."""

    interests: Mapping[str, float]
    taste: str | None = None
    taste_weight: float = 0.0
    colours: tuple[str, ...] = ()
    colour_weight: float = 0.0
    budget: str | None = None
    budget_weight: float = 0.0


def price_of(product: Product, rng: np.random.Generator) -> float:
    """What the product costs, in euros: its kind's price, its finish, a little chance."""
    return round(_BASE_PRICE[product.kind] * _FINISH_PRICE[product.finish] * float(rng.uniform(0.85, 1.15)), 2)


def match(wish: Wish, product: Product, price: float) -> float:
    """How well a product fulfils a wish, in [0, 1]. The interest comes first: without it nothing else helps."""
    serves = INTERESTS_OF[product.kind]
    interest = sum(weight * serves.get(name, 0.0) for name, weight in wish.interests.items())
    taste = _taste(wish.taste, TASTE_OF[product.finish])
    colour = max((_colour(wanted, product.colour) for wanted in wish.colours), default=1.0)
    return (
        interest
        * (1 - PULL * wish.taste_weight * (1 - taste))
        * (1 - PULL * wish.colour_weight * (1 - colour))
        * (1 - PULL * wish.budget_weight * (1 - _budget(wish.budget, price)))
    )


def _taste(wanted: str | None, offered: str) -> float:
    return 1.0 if wanted is None or wanted == offered else TASTE_MATCH[wanted, offered]


def _colour(wanted: str, offered: str) -> float:
    if wanted == offered:
        return 1.0
    return 0.4 if frozenset((wanted, offered)) in _AKIN else 0.0


def _budget(wanted: str | None, price: float) -> float:
    """A soft cap for the thrifty, a soft floor for the generous."""
    if wanted is None:
        return 1.0
    if wanted == "generous":
        return min(1.0, price / 100)
    cap = {"thrifty": 20.0, "moderate": 50.0}[wanted]
    return 1.0 if price <= cap else math.exp(-1.5 * (price / cap - 1))
