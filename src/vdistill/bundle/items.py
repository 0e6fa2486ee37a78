"""The items of an index: an SQLite file of their vector keys, image files and metadata, and their words for search."""

from __future__ import annotations

import json
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from vdistill.arrays import distinct
from vdistill.bundle.columns import ColumnKinds, Kind, known_kind
from vdistill.bundle.manifest import remedy
from vdistill.bundle.pack import PackedPath, Place
from vdistill.bundle.products import SCHEMA as PRODUCTS
from vdistill.bundle.products import Products, write_products
from vdistill.errors import VdistillError
from vdistill.inputs.item_keys import Key, groups_of
from vdistill.inputs.words import TABLE, indexable, match, words_of

T = TypeVar("T")

THUMBNAILS = "CREATE TABLE thumbnails (sha256 TEXT PRIMARY KEY, image BLOB NOT NULL) STRICT"  # in packs alone
COLUMNS = "key, id, path, sha256, size, mtime_ns, metadata"
SCHEMA = f"""
    CREATE TABLE items (
        key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, path TEXT NOT NULL, sha256 TEXT NOT NULL,
        size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, metadata TEXT NOT NULL,
        ctime_ns INTEGER  -- unknown where an older version wrote the index
    ) STRICT;
    CREATE TABLE columns (name TEXT PRIMARY KEY, kind TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE VIRTUAL TABLE words {TABLE};
    {PRODUCTS}
"""


@dataclass(frozen=True, slots=True)
class Row:
    """An indexed image.  key: of its vector.  path: relative to the catalog.  metadata: JSON.

    ctime_ns: of its stamp; None where that was not read.
    """

    key: int
    id: str
    path: str
    sha256: str
    size: int
    mtime_ns: int
    metadata: str
    ctime_ns: int | None = None


