"""The items of a local index as databases store them: typed values, words, vectors, and a stamp of it all."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from vdistill.bundle.columns import Kind, raw_sql, value_sql
from vdistill.bundle.items import Row, kinds_of
from vdistill.bundle.products import Product
from vdistill.bundle.store import Store
from vdistill.databases.engine import Column, StoredItem
from vdistill.errors import VdistillError
from vdistill.inputs.words import Tokens, words_of

BATCH = 1000  # items
MOST_COLUMNS = 1000
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,54}")
_OWN = frozenset({  # what engines have columns of their own for
    "id", "path", "sha256", "product", "images", "vector", "metadata", "lists", "words", "stamp", "ctid", "xmin",
    "xmax", "cmin", "cmax", "tableoid",
})  # fmt: skip


@dataclass(frozen=True)
class LocalItem:
    """An item of the local index.  vector: (dim,) float32.  stamp: a hash of all that a database has of it."""

    row: Row
    product: Product | None
    vector: np.ndarray
    stamp: bytes


def columns_of(store: Store) -> tuple[Column, ...]:
    """The columns of the metadata, with the names and kinds that they have in a database.

    Raises VdistillError where there are more than databases take.
    """
    kinds = store.items.use(kinds_of)
    if len(kinds) > MOST_COLUMNS:
        raise VdistillError(f"the metadata has {len(kinds):,} columns, more than {MOST_COLUMNS:,}",
                            hint="leave out those that nobody filters by")  # fmt: skip
    found: list[Column] = []
    taken = set(_OWN)
    for name, kind in kinds.items():
        key = name if _PLAIN.fullmatch(name) and name.lower() not in taken else _other_key(name, taken)
        taken.add(key.lower())
        real = kind in ("date", "time") and not store.items.use(partial(_all_days, name=name, kind=kind))
        found.append(Column(name, key, "text" if real else kind))
    return tuple(found)


def local_items(store: Store) -> Iterator[list[LocalItem]]:
    """All items by id, in batches."""
    rows = store.items.rows()
    while batch := list(islice(rows, BATCH)):
        keys = np.array([row.key for row in batch], np.uint64)
        vectors = store.vectors(keys).astype(np.float16)
        products = store.items.products.shown(keys.tolist())
        yield [
            LocalItem(row, product, vector.astype(np.float32), _stamp(row, product, vector))
            for row, vector in zip(batch, vectors, strict=True)
            for product in [products.get(row.key)]
        ]


def as_stored(store: Store, items: Sequence[LocalItem], columns: Sequence[Column]) -> list[StoredItem]:
    """The items with their values in these columns, and their words."""
    values = store.items.use(lambda connection: _values(connection, [item.row.key for item in items], columns))
    metadata = [json.loads(item.row.metadata) for item in items]
    words = Tokens().of([words_of(one) for one in metadata])
    return [
        StoredItem(
            id=item.row.id, path=item.row.path, sha256=item.row.sha256, metadata=item.row.metadata,
            product=item.product.name if item.product else None, images=item.product.images if item.product else 1,
            values=values[item.row.key], lists=_lists(values[item.row.key]), words=found, vector=item.vector,
            stamp=item.stamp,
        )
        for item, found in zip(items, words, strict=True)
    ]  # fmt: skip


def same_kinds(one: Sequence[Column], other: Sequence[Column]) -> bool:
    """Whether the columns that both have are of the same kind, and called the same."""
    known = {column.name: column for column in one}
    taken = {column.key.lower(): column.name for column in one}
    return all(
        known.get(column.name, column) == column and taken.get(column.key.lower(), column.name) == column.name
        for column in other
    )


def _other_key(name: str, taken: set[str]) -> str:
    """A name that a database takes, for one that it does not: always the same."""
    base = re.sub(r"\W+", "_", name.lower(), flags=re.ASCII).strip("_")[:40]
    tail = hashlib.sha256(name.encode()).hexdigest()
    length = 4
    while (key := f"column_{base}_{tail[:length]}") in taken:
        length += 1
    return key


def _stamp(row: Row, product: Product | None, vector: np.ndarray) -> bytes:
    shown = (product.name, product.images) if product else (None, 1)
    text = json.dumps([row.id, row.path, row.sha256, row.metadata, *shown])
    return hashlib.blake2b(text.encode() + vector.tobytes(), digest_size=16).digest()


def _values(
    connection: sqlite3.Connection, keys: Sequence[int], columns: Sequence[Column]
) -> dict[int, dict[str, Any]]:
    """The typed values of items by key, as `--where` compares them in the local index."""
    chosen, bound = "", {"keys": json.dumps(list(keys))}
    for number, column in enumerate(columns):
        raw, bound[f"p{number}"] = raw_sql(column.name, f"p{number}")
        chosen += f", {value_sql(column.kind, raw)}"
    sql = f"SELECT key{chosen} FROM items WHERE key IN (SELECT value FROM json_each(:keys))"
    names = [column.key for column in columns]
    kinds = {column.key: column.kind for column in columns}
    found = {}
    for key, *values in connection.execute(sql, bound):
        known = {name: value for name, value in zip(names, values, strict=True) if value is not None}
        found[key] = {name: _typed(kinds[name], value) for name, value in known.items()}
    return found


def _typed(kind: Kind, value: Any) -> Any:
    if kind == "boolean":
        return bool(value)
    return value.strip() if kind in ("date", "time") else value


def _lists(values: dict[str, Any]) -> dict[str, list[str]]:
    return {key: entries for key, value in values.items() if (entries := _list(value)) is not None}


def _list(value: Any) -> list[str] | None:
    """The entries of a list that a text holds as JSON, as texts."""
    if not (isinstance(value, str) and value.startswith("[")):
        return None
    try:
        entries = json.loads(value)
    except ValueError:
        return None
    return [str(one) for one in entries] if isinstance(entries, list) else None


def _all_days(connection: sqlite3.Connection, name: str, kind: Kind) -> bool:
    """Whether all dates in a column are days of the calendar, which alone databases take."""
    raw, value = raw_sql(name, "p")
    parse = date.fromisoformat if kind == "date" else datetime.fromisoformat
    for (text,) in connection.execute(f"SELECT DISTINCT {value_sql(kind, raw)} FROM items", {"p": value}):
        try:
            if text is not None:
                parse(text.strip())
        except ValueError:
            return False
    return True


def without_nul(item: StoredItem) -> StoredItem:
    """The item with U+FFFD for each NUL in its texts, which PostgreSQL does not take."""
    whole = "\0" in item.id or "\0" in item.path or "\\u0000" in item.metadata
    if not whole:
        return item

    def clean(value: Any) -> Any:
        return value.replace("\0", "\ufffd") if isinstance(value, str) else value

    return replace(
        item,
        metadata=re.sub(r"(?<!\\)((?:\\\\)*)\\u0000", "\\1\ufffd", item.metadata),
        product=clean(item.product),
        values={key: clean(value) for key, value in item.values.items()},
        lists={key: [clean(one) for one in entries] for key, entries in item.lists.items()},
        words=tuple(clean(word) for word in item.words),
    )
