"""The items of a large catalog by their ids: what is known of one is read when it is looked up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, ValuesView

from vdistill.inputs.item_table import ItemTable, parts
from vdistill.inputs.views import View
from vdistill.records import Item


class ItemsById(View[Item]):
    """Some items of a table, in the order of `ids`. May be shared between threads."""

    def __init__(self, table: ItemTable, ids: Iterable[str]) -> None:
        """ids: of items that the table has."""
        super().__init__(ids, lambda key: table.of([key])[key])
        self._table = table

    def values(self) -> ValuesView[Item]:
        """The items, many of which are read at once."""
        return _Values(self)

    def file_of(self, key: str) -> str:
        """The locator of an item's image, without reading the item."""
        return self._table.file_of(key)

    def only(self, ids: Iterable[str]) -> ItemsById:
        """Some of these items, in the order of `ids`."""
        return ItemsById(self._table, ids)

    def read(self) -> Iterator[Item]:
        """The items, in parts."""
        for part in parts(self.ids):
            found = self._table.of(part)
            yield from (found[key] for key in part)


class _Values(ValuesView[Item]):
    """Reads the items in parts instead of one by one."""

    _mapping: ItemsById

    def __iter__(self) -> Iterator[Item]:
        return self._mapping.read()
