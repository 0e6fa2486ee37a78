"""The items of a catalog while a command works with them: in a temporary file, so that millions take little memory."""

from __future__ import annotations

import itertools
import json
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, overload

from vdistill.inputs.listings.listed import Entry
from vdistill.records import Item
from vdistill.sources import joined

PART = 4096
_CACHE = 16_384  # KiB of the file that stay in memory
_COLUMNS = "id, file, size, mtime_ns, ctime_ns, metadata"
_SCHEMA = f"""
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA temp_store = FILE;
    PRAGMA cache_size = -{_CACHE};
    CREATE TABLE items (
        number INTEGER PRIMARY KEY, id TEXT NOT NULL, file TEXT, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER,
        metadata TEXT
    ) STRICT;
"""

T = TypeVar("T")


class ItemTable(Sequence[Item]):
    """The items of a catalog, in the order of their ids. May be shared between threads."""

    def __init__(self, root: str) -> None:
        self._root, self._lock = root, threading.Lock()
        self._start = joined(root, "")
        self._last: tuple[str, str | None] = "", None  # what was asked for last, which is often asked for again
        self._forms: set[Callable[[str], str]] = set()
        # An empty name: a file that SQLite removes itself, also when the process dies; small ones stay in memory.
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self._db.close)
        self._db.executescript(_SCHEMA)

    def enter(self, entries: Iterable[Entry]) -> None:
        """Enter items, in any order; `index` is to follow."""
        rows = (
            (one.id, one.file, *(one.stamp or (None, None, None)), _json(one.metadata) if one.metadata else None)
            for one in entries
        )
        with self._lock:
            self._db.execute("BEGIN")
            self._db.executemany(f"INSERT INTO items ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", rows)
            self._db.execute("COMMIT")

    def index(self) -> list[str]:  # type: ignore[override]
        """Order what was entered; returns the ids that several had, of which the first is kept."""
        self._all("CREATE INDEX items_id ON items (id)")
        found = self._all("SELECT id, min(number) FROM items GROUP BY id HAVING count(*) > 1")
        for key, first in found:
            self._all("DELETE FROM items WHERE id = ? AND number > ?", key, first)
        return [key for key, _ in found]

    def remove(self, others: ItemTable) -> None:
        """Remove the items whose ids are among those of another table."""
        for key in [item.id for item in self if others.has(item.id)]:
            self._all("DELETE FROM items WHERE id = ?", key)

    def __len__(self) -> int:
        return int(self._all("SELECT count(*) FROM items")[0][0])

    def __iter__(self) -> Iterator[Item]:
        last = ""  # read in pages: other threads may ask meanwhile
        while page := self._all(f"SELECT {_COLUMNS} FROM items WHERE id > ? ORDER BY id LIMIT {PART}", last):
            yield from map(self._item, page)
            last = page[-1][0]

    @overload
    def __getitem__(self, place: int) -> Item: ...
    @overload
    def __getitem__(self, place: slice) -> list[Item]: ...
    def __getitem__(self, place: int | slice) -> Item | list[Item]:
        if isinstance(place, slice):
            start, stop, step = place.indices(len(self))
            return self._from(start, stop - start)[::step] if step > 0 else [*self][place]
        found = self._from(place % len(self), 1) if -len(self) <= place < len(self) else []
        if not found:
            raise IndexError(place)
        return found[0]

    def has(self, key: str) -> bool:
        """Whether there is an item of this id."""
        self._last = next(iter(self._all("SELECT id, metadata FROM items WHERE id = ?", key)), ("", None))
        return self._last[0] == key

    def metadata_of(self, key: str) -> dict[str, Any] | None:
        """What is known of an item; None where nothing is."""
        if self._last[0] != key:
            self.has(key)
        return _read(self._last[1]) if self._last[1] else None

    def written_as(self, form: Callable[[str], str], name: str) -> list[str]:
        """The ids whose `form` is that of `name`, in order."""
        called = form.__name__.strip("_")
        if form not in self._forms:
            self._db.create_function(called, 1, form, deterministic=True)
            self._all(f"CREATE INDEX items_{called} ON items ({called}(id))")
            self._forms.add(form)
        return [key for (key,) in self._all(f"SELECT id FROM items WHERE {called}(id) = ? ORDER BY id", form(name))]

    def set_metadata(self, rows: Iterable[tuple[str, Mapping[str, Any]]]) -> None:
        """What is known of items from now on, by id."""
        self._last = "", None
        with self._lock:
            self._db.execute("BEGIN")
            self._db.executemany(
                "UPDATE items SET metadata = ? WHERE id = ?", ((_json(metadata), key) for key, metadata in rows)
            )
            self._db.execute("COMMIT")

    def _from(self, start: int, count: int) -> list[Item]:
        found = self._all(f"SELECT {_COLUMNS} FROM items ORDER BY id LIMIT ? OFFSET ?", max(0, count), start)
        return [self._item(row) for row in found]

    def _item(self, row: tuple[Any, ...]) -> Item:
        key, file, size, mtime_ns, ctime_ns, metadata = row
        stamp = None if ctime_ns is None else (size, mtime_ns, ctime_ns)
        where = joined(self._root, file) if file else self._start + key
        return Item(key, where, _read(metadata) if metadata else {}, stamp)

    def _all(self, sql: str, *values: Any) -> list[Any]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()


def parts(given: Iterable[T], size: int = PART) -> Iterator[list[T]]:
    """Lists of at most `size`."""
    rest = iter(given)
    while part := list(itertools.islice(rest, size)):
        yield part


# Both are made once: the functions of `json` make one for each item.
_read = json.JSONDecoder().decode
_json = json.JSONEncoder(ensure_ascii=False).encode
