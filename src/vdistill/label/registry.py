"""The sides of what is judged, registered with the judgments: of a large catalog most items never are."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import Protocol

from vdistill.inputs.sides import ItemSides
from vdistill.records import Judgment, Split

Row = tuple[str, str, Split]


class Registry(Protocol):
    """Knows which sides are to be stored together with judgments."""

    def rows(self, judgments: Iterable[Judgment]) -> list[Row]:
        """As `Database.add_item_sides` takes them."""
        ...

    def stored(self, judgments: Iterable[Judgment]) -> None:
        """Note that those of these judgments are stored."""
        ...


class Unregistered:
    """A `Registry` of judgments that say nothing about sides: of an audit, or of a benchmark."""

    def rows(self, judgments: Iterable[Judgment]) -> list[Row]:
        """None."""
        return []

    def stored(self, judgments: Iterable[Judgment]) -> None:
        """There is nothing to note."""


class NewSides:
    """A `Registry` of the sides of a catalog; each is stored once."""

    def __init__(self, sides: ItemSides) -> None:
        self._sides, self._stored = sides, set[str]()

    def rows(self, judgments: Iterable[Judgment]) -> list[Row]:
        """Of the items that were not judged before in this run."""
        return self._sides.rows(self._items(judgments) - self._stored)

    def stored(self, judgments: Iterable[Judgment]) -> None:
        """Those of these judgments are not given again."""
        self._stored |= self._items(judgments)

    def _items(self, judgments: Iterable[Judgment]) -> set[str]:
        return set(chain.from_iterable(one.items for one in judgments))
