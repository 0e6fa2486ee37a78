"""Which side of the held-out split an item or a query is on: the one place that decides, for every command.

What was judged is registered in the workspace, and keeps its side whatever its file, its name or its row says later.
The rest is placed by a hash: an item with its group (a column `group`, `item_id` or `sku`) where it has one, else by
its content; a query with its persona, else by its text. Items of equal content or of one group are on one side.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from vdistill.inputs.split import split_of
from vdistill.records import Item, Query, Split

if TYPE_CHECKING:
    from vdistill.database import Database

GROUP_COLUMNS = ("group", "item_id", "sku")
VERSION = 2  # of how items are placed; 1: by their ids, in workspaces that were labelled so

Key: TypeAlias = tuple[Literal["group", "content", "id"], str]
_TRAIN, _HELDOUT, _BOTH = 1, 2, 3
_BIT: dict[Split, int] = {"train": _TRAIN, "heldout": _HELDOUT}
_RANK = {"group": 0, "content": 1, "id": 2}


@dataclass(frozen=True)
class ItemSides:
    """Where the items of a catalog are.

    split: by id; an item that is on neither side is absent.  aside: the ids of those: their group or content is
    registered on both sides, so that training on them would tell the held-out ones.  keys: of each item.
    """

    split: Mapping[str, Split]
    aside: tuple[str, ...]
    keys: Mapping[str, tuple[Key, ...]]

    def of(self, split: Split) -> list[str]:
        """The ids on one side, in order."""
        return sorted(key for key, side in self.split.items() if side == split)

    def rows(self, ids: Iterable[str]) -> list[tuple[str, str, Split]]:
        """What is to be registered of these items."""
        return [(*key, self.split[one]) for one in ids if one in self.split for key in (*self.keys[one], ("id", one))]

    def families(self) -> dict[str, str]:
        """For each item a name that it shares with all items of its group or content, and with no others."""
        root = _roots(self.keys.values())
        first: dict[Key, Key] = {}
        for mine in self.keys.values():
            first[root[mine[0]]] = min(first.get(root[mine[0]], mine[0]), mine[0], key=_order)
        return {one: first[root[mine[0]]][1] for one, mine in self.keys.items()}

    @property
    def notes(self) -> tuple[str, ...]:
        """What somebody should know."""
        if not self.aside:
            return ()
        count, first = len(self.aside), self.aside[0]
        return (
            f"{count:,} items are neither trained with nor measured by, e.g. {first!r}: others of their group or "
            "content were judged on both sides of the held-out split",
        )


@dataclass(frozen=True)
class Sides:
    """The sides of a workspace.

    queries, personas: the registered ones. items: the registered keys of items. version: how the others are placed.
    """

    holdout: float
    queries: Mapping[str, Split] = field(default_factory=dict)
    personas: Mapping[str, Split] = field(default_factory=dict)
    items: Mapping[Key, Split] = field(default_factory=dict)
    version: int = VERSION

    @classmethod
    def read(cls, database: Database | None, holdout: float | None = None) -> Sides:
        """What `database` has registered; `holdout` goes before the share that it remembers.

        With another share than the remembered one nothing is registered, as long as nothing was judged.
        """
        if database is None:
            return cls(holdout or 0.0)
        known = float(database.setting("holdout") or 0.0)
        share = known if holdout is None else holdout
        if share != known and not database.judgment_count():
            return cls(share)
        version = int(database.setting("split_version") or VERSION)
        return cls(share, *_registered(database.queries()), database.item_sides(), version)

    def of_query(self, text: str, persona: str | None = None, said: Split | None = None) -> Split:
        """The registered side of a query, else what the user `said`, else that of its persona, else by hash."""
        known = self.queries.get(plain(text)) or said or self.personas.get(plain(persona or ""))
        if known is not None:
            return known
        key = persona or text
        return split_of("query", key if self.version < VERSION else plain(key), self.holdout)

    def of_registered(self, query: str, otherwise: Split) -> Split:
        """The side of a judged query; `otherwise` where it was never registered."""
        return self.queries.get(plain(query), otherwise)

    def of_items(
        self, items: Sequence[Item], hashes: Mapping[str, str], said: Mapping[str, Split] | None = None
    ) -> ItemSides:
        """Where each item is.

        hashes: of the contents, by id; an item without one is placed by its id.
        said: sides by content hash that others gave (an export); what is registered here goes before.
        """
        keys = {item.id: _keys(item, hashes.get(item.id)) for item in items}
        root = _roots(keys.values())
        known: dict[Key, int] = defaultdict(int)
        first: dict[Key, Key] = {}
        for one, mine in keys.items():
            group, own = root[mine[0]], self._own(one, mine, said or {})
            known[group] |= own
            key: Key = ("id", one) if self.version < VERSION else mine[0]
            first[group] = min(first.get(group, key), key, key=_order)
        split: dict[str, Split] = {}
        aside = []
        for one, mine in keys.items():
            group = root[mine[0]]
            side = self._side(known[group], first[group], self._own(one, mine, said or {}))
            if side is None:
                aside.append(one)
            else:
                split[one] = side
        return ItemSides(split, tuple(sorted(aside)), keys)

    def _own(self, one: str, keys: tuple[Key, ...], said: Mapping[str, Split]) -> int:
        """What is known of an item itself: bits of its sides, shifted by how much that weighs.

        Its content and groups weigh most, so that a renamed file keeps its side; its name counts for a file that was
        edited in place.
        """
        bits = 0
        for key in keys:
            if key != ("id", one) and key in self.items:
                bits |= _BIT[self.items[key]] << 4
            if key[0] == "content" and key[1] in said:
                bits |= _BIT[said[key[1]]] << 2
        if ("id", one) in self.items:
            bits |= _BIT[self.items["id", one]]
        return bits

    def _side(self, known: int, first: Key, own: int) -> Split | None:
        sides = _strongest(known)
        if sides != _BOTH:
            return "train" if sides == _TRAIN else "heldout" if sides else split_of("item", first[1], self.holdout)
        return "heldout" if _strongest(own) == _HELDOUT else None


def plain(text: str) -> str:
    """A text without what makes no difference: letter case, spaces, ways to write an accent."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def moved(queries: Iterable[Query]) -> list[Query]:
    """The queries whose file says another side than the one they have."""
    return [query for query in queries if query.said is not None and query.said != query.split]


