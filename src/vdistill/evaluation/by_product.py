"""Products as candidates: what is known of their images becomes what is known of them.

`query` returns one result a product, with the image that fits best. So a product scores what its best image scores; and
it is worth what the judge thought of the best of its images, since a shopper who finds one has found the product.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np

from vdistill.arrays import Floats, Ints

PRODUCT = "product="  # before the name of a product, where an image has the same
NO_PRODUCTS: Mapping[str, str] = MappingProxyType({})  # every image is a product of its own


@dataclass(frozen=True)
class ByProduct:
    """Which of n images show which of p products.

    names: of the products (p,), no two alike, in the order of their first images.
    number: (n,) the product of each image.
    """

    names: tuple[str, ...]
    number: Ints

    @classmethod
    def of(cls, items: Sequence[str], products: Mapping[str, str]) -> ByProduct:
        """products: the name of each item's product, by id; an item that is absent is a product of its own."""
        place: dict[tuple[bool, str], int] = {}
        named = [(item in products, products.get(item, item)) for item in items]
        number = [place.setdefault(name, len(place)) for name in named]
        ids = {name for is_product, name in named if not is_product}
        names = (f"{PRODUCT}{name}" if is_product and name in ids else name for is_product, name in place)
        return cls(tuple(names), np.array(number, np.intp))

    @property
    def several(self) -> bool:
        """Whether any product has several images; else products and images are the same."""
        return len(self.names) < len(self.number)

    def best(self, scores: Floats) -> Floats:
        """(p,) the highest score of each product's images. scores: (n,)."""
        return np.maximum.reduceat(scores[self._order], self._starts) if self.several else scores

    def shown(self, scores: Floats) -> Ints:
        """(p,) the image of each product that scores highest, of equal ones the first. scores: (n,)."""
        return self.judged(np.arange(len(scores)), scores)[2]

    def judged(self, rows: Ints, utilities: Floats) -> tuple[Ints, Floats, Ints]:
        """The products of some images, ascending, the highest utility of each, and the image that has it.

        rows: (m,) images, ascending.  utilities: (m,).
        """
        if not self.several:
            return rows, utilities, rows
        order = np.lexsort((-utilities, self.number[rows]))  # stable: of equal ones the first image
        products, first = np.unique(self.number[rows][order], return_index=True)
        best = order[first]
        return products, utilities[best], rows[best]

    @cached_property
    def _order(self) -> Ints:
        return np.argsort(self.number, kind="stable")

    @cached_property
    def _starts(self) -> Ints:
        return np.searchsorted(self.number[self._order], np.arange(len(self.names)))
