"""The items of the next index in the making: what it takes over from the old one, and what has to be embedded."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from vdistill.bundle import items
from vdistill.bundle.items import COLUMNS, Row
from vdistill.images import file_sha256
from vdistill.inputs.catalog import Catalog, Skipped
from vdistill.records import Item
from vdistill.workspace import writing

_PART = 4096
# A vector is new because its picture is (fresh), or because another item had it in the old index (moved: `source`).
_TEMPORARY = """
    CREATE TEMP TABLE fresh (key INTEGER PRIMARY KEY);
    CREATE TEMP TABLE moved (key INTEGER PRIMARY KEY, source INTEGER NOT NULL);
"""
_NO_OLD = "CREATE TEMP VIEW old_items AS SELECT * FROM items WHERE 0"
_OLD = "CREATE TEMP VIEW old_items AS SELECT {columns}, {ctime} AS ctime_ns FROM old.items"


@dataclass(frozen=True, slots=True)
class Counts:
    """How the new items differ from the old ones."""

    items: int
    added: int
    updated: int
    removed: int


class Plan:
    """A new file of items beside that of the old index, which may be missing. Use it as a context manager.

    Everything lies in the file, so a catalog of any size is planned in the same memory. How SQLite reports a full disk,
    sqlite3.OperationalError, is left to the caller.
    """

    def __init__(self, path: Path, old: Path | None, first_key: int) -> None:
        self._path = path
        self._next = self.first_key = first_key
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, uri=True)
        self._db.execute("PRAGMA journal_mode = OFF")  # a file that was not finished is swept away
        self._db.execute("PRAGMA synchronous = OFF")
        if old is not None:
            self._db.execute("ATTACH ? AS old", (f"{old.resolve().as_uri()}?mode=ro&immutable=1",))
        self._db.executescript(items.SCHEMA + _TEMPORARY + (_NO_OLD if old is None else self._old()))
        self._db.execute("BEGIN")

    def __enter__(self) -> Plan:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    @property
    def next_key(self) -> int:
        """A key that no vector has yet."""
        return self._next

    def plan(self, catalog: Catalog, reusable: bool) -> list[Skipped]:
        """Enter the catalog: an image is what it was by size and times first, by content where these differ.

        Without `reusable` every picture is fresh: the old vectors are of another model or precision.
        Returns what could not be read.
        """
        if reusable:
            self._db.execute(
                "CREATE TEMP TABLE contents AS SELECT sha256, min(key) AS key FROM old_items GROUP BY sha256"
            )
            self._db.execute("CREATE INDEX temp.contents_sha256 ON contents (sha256)")
        skipped: list[Skipped] = []
        for start in range(0, len(catalog.items), _PART):
            part = catalog.items[start : start + _PART]
            known = self._known([item.id for item in part])
            for item in part:
                try:
                    self._enter(item, catalog, known.get(item.id), reusable)
                except OSError as error:
                    skipped.append(Skipped(item.id, (error.strerror or str(error)).lower()))
        return skipped

    def fresh(self) -> Iterator[Row]:
        """The items to embed, by key; the hash is empty where the file was not read yet."""
        last = -1
        sql = f"SELECT {COLUMNS} FROM fresh JOIN items USING (key) WHERE key > ? ORDER BY key LIMIT {_PART}"
        while part := self._db.execute(sql, (last,)).fetchall():
            for values in part:
                yield Row(*values)
            last = part[-1][0]

    def count_fresh(self) -> int:
        """How many there are to embed."""
        return self._one("SELECT count(*) FROM fresh")

    def count_new(self) -> int:
        """How many vectors the new index has that the old one has not."""
        return self._one("SELECT count(*) FROM items WHERE key >= ?", self.first_key)

    def embedded(self, rows: Sequence[Row]) -> None:
        """Note what was found of fresh items: their hashes."""
        self._db.executemany("UPDATE items SET sha256 = ? WHERE key = ?", [(row.sha256, row.key) for row in rows])

    def left_out(self, skipped: Sequence[Skipped]) -> None:
        """Take items out that cannot be embedded."""
        self._db.executemany("DELETE FROM items WHERE id = ?", [(one.id,) for one in skipped])

    def vectors_wanted(self, first: int) -> Iterator[list[tuple[int, int | None, str]]]:
        """Key, the key of the vector in the old index (None: embedded now) and hash, from key `first` on, in parts."""
        sql = f"""SELECT i.key, CASE WHEN i.key < ? THEN i.key ELSE m.source END, i.sha256
                  FROM items AS i LEFT JOIN moved AS m USING (key) WHERE i.key > ? ORDER BY i.key LIMIT {_PART}"""
        last = first - 1
        while part := self._db.execute(sql, (self.first_key, last)).fetchall():
            yield part
            last = part[-1][0]

    def unchanged(self) -> bool:
        """Whether the items are the old ones to the last letter, and described as today's version describes them."""
        if self._one("SELECT count(*) FROM items") != self._one("SELECT count(*) FROM old_items"):
            return False
        facts = f"{COLUMNS}, ctime_ns"
        changed = self._one(f"SELECT count(*) FROM (SELECT {facts} FROM items EXCEPT SELECT {facts} FROM old_items)")
        return not changed and items.has_column(self._db, "old", "columns", "kind")

    def counts(self) -> Counts:
        """What happened to the items; a known one is updated where picture or metadata changed."""
        total = self._one("SELECT count(*) FROM items")
        known = self._one("SELECT count(*) FROM items JOIN old_items USING (id)")
        sql = """SELECT count(*) FROM items AS new JOIN old_items AS old USING (id)
                 WHERE new.metadata != old.metadata OR new.key IN (SELECT key FROM fresh)"""
        removed = self._one("SELECT count(*) FROM old_items") - known
        return Counts(total, total - known, self._one(sql), removed)

    def finish(self) -> None:
        """Complete the file and sync it."""
        items.describe(self._db)
        self._db.execute("COMMIT")
        with self._path.open("rb") as file:
            os.fsync(file.fileno())

    def _old(self) -> str:
        """The old items; those of an older version have no change time."""
        known = items.has_column(self._db, "old", "items", "ctime_ns")
        return _OLD.format(columns=COLUMNS, ctime="ctime_ns" if known else "NULL")

    def _known(self, ids: Sequence[str]) -> dict[str, tuple[Row, int | None]]:
        """The old items among `ids`, each with its change time where that is known."""
        sql = f"SELECT {COLUMNS}, ctime_ns FROM old_items WHERE id IN (SELECT value FROM json_each(?))"
        return {values[1]: (Row(*values[:-1]), values[-1]) for values in self._db.execute(sql, (json.dumps(ids),))}

    def _enter(self, item: Item, catalog: Catalog, old: tuple[Row, int | None] | None, reusable: bool) -> None:
        status = item.path.stat()
        if not stat.S_ISREG(status.st_mode):  # to open a named pipe may wait for ever
            raise OSError(errno.EINVAL, "not a regular file")
        known, ctime_ns = old or (None, None)
        # Programs can put size and modification time back (`exiftool -P`), but not the change time.
        same = known is not None and (known.size, known.mtime_ns, ctime_ns) == _state(status)
        sha256 = known.sha256 if same and known else file_sha256(item.path) if reusable else ""
        key, source = None, None
        if reusable and known is not None and known.sha256 == sha256:
            key = known.key
        elif reusable and sha256:
            source = self._db.execute("SELECT key FROM contents WHERE sha256 = ?", (sha256,)).fetchone()
        if key is None:
            key, self._next = self._next, self._next + 1
            if source is None:
                self._db.execute("INSERT INTO fresh VALUES (?)", (key,))
            else:
                self._db.execute("INSERT INTO moved VALUES (?, ?)", (key, *source))
        metadata = json.dumps(item.metadata, ensure_ascii=False, sort_keys=True)
        path = item.path.relative_to(catalog.root).as_posix()
        size, mtime_ns, ctime_ns = _state(status)
        row = Row(key, item.id, path, sha256, size, mtime_ns, metadata)
        self._db.execute(
            f"INSERT INTO items ({COLUMNS}, ctime_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (*astuple(row), ctime_ns)
        )

    def _one(self, sql: str, *values: object) -> int:
        return int(self._db.execute(sql, values).fetchone()[0])


def _state(status: os.stat_result) -> tuple[int, int, int]:
    """Size, modification time and change time; on Windows the last is the time of creation."""
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns
