"""What ties images together: groups, equal contents, and names. It decides which product an image shows.

Images that are tied are on one side of the split. Those that share a group are images of one product.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypeVar

from vdistill.records import Item

GROUP_COLUMNS = ("group", "item_id", "sku")
_GROUPS = frozenset(GROUP_COLUMNS)

Key: TypeAlias = tuple[Literal["group", "content", "id"], str]
Image = TypeVar("Image", bound=Hashable)
_RANK = {"group": 0, "content": 1, "id": 2}


def keys_of(item: Item, content: str | None) -> tuple[Key, ...]:
    """What ties an item to others, the strongest first; its id where nothing does. content: the hash of its file."""
    return keys_with(item.id, tuple(groups_of(item.metadata)), content)


def keys_with(one: str, groups: tuple[Key, ...], content: str | None) -> tuple[Key, ...]:
    """What ties the item `one` to others. groups: those that it is in."""
    if content:
        return (*groups, ("content", content))
    return groups or (("id", one),)


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


def family_of(keys: Mapping[Image, tuple[Key, ...]]) -> Callable[[Image], Key]:
    """What gives the family of an image: the strongest of the first keys of all that are tied to it."""
    root = roots(mine for mine in keys.values() if len(mine) > 1)  # of a large catalog few: the others tie nothing
    first: dict[Key, Key] = {}
    for mine in keys.values() if root else ():
        if (top := root.get(mine[0])) is not None:
            first[top] = min(first.get(top, mine[0]), mine[0], key=strength)

    def family(one: Image) -> Key:
        own = keys[one][0]
        return first[root[own]] if own in root else own

    return family


def products_of(keys: Mapping[Image, tuple[Key, ...]]) -> dict[Image, str]:
    """The name of the product that each image shows; an image without a group is absent, a product of its own.

    Images that share a group show one product, directly or through others. Equal files do not: many products may have
    the same placeholder. A product is named by the strongest of its groups: by its value alone, or as `column=value`
    where two products would have the same name.
    """
    groups = {one: mine for one, found in keys.items() if (mine := tuple(key for key in found if key[0] == "group"))}
    family = family_of(groups)
    grouped = {one: family(one)[1] for one in groups}
    shared = Counter(_value(group) for group in set(grouped.values()))
    return {one: _value(group) if shared[_value(group)] == 1 else group for one, group in grouped.items()}


def product_notes(keys: Mapping[Image, tuple[Key, ...]], no_name: Sequence[tuple[Image, str]]) -> Iterator[str]:
    """What the user should know about the groups, one line each.

    no_name: images with a group that is none (`unusable_groups`), each with the column.
    """
    products = products_of(keys)
    if joined := _joined(keys, products):
        first = min(joined, key=lambda groups: groups[0])
        yield (
            f"{len(joined):,} products have several names, because rows have two of these columns: each counts as one "
            f"product, e.g. {', '.join(first[:3])}"
        )
    if shared := _shared_files(keys, products):
        yield (
            f"{len(shared):,} images are in several groups, as equal files: each of those stays a product of its own, "
            f"e.g. {', '.join(min(shared)[:3])}"
        )
    if no_name:
        image, column = no_name[0]
        yield f"{len(no_name):,} images have a list as their {column!r}, which names no product, e.g. {image!r}"


def _joined(keys: Mapping[Image, tuple[Key, ...]], products: Mapping[Image, str]) -> list[list[str]]:
    """The groups of each product that has two names in one column."""
    groups: dict[str, set[str]] = defaultdict(set)
    for one, name in products.items():
        groups[name].update(key[1] for key in keys[one] if key[0] == "group")
    return [sorted(found) for found in groups.values() if len(found) > len({one.partition("=")[0] for one in found})]


def _shared_files(keys: Mapping[Image, tuple[Key, ...]], products: Mapping[Image, str]) -> list[list[str]]:
    """The products of each content that several have."""
    found: dict[Key, set[str]] = defaultdict(set)
    for one, name in products.items():
        for key in keys[one]:
            if key[0] == "content":
                found[key].add(name)
    return [sorted(names) for names in found.values() if len(names) > 1]


def groups_of(metadata: Mapping[str, Any]) -> Iterator[Key]:
    """The groups that its metadata puts an image into. A group is a text or a number, no truth value; 12.0 is 12."""
    if _GROUPS.isdisjoint(metadata):
        return
    for column in GROUP_COLUMNS:
        value = metadata.get(column)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, (str, int, float)) and not isinstance(value, bool) and (text := str(value).strip()):
            yield "group", f"{column}={text}"


def unusable_groups(metadata: Mapping[str, Any]) -> list[str]:
    """The group columns whose value is no name: a list, or an object."""
    if _GROUPS.isdisjoint(metadata):
        return []
    return [column for column in GROUP_COLUMNS if isinstance(metadata.get(column), list | dict)]


def _value(group: str) -> str:
    return group.partition("=")[2]
