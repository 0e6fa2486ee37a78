"""What ties the images of a catalog to one another, by id: as `item_keys.py` says, for a million of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vdistill.inputs.item_keys import GROUP_COLUMNS, Key, groups_of, keys_with, unusable_groups
from vdistill.inputs.item_table import ItemTable
from vdistill.inputs.views import View
from vdistill.records import Item


class Keys(View[tuple[Key, ...]]):
    """The keys of all items by id, as `keys_of` gives them: made when looked up, since most are of the content alone.

    ids: the items, in order.  grouped: the keys of those that have a group.  no_name: (item, column) of groups that
    cannot be used.
    """

    def __init__(self, items: Iterable[Item], hashes: Mapping[str, str]) -> None:
        """hashes: of the items' files, by id. Of an `ItemTable` only the metadata that may have a group is read."""
        super().__init__((), self._made)
        self.grouped: dict[str, tuple[Key, ...]] = {}
        self.no_name: list[tuple[str, str]] = []
        self._hashes = hashes
        if isinstance(items, ItemTable):
            self.ids.update(dict.fromkeys(items.ids()))
            for one, metadata in items.mentioning(GROUP_COLUMNS):
                self._enter(one, metadata)
            return
        for item in items:
            self.ids[item.id] = None
            self._enter(item.id, item.metadata)

    def _enter(self, one: str, metadata: Mapping[str, Any]) -> None:
        self.no_name += [(one, column) for column in unusable_groups(metadata)]
        if groups := tuple(groups_of(metadata)):
            self.grouped[one] = keys_with(one, groups, self._hashes.get(one))

    def _made(self, one: str) -> tuple[Key, ...]:
        return self.grouped.get(one) or keys_with(one, (), self._hashes.get(one))

    def tied(self) -> dict[str, tuple[Key, ...]]:
        """The keys of the items that have a group, or the content of one that has."""
        if not self.grouped:
            return {}
        contents = {key[1] for mine in self.grouped.values() for key in mine if key[0] == "content"}
        return {one: self[one] for one in self.ids if one in self.grouped or self._hashes.get(one) in contents}
