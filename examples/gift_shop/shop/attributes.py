"""What titles do not tell: whom a kind is for, what a finish and a colour say, what things cost.

These attributes decide what the simulated shoppers like and what the qrels call relevant. No title names them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from shop.render import COLOURS, Product
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


def matches(stock: Stock, wish: Wish, products: Sequence[Product], prices: Sequence[float]) -> np.ndarray:
    """(products,) how well each fulfils a wish, in [0, 1]. The interest comes first: without it nothing else helps."""
    interest = {
        kind: sum(weight * serves.get(name, 0.0) for name, weight in wish.interests.items())
        for kind, serves in stock.interests_of.items()
    }
    taste = {finish: 1 - PULL * wish.taste_weight * (1 - _taste(wish.taste, TASTE_OF[finish])) for finish in TASTE_OF}
    colour = {name: 1 - PULL * wish.colour_weight * (1 - _best_colour(wish.colours, name)) for name in COLOURS}
    fits = np.array([interest[one.kind] * taste[one.finish] * colour[one.colour] for one in products])
    if wish.budget is None:
        return fits
    return fits * np.array([1 - PULL * wish.budget_weight * (1 - _budget(wish.budget, price)) for price in prices])


def _taste(wanted: str | None, offered: str) -> float:
    return 1.0 if wanted is None or wanted == offered else TASTE_MATCH[wanted, offered]


def _best_colour(wanted: Sequence[str], offered: str) -> float:
    return max((_colour(one, offered) for one in wanted), default=1.0)


def _colour(wanted: str, offered: str) -> float:
    if wanted == offered:
        return 1.0
    return 0.4 if frozenset((wanted, offered)) in _AKIN else 0.0


def _budget(wanted: str, price: float) -> float:
    """A soft cap for the thrifty, a soft floor for the generous."""
    if wanted == "generous":
        return min(1.0, price / 100)
    cap = {"thrifty": 20.0, "moderate": 50.0}[wanted]
    return 1.0 if price <= cap else math.exp(-1.5 * (price / cap - 1))
