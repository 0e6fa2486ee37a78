"""The items of a catalog while a command works with them: in a temporary file, so that millions take little memory."""

from __future__ import annotations

import itertools
import json
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar, overload

from vdistill.inputs.listings.listed import Entry
from vdistill.records import Item
from vdistill.sources import Source, Stamp, joined, source_at

PART = 4096
PAGE = 512  # rows that are read or entered at once: Python's garbage collector walks over what lives longer
_CACHE = 16_384  # KiB of the file that stay in memory
_FILE = "id, file, size, mtime_ns, ctime_ns"
_ITEM = f"{_FILE}, metadata"
_ITEMS = "items LEFT JOIN metadata USING (id)"
_FILE_TYPES = "file TEXT, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER"
# Sorted before they are entered where they stay: what is next to one another is then read and written together. And
# metadata has a table of its own: to insert it costs a third of changing the rows of the items.
_SCHEMA = f"""
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA temp_store = FILE;
    PRAGMA cache_size = -{_CACHE};
    CREATE TABLE listed (number INTEGER PRIMARY KEY, id TEXT NOT NULL, {_FILE_TYPES}, metadata TEXT) STRICT;
    CREATE TABLE items (id TEXT PRIMARY KEY, {_FILE_TYPES}) STRICT, WITHOUT ROWID;
    CREATE TABLE metadata (id TEXT PRIMARY KEY, metadata TEXT NOT NULL) STRICT, WITHOUT ROWID;
"""

T = TypeVar("T")


class ItemFile(NamedTuple):
    """Where the image of an item is; the fields are those of `Item`, without the metadata."""

    id: str
    file: str
    stamp: Stamp | None

    @property
    def source(self) -> Source:
        """Where its bytes are."""
        return source_at(self.file, self.stamp)


