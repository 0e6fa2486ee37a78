"""The items of a large catalog by their ids: what is known of one is read when it is looked up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, ValuesView
from typing import Any

from vdistill.inputs.item_table import ItemTable, parts
from vdistill.records import Item


class ItemsById(Mapping[str, Item]):
    """Some items of a table, in the order of `ids`. May be shared between threads."""

    def __init__(self, table: ItemTable, ids: Iterable[str]) -> None:
        """ids: of items that the table has. A dictionary is kept as it is, whatever its values."""
        self._table = table
        self.ids: dict[str, Any] = ids if isinstance(ids, dict) else dict.fromkeys(ids)

    def __getitem__(self, key: str) -> Item:
        """The item of an id."""
        if key not in self.ids:
            raise KeyError(key)
        return self._table.of([key])[key]

    def __contains__(self, key: object) -> bool:
        """Whether it is one of the ids; nothing is read."""
        return key in self.ids

    def __iter__(self) -> Iterator[str]:
        """The ids."""
        return iter(self.ids)

    def __len__(self) -> int:
        """How many items there are."""
        return len(self.ids)

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
