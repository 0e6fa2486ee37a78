"""Names of queries and items in TREC files, whose columns are separated by spaces."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote, unquote

from vdistill.inputs.item_keys import GROUP_COLUMNS
from vdistill.records import Item, Query

_SPACE = re.compile(r"\s|%(?=[0-9A-Fa-f]{2})")


def written(name: str) -> str:
    """A name without spaces: each is percent-encoded, as in a URL."""
    return _SPACE.sub(lambda found: quote(found[0]), name)


class QueryNames:
    """The queries of a workspace by id and by text. An id that names several texts names none."""

    def __init__(self, queries: Iterable[Query]) -> None:
        texts: dict[str, set[str]] = {}
        ids: dict[str, str] = {}
        for query in queries:
            texts.setdefault(query.id, set()).add(query.text)
            ids[query.text] = query.id
        self._text = {key: min(found) for key, found in texts.items() if len(found) == 1}
        self._id = {text: key if key in self._text else text for text, key in ids.items()}

    def find(self, name: str) -> str | None:
        """The text of the query that a file calls `name`: its id, or its text."""
        for one in (name, unquote(name)):
            if one in self._text or one in self._id:
                return self._text.get(one, one)
        return None

    def of(self, text: str) -> str:
        """What to call a query in a file: its id, or where others have the same, its text."""
        return written(self._id.get(text, text))

    @property
    def known(self) -> list[str]:
        """All names."""
        return [*self._text, *self._id]


class ItemNames:
    """The items of a catalog by id, and by the product that they show (`group`, `item_id` or `sku`)."""

    def __init__(self, items: Sequence[Item]) -> None:
        self._ids = {item.id for item in items}
        self._of_product: dict[str, dict[str, list[str]]] = {column: {} for column in GROUP_COLUMNS}
        for item in items:
            for column, found in self._of_product.items():
                if (value := _value(item.metadata, column)) is not None:
                    found.setdefault(value, []).append(item.id)

    def find(self, name: str) -> Sequence[str]:
        """The ids of the items that a file calls `name`; empty where it is unknown."""
        for one in (name, unquote(name)):
            if one in self._ids:
                return (one,)
            for products in self._of_product.values():
                if one in products:
                    return products[one]
        return ()

    @property
    def known(self) -> list[str]:
        """All names."""
        return [*self._ids, *(name for products in self._of_product.values() for name in products)]


def _value(metadata: Mapping[str, object], column: str) -> str | None:
    value = metadata.get(column)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip() or None if isinstance(value, str | int | float) else None
