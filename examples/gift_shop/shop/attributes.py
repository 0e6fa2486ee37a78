"""What titles do not tell: whom a kind is for, what a finish and a colour say, what things cost.

These attributes decide what the simulated shoppers like and what the qrels call relevant. No title names them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from shop.render import Product
from shop.stocks import Stock

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


def price_of(stock: Stock, product: Product, rng: np.random.Generator) -> float:
    """What the product costs, in euros: its kind's price, its finish, a little chance."""
    return round(stock.base_price[product.kind] * _FINISH_PRICE[product.finish] * float(rng.uniform(0.85, 1.15)), 2)


def match(stock: Stock, wish: Wish, product: Product, price: float) -> float:
    """How well a product fulfils a wish, in [0, 1]. The interest comes first: without it nothing else helps."""
    serves = stock.interests_of[product.kind]
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
