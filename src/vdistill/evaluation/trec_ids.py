"""Names of queries and items in TREC files, whose columns are separated by spaces."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import quote, unquote

from vdistill.evaluation.by_product import PRODUCT
from vdistill.inputs.item_keys import GROUP_COLUMNS, groups_of
from vdistill.records import Item, Query

_SPACE = re.compile(r"\s|%(?=[0-9A-Fa-f]{2})")


def written(name: str) -> str:
    """A name without spaces: each is percent-encoded, as in a URL."""
    return _SPACE.sub(lambda found: quote(found[0]), name)


class QueryNames:
    """The queries of a workspace by id and by text. An id that names `several` texts names none."""

    def __init__(self, queries: Iterable[Query]) -> None:
        texts: dict[str, set[str]] = {}
        ids: dict[str, str] = {}
        for query in queries:
            texts.setdefault(query.id, set()).add(query.text)
            ids[query.text] = query.id
        self.several = {key for key, found in texts.items() if len(found) > 1}
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
    """The images that a name in a file stands for: one by its id, or all of a product.

    A product is called by its name, as `product=NAME` too, or by `group`, `item_id` or `sku`, as `column=value` too.
    Where a name may mean several, ids go first, then the names of products, then the columns in this order.
    """

    def __init__(self, items: Iterable[Item], products: Mapping[str, str]) -> None:
        """products: the name of each image's product, by id; an image that is absent is a product of its own."""
        ids: dict[str, list[str]] = {}
        named: dict[str, list[str]] = {}
        groups: dict[str, list[str]] = {}
        for item in items:
            ids[item.id] = [item.id]
            if item.id in products:
                named.setdefault(products[item.id], []).append(item.id)
            for _, group in groups_of(item.metadata):
                groups.setdefault(group, []).append(item.id)
        values: dict[str, list[str]] = {}
        for column in reversed(GROUP_COLUMNS):  # those that go first overwrite the others
            begin = f"{column}="
            values |= {group.removeprefix(begin): found for group, found in groups.items() if group.startswith(begin)}
        self._names = {
            **values,
            **groups,
            **{f"{PRODUCT}{name}": found for name, found in named.items()},
            **named,
            **ids,
        }

    def find(self, name: str) -> Sequence[str]:
        """The ids of the images that a file calls `name`; empty where it is unknown."""
        return self._names.get(name) or self._names.get(unquote(name)) or ()

    @property
    def known(self) -> list[str]:
        """All names."""
        return [*self._names]