class Items:
    """The items of an open index, read only. May be shared between threads."""

    def __init__(self, path: Place) -> None:
        self.path = path
        self._lock = threading.Lock()
        self.products = Products(self.use)
        try:
            uri = f"{_file(path).resolve().as_uri()}?mode=ro&immutable=1"
            self._connection = sqlite3.connect(uri, uri=True, check_same_thread=False)
            weakref.finalize(self, self._connection.close)  # also of what is dropped without `close`, or damaged
            self._all("SELECT key FROM items LIMIT 1")
            if isinstance(path, PackedPath):
                path.pack.check_same()
            self._apart: Items | None = None
            self._patience: float | None = None
        except sqlite3.Error as error:
            raise VdistillError(f"{path} is damaged: {error}", hint=remedy(path)) from error

    def rows(self) -> Iterator[Row]:
        """All items, by id; read in pages, so that other threads can ask meanwhile."""
        last = ""
        while part := self._all(f"SELECT {COLUMNS} FROM items WHERE id > ? ORDER BY id LIMIT 4096", last):
            for values in part:
                yield Row(*values)
            last = part[-1][1]

    def rows_of(self, keys: Sequence[int] | np.ndarray) -> dict[int, Row]:
        """The items with these keys; a key without an item is left out."""
        sql = f"SELECT {COLUMNS} FROM items WHERE key IN (SELECT value FROM json_each(?))"
        return {values[0]: Row(*values) for values in self._all(sql, _json(keys))}

    def keys_of(self, ids: Sequence[str]) -> np.ndarray:
        """The keys (n,) of these items. Raises VdistillError for an unknown id."""
        sql = "SELECT id, key FROM items WHERE id IN (SELECT value FROM json_each(?))"
        known = dict(self._all(sql, _json(ids)))
        try:
            return np.array([known[id_] for id_ in ids], np.uint64)
        except KeyError as error:
            raise VdistillError(f"{error.args[0]!r} is not indexed", hint="run `vdistill index` again") from error

    def known(self, ids: Sequence[str], contents: Sequence[str] = ()) -> dict[str, Row]:
        """Those of these items that there are, by id; and all items of these contents (SHA-256), which takes a scan."""
        sql = f"SELECT {COLUMNS} FROM items WHERE id IN (SELECT value FROM json_each(?))"
        found = self._all(sql, _json(ids))
        if contents:
            found += self._all(f"SELECT {COLUMNS} FROM items WHERE sha256 IN (SELECT value FROM json_each(?))",
                               _json(contents))  # fmt: skip
        return {values[1]: Row(*values) for values in found}

    def live(self, keys: np.ndarray) -> np.ndarray:
        """Which of these keys still belong to an item."""
        found = self._all("SELECT key FROM items WHERE key IN (SELECT value FROM json_each(?))", _json(keys))
        return np.isin(keys, _keys(found))

    def some_keys(self, count: int) -> np.ndarray:
        """About `count` keys, spread evenly over all items."""
        last = self._all("SELECT max(key) FROM items")[0][0]
        spread = np.linspace(0, last, count).astype(np.int64)
        places = _json(spread[distinct(spread)[0]])
        # The first key in use from each place on: no scan of the whole table.
        sql = "SELECT DISTINCT (SELECT key FROM items WHERE key >= value ORDER BY key LIMIT 1) FROM json_each(?)"
        return _keys(self._all(sql, places))

    def matching_words(self, text: str, limit: int, allowed: np.ndarray | None = None) -> np.ndarray:
        """Keys of the (allowed) items whose texts match the words of `text` best (BM25), best first."""
        terms = match(text)
        if not terms:
            return np.array([], np.uint64)
        only = "" if allowed is None else "AND rowid IN (SELECT value FROM json_each(?))"
        sql = f"SELECT rowid FROM words WHERE words MATCH ? {only} ORDER BY rank, rowid LIMIT ?"
        values = (terms, limit) if allowed is None else (terms, _json(allowed), limit)

        def read(connection: sqlite3.Connection) -> list[Any]:
            connection.execute("SELECT 1 FROM words LIMIT 0").close()  # opens the table: interrupted, that would fail
            with interrupted_after(connection, self._patience):
                return connection.execute(sql, values).fetchall()

        try:
            return _keys(self.filter(read))
        except sqlite3.OperationalError as error:
            if "interrupted" not in str(error):
                raise
            raise VdistillError("the search for these words takes too long", hint="leave hybrid out") from error

    def thumbnail(self, sha256: str) -> bytes | None:
        """The small image that a pack has of this file, a JPEG; None where it has none."""
        if not self.has_thumbnails:
            return None
        found = self._all("SELECT image FROM thumbnails WHERE sha256 = ?", sha256)
        return found[0][0] if found else None

    @cached_property
    def has_thumbnails(self) -> bool:
        """Whether this is of a pack with thumbnails."""
        return bool(self._all("SELECT 1 FROM sqlite_master WHERE name = 'thumbnails'"))

    def use(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """The result of `read` on the connection, which no other thread uses meanwhile."""
        with self._lock:
            return read(self._connection)

    def filter_apart(self, patience: float) -> None:
        """Give filters and words a connection of their own from now on, for which no other reader waits.

        patience: seconds, after which a search for words is given up. The connection is opened here: later the file may
        be gone, when a newer index was published.
        """
        self._apart, self._patience = self._apart or Items(self.path), patience
        self._apart.use(lambda connection: connection.execute("PRAGMA temp_store = MEMORY"))  # no file fills a disk

    def filter(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """The result of `read`, which may take its time, on the connection for filters."""
        return (self._apart or self).use(read)

    def close(self) -> None:
        """Release the file."""
        self._connection.close()
        if self._apart:
            self._apart.close()

    def _all(self, sql: str, *values: Any) -> list[Any]:
        with self._lock:
            return self._connection.execute(sql, values).fetchall()


@contextmanager
def interrupted_after(connection: sqlite3.Connection, seconds: float | None) -> Iterator[None]:
    """Interrupt what the connection does in the block: asked between two rows, and a row may have hardly any steps."""
    if seconds is None:
        yield
        return
    timer = threading.Timer(seconds, connection.interrupt)
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # it must not interrupt whoever comes next


def _file(place: Place) -> Path:
    """The file that SQLite opens. Raises VdistillError where the items are not at the beginning of a pack."""
    if isinstance(place, Path):
        return place
    if place.span[0]:
        raise VdistillError(f"{place} is damaged: it does not begin with the items", hint=remedy(place))
    return place.pack.path


def describe(connection: sqlite3.Connection) -> None:
    """Fill `words`, `columns` and the products from the items."""
    columns = ColumnKinds()
    groups: dict[int, tuple[Key, ...]] = {}

    def words() -> Iterator[tuple[int, str]]:
        for key, metadata in _metadata(connection):
            columns.add(metadata)
            if found := tuple(groups_of(metadata)):
                groups[key] = found
            if text := words_of(metadata):
                yield key, indexable(text)

    connection.executemany("INSERT INTO words (rowid, text) VALUES (?, ?)", words())
    connection.executemany("INSERT INTO columns VALUES (?, ?)", list(columns.kinds().items()))
    write_products(connection, groups)


def kinds_of(connection: sqlite3.Connection) -> dict[str, Kind]:
    """What kind each column of the metadata is; a file of an older version does not record it, so it is worked out."""
    if has_column(connection, "main", "columns", "kind"):
        stored = connection.execute("SELECT name, kind FROM columns ORDER BY name")
        return {name: known_kind(kind) for name, kind in stored}
    columns = ColumnKinds()
    for _, metadata in _metadata(connection):
        columns.add(metadata)
    return columns.kinds()


def has_column(connection: sqlite3.Connection, schema: str, table: str, column: str) -> bool:
    """Whether a table has this column: files of older versions lack some."""
    found = connection.execute("SELECT 1 FROM pragma_table_info(?, ?) WHERE name = ?", (table, schema, column))
    return found.fetchone() is not None


def _metadata(connection: sqlite3.Connection) -> Iterator[tuple[int, dict[str, Any]]]:
    """Key and metadata of all items, by key."""
    for key, text in connection.execute("SELECT key, metadata FROM items ORDER BY key"):
        yield key, json.loads(text)


def _keys(rows: Sequence[tuple[int]]) -> np.ndarray:
    return np.array([row[0] for row in rows], np.uint64)


def _json(values: Sequence[Any] | np.ndarray) -> str:
    return json.dumps(values.tolist() if isinstance(values, np.ndarray) else list(values))