class ItemTable(Sequence[Item]):
    """The items of a catalog, in the order of their ids. May be shared between threads."""

    def __init__(self, root: str) -> None:
        self._root, self._lock = root, threading.Lock()
        self._start = joined(root, "")
        self._count = 0
        self._elsewhere: dict[str, str] | None = None  # the files whose locators are not their ids
        self._forms: set[Callable[[str], str]] = set()
        # An empty name: a file that SQLite removes itself, also when the process dies; small ones stay in memory.
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        weakref.finalize(self, self._db.close)
        self._db.executescript(_SCHEMA)

    def enter(self, entries: Iterable[Entry]) -> None:
        """Enter items, in any order; they are there once `index` has followed."""
        with self._lock:
            self._db.execute("BEGIN")
            for part in parts(entries, PAGE):
                if all(one.file is None and one.stamp is None and not one.metadata for one in part):
                    some = ", ".join(["(?)"] * len(part))  # of most catalogs: a value costs more than its row
                    self._db.execute(f"INSERT INTO listed (id) VALUES {some}", [one.id for one in part])
                else:
                    rows = [(one.id, one.file, *(one.stamp or (None, None, None)), _text(one.metadata)) for one in part]
                    self._db.executemany(f"INSERT INTO listed ({_ITEM}) VALUES (?, ?, ?, ?, ?, ?)", rows)
            self._db.execute("COMMIT")

    def index(self) -> list[str]:  # type: ignore[override]
        """Order what was entered; returns the ids that several had, of which the first is kept."""
        entered = self._all("SELECT count(*) FROM listed")[0][0]
        kept = self._run(f"INSERT OR IGNORE INTO items SELECT {_FILE} FROM listed ORDER BY id, number")
        self._count += kept
        found = []
        if kept < entered:
            found = [key for (key,) in self._all("SELECT id FROM listed GROUP BY id HAVING count(*) > 1")]
            self._run("DELETE FROM listed WHERE number NOT IN (SELECT min(number) FROM listed GROUP BY id)")
        self._run("INSERT INTO metadata SELECT id, metadata FROM listed WHERE metadata IS NOT NULL ORDER BY id")
        self._run("DELETE FROM listed")
        return found

    def remove(self, others: ItemTable) -> None:
        """Remove the items whose ids are among those of another table."""
        for part in parts(self.ids()):
            there = [*others.texts_of(part)]
            some = f"WHERE id IN ({_marks(there)})"
            self._count -= self._run(f"DELETE FROM items {some}", *there)
            self._run(f"DELETE FROM metadata {some}", *there)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Item]:
        return map(self._item, self._rows(_ITEM, _ITEMS))

    def ids(self) -> Iterator[str]:
        """The ids, in order."""
        return (key for (key,) in self._rows("id", "items"))

    def files(self) -> Iterator[ItemFile]:
        """Where the images are, in the order of their ids."""
        return (ItemFile(key, self._at(key, file), _stamp(*stamp)) for key, file, *stamp in self._rows(_FILE, "items"))

    def mentioning(self, columns: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """The items with any of these columns, and perhaps others: id and metadata of each, in order.

        columns: names in ASCII; the texts are searched for them, and only those that have one are read.
        """
        some = " OR ".join(f"instr(metadata, '\"{column}\"')" for column in columns)
        return ((key, read(metadata)) for key, metadata in self._rows("id, metadata", "metadata", some))

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
        return bool(self._all("SELECT 1 FROM items WHERE id = ?", key))

    def texts_of(self, keys: Sequence[str]) -> dict[str, str | None]:
        """Those of at most `PART` ids that there are, each with what is known of the item, as JSON."""
        return dict(self._called(keys, "id, metadata"))

    def of(self, keys: Sequence[str]) -> dict[str, Item]:
        """Those items that there are, by id. keys: at most `PART`."""
        return {row[0]: self._item(row) for row in self._called(keys, _ITEM)}

    def file_of(self, key: str) -> str:
        """The locator of an item's image."""
        if self._elsewhere is None:  # of most catalogs none are
            self._elsewhere = dict(self._all("SELECT id, file FROM items WHERE file IS NOT NULL"))
        return self._at(key, self._elsewhere.get(key))

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
        for part in parts(rows, PAGE):
            some = ", ".join(["(?, ?)"] * len(part))
            values = [value for key, metadata in part for value in (key, written(metadata))]
            self._run(f"INSERT OR REPLACE INTO metadata VALUES {some}", *values)

    def _from(self, start: int, count: int) -> list[Item]:
        found = self._all(f"SELECT {_ITEM} FROM {_ITEMS} ORDER BY id LIMIT ? OFFSET ?", max(0, count), start)
        return [self._item(row) for row in found]

    def _item(self, row: tuple[Any, ...]) -> Item:
        key, file, size, mtime_ns, ctime_ns, metadata = row
        return Item(key, self._at(key, file), read(metadata) if metadata else {}, _stamp(size, mtime_ns, ctime_ns))

    def _at(self, key: str, file: str | None) -> str:
        return joined(self._root, file) if file else self._start + key

    def _rows(self, columns: str, table: str, where: str = "1") -> Iterator[tuple[Any, ...]]:
        """What a table has in `columns`, of which the id is the first, in the order of the ids."""
        last = ""  # read in pages: other threads may ask meanwhile
        sql = f"SELECT {columns} FROM {table} WHERE id > ? AND ({where}) ORDER BY id LIMIT {PAGE}"
        while page := self._all(sql, last):
            yield from page
            last = page[-1][0]

    def _called(self, keys: Sequence[str], columns: str) -> list[Any]:
        return self._all(f"SELECT {columns} FROM {_ITEMS} WHERE id IN ({_marks(keys)})", *keys)

    def _run(self, sql: str, *values: Any) -> int:
        """How many rows a statement changed."""
        with self._lock:
            return self._db.execute(sql, values).rowcount

    def _all(self, sql: str, *values: Any) -> list[Any]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()


def parts(given: Iterable[T], size: int = PART) -> Iterator[list[T]]:
    """Lists of at most `size`."""
    rest = iter(given)
    while part := list(itertools.islice(rest, size)):
        yield part


def _stamp(size: int | None, mtime_ns: int | None, ctime_ns: int | None) -> Stamp | None:
    return None if size is None or mtime_ns is None or ctime_ns is None else (size, mtime_ns, ctime_ns)


def _marks(values: Sequence[Any]) -> str:
    return ",".join("?" * len(values))


def read(text: str) -> dict[str, Any]:
    """Metadata that `written` wrote."""
    row: dict[str, Any] = _DECODER.raw_decode(text)[0]
    return row


def _text(metadata: Mapping[str, Any]) -> str | None:
    return written(metadata) if metadata else None


# Both are made once: the functions of `json` make one for each item. What comes from a table has no circles.
_DECODER = json.JSONDecoder()
written = json.JSONEncoder(ensure_ascii=False, check_circular=False).encode