def group_keys(item: Item) -> Iterator[Key]:
    """The groups that the metadata puts an item into."""
    for column in GROUP_COLUMNS:
        value = item.metadata.get(column)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, (str, int, float)) and (text := str(value).strip()):
            yield "group", f"{column}={text}"


def _keys(item: Item, content: str | None) -> tuple[Key, ...]:
    """What ties an item to others, the strongest first; its id where nothing does."""
    found: list[Key] = [*group_keys(item)]
    if content:
        found.append(("content", content))
    return tuple(found) or (("id", item.id),)


def _roots(keys: Iterable[tuple[Key, ...]]) -> dict[Key, Key]:
    """For each key one that stands for all that are tied to it, directly or through others (union-find)."""
    parent: dict[Key, Key] = {}

    def find(key: Key) -> Key:
        while (above := parent.setdefault(key, key)) != key:
            parent[key] = key = parent[above]
        return key

    for mine in keys:
        top = find(mine[0])
        for other in mine[1:]:
            parent[find(other)] = top
    return {key: find(key) for key in list(parent)}


def _registered(queries: Iterable[Query]) -> tuple[dict[str, Split], dict[str, Split]]:
    """The sides of texts and of personas. One that is on both (an old workspace) is held out: it is not trained on."""
    texts: dict[str, Split] = {}
    personas: dict[str, Split] = {}
    for query in queries:
        for found, key in ((texts, plain(query.text)), (personas, plain(query.persona or ""))):
            if key and found.get(key) != "heldout":
                found[key] = query.split
    return texts, personas


def _order(key: Key) -> tuple[int, str]:
    return _RANK[key[0]], key[1]


def _strongest(bits: int) -> int:
    """The sides by the strongest of what is known."""
    return bits >> 4 & 3 or bits >> 2 & 3 or bits & 3
