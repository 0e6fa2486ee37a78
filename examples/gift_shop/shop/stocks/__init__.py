"""What a shop sells and who comes in: the tables that tell one made-up shop from another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType


@dataclass(frozen=True)
class Stock:
    """A shop's kinds of product, and the words of its queries.

    interests_of: of each kind the interests it serves, in [0, 1].  base_price: of each kind, in euros.
    hints: of each kind two sentences of its descriptions.  train, heldout: modules of phrases.
    """

    interests_of: Mapping[str, Mapping[str, float]]
    base_price: Mapping[str, float]
    hints: Mapping[str, tuple[str, str]]
    train: ModuleType
    heldout: ModuleType

    @property
    def kinds(self) -> tuple[str, ...]:
        """What it sells, by literal name."""
        return tuple(self.interests_of)

    @property
    def interests(self) -> tuple[str, ...]:
        """Every interest that some kind serves."""
        return tuple(dict.fromkeys(name for served in self.interests_of.values() for name in served))
