"""What the items can be filtered by: values and ranges of the metadata's columns, found from a bounded sample."""

from __future__ import annotations

import json
import math
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from vdistill.bundle.columns import MISSING, Kind
from vdistill.bundle.items import Items, kinds_of
from vdistill.inputs.item_keys import GROUP_COLUMNS

SAMPLE = 10_000  # items that are read; a catalog that is not larger is read completely
_MOST_FILTERS = 40
_MOST_VALUES = 50  # that one filter offers
_MOST_DISTINCT = 1000  # that are counted; a column with more is none to choose from
_MOST_LETTERS = 100  # of a value that is offered
_NAMES = frozenset({"title", "name", "description", *GROUP_COLUMNS})  # of one item each


def filterable(items: Items, count: int) -> dict[str, Any]:
    """The filters that suit these items, and of how many items they were found.

    count: how many items there are. Of more than `SAMPLE` as many are read, spread evenly, so that rare values may be
    missing, and ranges too narrow.
    """
    keys = None if count <= SAMPLE else json.dumps(items.some_keys(SAMPLE).tolist())

    def read(connection: sqlite3.Connection) -> list[_Column]:
        columns = [_Column(name, kind) for name, kind in kinds_of(connection).items() if name.lower() not in _NAMES]
        for metadata in _metadata(connection, keys):
            for column in columns:
                column.add(metadata.get(column.name))
        return columns

    columns = items.filter(read)
    filters = [found for column in columns if (found := column.filter()) is not None]
    filters.sort(key=lambda one: (one["kind"] not in ("values", "list"), one["column"]))
    return {"filters": filters[:_MOST_FILTERS], "read": min(count, SAMPLE), "items": count}


class _Column:
    """Collects the values of a column."""

    def __init__(self, name: str, kind: Kind) -> None:
        self.name = name
        self._kind = kind
        self._counts: Counter[Any] = Counter()
        self._present = self._lists = 0
        self._suits = True  # until a value is too long to be chosen, or there are too many
        self._least: Any = None
        self._most: Any = None
        self._add: Callable[[Any], None] = self._range if kind in ("number", "date", "time") else self._count

    def add(self, value: Any) -> None:
        """Take in the value of one item."""
        if value is None or (isinstance(value, str) and value.strip().lower() in MISSING):
            return
        self._present += 1
        self._add(value)

    def filter(self) -> dict[str, Any] | None:
        """How to filter by it; None where nothing suits."""
        if self._kind in ("number", "date", "time"):
            return self._described(self._kind) if self._least != self._most else None
        if self._kind == "mixed" or not self._suits or len(self._counts) < 2:
            return None
        if self._lists:
            return self._described("list") if self._lists == self._present else None
        few = len(self._counts) <= min(_MOST_VALUES, self._present // 2)
        return self._described("boolean" if self._kind == "boolean" else "values") if few else None

    def _described(self, kind: str) -> dict[str, Any]:
        common = sorted(self._counts.items(), key=lambda one: (-one[1], str(one[0])))[:_MOST_VALUES]
        values = [{"value": value, "items": count} for value, count in common]
        return {"column": self.name, "kind": kind, "values": values, "least": self._least, "most": self._most}

    def _range(self, value: Any) -> None:
        found = _number(value) if self._kind == "number" else str(value).strip()[:10]
        if found is None:
            return
        self._least = found if self._least is None else min(self._least, found)
        self._most = found if self._most is None else max(self._most, found)

    def _count(self, value: Any) -> None:
        if not self._suits:
            return
        self._lists += isinstance(value, list)
        for one in {str(entry) for entry in value} if isinstance(value, list) else {_choice(self._kind, value)}:
            self._suits = self._suits and one is not None and len(str(one)) <= _MOST_LETTERS
            self._counts[one] += 1
        self._suits = self._suits and len(self._counts) <= _MOST_DISTINCT


def _choice(kind: Kind, value: Any) -> str | bool | None:
    if kind == "boolean":
        return str(value).strip().lower() in ("true", "1")
    return value if isinstance(value, str) else None


def _number(value: Any) -> float | int | None:
    try:
        found = value if isinstance(value, int | float) else float(value)
        return found if math.isfinite(found) else None
    except (TypeError, ValueError, OverflowError):
        return None


def _metadata(connection: sqlite3.Connection, keys: str | None) -> Iterator[dict[str, Any]]:
    only, bound = ("", ()) if keys is None else ("WHERE key IN (SELECT value FROM json_each(?))", (keys,))
    for (text,) in connection.execute(f"SELECT metadata FROM items {only}", bound):
        yield json.loads(text)
