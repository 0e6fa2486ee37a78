"""What ties items together, so that they are on one side of the split: groups, equal contents, and names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Literal, TypeAlias

from vdistill.records import Item

GROUP_COLUMNS = ("group", "item_id", "sku")

Key: TypeAlias = tuple[Literal["group", "content", "id"], str]
_RANK = {"group": 0, "content": 1, "id": 2}


def keys_of(item: Item, content: str | None) -> tuple[Key, ...]:
    """What ties an item to others, the strongest first; its id where nothing does. content: the hash of its file."""
    found: list[Key] = [*_groups(item)]
    if content:
        found.append(("content", content))
    return tuple(found) or (("id", item.id),)


def strength(key: Key) -> tuple[int, str]:
    """The order of keys, the strongest first."""
    return _RANK[key[0]], key[1]


def roots(keys: Iterable[tuple[Key, ...]]) -> dict[Key, Key]:
    """For each key one that represents all that are tied to it, directly or through others (union-find)."""
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


def families(keys: Mapping[str, tuple[Key, ...]]) -> dict[str, Key]:
    """For each item, by id, the strongest of the first keys of all items that are tied to it."""
    root = roots(keys.values())
    first: dict[Key, Key] = {}
    for mine in keys.values():
        first[root[mine[0]]] = min(first.get(root[mine[0]], mine[0]), mine[0], key=strength)
    return {one: first[root[mine[0]]] for one, mine in keys.items()}


def _groups(item: Item) -> Iterator[Key]:
    """The groups that the metadata puts an item into."""
    for column in GROUP_COLUMNS:
        value = item.metadata.get(column)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, (str, int, float)) and (text := str(value).strip()):
            yield "group", f"{column}={text}"
