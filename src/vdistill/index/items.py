"""The items of an index: one SQLite file with whose vector is whose, the metadata, and its words for text search."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from vdistill.errors import VdistillError
from vdistill.index.manifest import REMEDY
from vdistill.words import words_of

T = TypeVar("T")

COLUMNS = "key, id, path, sha256, size, mtime_ns, metadata"
SCHEMA = """
    CREATE TABLE items (
        key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, path TEXT NOT NULL, sha256 TEXT NOT NULL,
        size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, metadata TEXT NOT NULL
    ) STRICT;
    CREATE TABLE columns (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
    CREATE VIRTUAL TABLE words USING fts5 (text, content = '', tokenize = 'porter unicode61 remove_diacritics 2');
"""


@dataclass(frozen=True, slots=True)
class Row:
    """An indexed picture. `key` names its vector, `path` is relative to the catalog, `metadata` is JSON."""

    key: int
    id: str
    path: str
    sha256: str
    size: int
    mtime_ns: int
    metadata: str


class Items:
    """The items of an open index, read only. May be shared between threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        try:
            uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
            self._connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
            self._all("SELECT key FROM items LIMIT 1")
        except sqlite3.Error as error:
            raise VdistillError(f"{path} is damaged: {error}", hint=REMEDY) from error

    def rows(self) -> Iterator[Row]:
        """All items, by id, a part at a time."""
        last = ""
        while part := self._all(f"SELECT {COLUMNS} FROM items WHERE id > ? ORDER BY id LIMIT 4096", last):
            for values in part:
                yield Row(*values)
            last = part[-1][1]

    def rows_of(self, keys: Sequence[int] | np.ndarray) -> dict[int, Row]:
        """The items with these keys; a key without an item is left out."""
        sql = f"SELECT {COLUMNS} FROM items WHERE key IN (SELECT value FROM json_each(?))"
        return {values[0]: Row(*values) for values in self._all(sql, _json(keys))}

    def keys_of(self, ids: Sequence[str]) -> dict[str, int]:
        """The keys of these items; an unknown id is left out."""
        return dict(self._all("SELECT id, key FROM items WHERE id IN (SELECT value FROM json_each(?))", _json(ids)))

    def live(self, keys: np.ndarray) -> np.ndarray:
        """Which of these keys still belong to an item."""
        found = self._all("SELECT key FROM items WHERE key IN (SELECT value FROM json_each(?))", _json(keys))
        return np.isin(keys, np.array([row[0] for row in found], np.uint64))

    def some_keys(self, count: int) -> np.ndarray:
        """About `count` keys, spread evenly over all items."""
        last = self._all("SELECT max(key) FROM items")[0][0]
        places = _json(np.unique(np.linspace(0, last, count).astype(np.int64)))
        # The next living key from each place on: no scan of the whole table.
        sql = "SELECT DISTINCT (SELECT key FROM items WHERE key >= value ORDER BY key LIMIT 1) FROM json_each(?)"
        return np.array([row[0] for row in self._all(sql, places)], np.uint64)

    def worded(self, text: str, limit: int, allowed: np.ndarray | None = None) -> np.ndarray:
        """Keys of the (allowed) items whose text has most to do with the words of `text` (BM25), best first."""
        terms = " OR ".join(f'"{word}"' for word in dict.fromkeys(re.findall(r"\w+", text)))
        if not terms:
            return np.array([], np.uint64)
        only = "" if allowed is None else "AND rowid IN (SELECT value FROM json_each(?))"
        sql = f"SELECT rowid FROM words WHERE words MATCH ? {only} ORDER BY rank, rowid LIMIT ?"
        values = (terms, limit) if allowed is None else (terms, _json(allowed), limit)
        return np.array([row[0] for row in self._all(sql, *values)], np.uint64)

    def use(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """What `read` finds by the connection, which nobody else uses meanwhile. The file itself may be gone."""
        with self._lock:
            return read(self._connection)

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    def _all(self, sql: str, *values: Any) -> list[Any]:
        with self._lock:
            return self._connection.execute(sql, values).fetchall()


def describe(connection: sqlite3.Connection) -> None:
    """Fill `words` and `columns` from the items."""
    columns: set[str] = set()

    def words(rows: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
        for key, text in rows:
            metadata = json.loads(text)
            columns.update(metadata)
            if found := words_of(metadata):
                yield key, found

    last = -1
    while part := connection.execute(
        "SELECT key, metadata FROM items WHERE key > ? ORDER BY key LIMIT 4096", (last,)
    ).fetchall():
        connection.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", words(part))
        last = part[-1][0]
    connection.executemany("INSERT INTO columns VALUES (?)", [(name,) for name in sorted(columns)])


def _json(values: Sequence[Any] | np.ndarray) -> str:
    return json.dumps(values.tolist() if isinstance(values, np.ndarray) else list(values))
