"""The items of the next index: what it takes over from the old one, and what has to be embedded."""

from __future__ import annotations

import json
import sqlite3
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import NamedTuple

from vdistill.bundle import items
from vdistill.bundle.items import COLUMNS, Row
from vdistill.images import file_sha256
from vdistill.inputs.catalog import Catalog
from vdistill.inputs.item_table import PART, parts
from vdistill.inputs.listings import Skipped
from vdistill.records import Item
from vdistill.sources import Stamp, is_remote, order, relative
from vdistill.sources.http import known_stamps
from vdistill.sources.read_ahead import readers
from vdistill.workspace import writing

# A key is new because its image has to be embedded (fresh), or because another item had the vector (moved: `source`).
_TEMPORARY = """
    CREATE TEMP TABLE fresh (key INTEGER PRIMARY KEY);
    CREATE TEMP TABLE moved (key INTEGER PRIMARY KEY, source INTEGER NOT NULL);
"""


Content = Callable[[str, str], str]  # from the hash of an item's image and its metadata to what its vector is made of


def of_image(sha256: str, _metadata: str) -> str:
    """A vector that is made of the image alone."""
    return sha256


class WantedVector(NamedTuple):
    """A vector of the next index.  old_key: of the same vector in the old index; None where it is embedded now.

    metadata: of the item, as JSON.
    """

    key: int
    old_key: int | None
    sha256: str
    metadata: str


@dataclass(frozen=True, slots=True)
class Counts:
    """How the new items differ from the old ones.  by_text: how many have no image, and are indexed by their texts."""

    items: int
    added: int
    updated: int
    removed: int
    by_text: int


class Plan:
    """The new file of items, beside that of the old index, which may be missing. Use it as a context manager.

    Everything is kept in the file, so planning a catalog of any size takes the same memory. A full disk is reported as
    SQLite reports it, by sqlite3.OperationalError.
    """

    def __init__(self, path: Path, old: Path | None, first_key: int, content: Content = of_image) -> None:
        """content: what a vector is made of."""
        self.next_key = self.first_key = first_key
        self._content = content
        self._rows: list[tuple[int | str, ...]] = []  # not written yet
        self._fresh: list[tuple[int]] = []
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
        self._db = sqlite3.connect(path, isolation_level=None, uri=True, check_same_thread=False)
        weakref.finalize(self, self._db.close)  # also where the old index turns out to be damaged
        self._db.create_function("content", 2, content, deterministic=True)
        self._db.create_function("order_", 1, order, deterministic=True)
        self._db.execute("PRAGMA journal_mode = OFF")  # the manifest names no unfinished file
        if old is not None:
            self._db.execute("ATTACH ? AS old", (f"{old.resolve().as_uri()}?mode=ro&immutable=1",))
        # One transaction for all, whose end syncs the file.
        self._db.executescript(f"BEGIN; {items.SCHEMA} {_TEMPORARY} {self._old_items(old is not None)}")

    def __enter__(self) -> Plan:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def enter(self, catalog: Catalog, *, reuse: bool) -> list[Skipped]:
        """Enter the catalog's items; returns those that could not be read.

        An image counts as unchanged by its size and times, else by its content; a vector is, where the content of both
        image and texts is. Without `reuse` every image has to be embedded: the old vectors are of another model or
        precision.
        """
        if reuse:
            self._db.execute(
                "CREATE TEMP TABLE contents AS SELECT content(sha256, metadata) AS content, min(key) AS key "
                "FROM old_items GROUP BY 1"
            )
            self._db.execute("CREATE INDEX temp.contents_content ON contents (content)")
        skipped: list[Skipped] = []
        for part in parts(catalog.items):
            known = self._known([item.id for item in part])
            for item, facts in zip(part, self._facts(part, known, reuse), strict=True):
                try:
                    self._enter(item, catalog.root, known.get(item.id), facts(), reuse)
                except OSError as error:
                    skipped.append(Skipped(item.id, (error.strerror or str(error)).lower(), passing=True))
            self._write()
        return skipped

    def enter_texts(self, items: Sequence[Item], root: str, *, reuse: bool) -> None:
        """Enter items whose vectors are made of their texts alone; their hash is empty, as size and times are.

        They have no image, or one that cannot be read now.
        """
        for part in parts(items):
            known = self._known([item.id for item in part])
            for item in part:
                old, _ = known.get(item.id, (None, None))
                metadata = _json(item.metadata)
                key = self._key(old, "", metadata, reuse=reuse, embedded=False)
                self._rows.append((key, item.id, relative(root, str(item.file)), "", 0, 0, metadata, 0))
            self._write()

    def forget_images(self, ids: Iterable[str], passing: Iterable[str] = ()) -> None:
        """Note that these items are indexed by their texts, since their images cannot be read.

        passing: those of them whose images may be readable at another time: the next build tries again.
        """
        self._db.executemany("UPDATE items SET sha256 = '' WHERE id = ?", [(one,) for one in ids])
        unknown = "UPDATE items SET size = 0, mtime_ns = 0, ctime_ns = 0 WHERE id = ?"
        self._db.executemany(unknown, [(one,) for one in passing])

    def metadata_of(self, ids: Sequence[str]) -> dict[str, str]:
        """The metadata of some items, as JSON."""
        sql = "SELECT id, metadata FROM items WHERE id IN (SELECT value FROM json_each(?))"
        return dict(self._db.execute(sql, (json.dumps(list(ids)),)))

    def fresh(self) -> Iterator[Row]:
        """The items to embed, as they are best read; the hash is empty where the file was not read yet."""
        self._db.execute(
            "CREATE TEMP TABLE reading AS SELECT key FROM fresh JOIN items USING (key) ORDER BY order_(path), key, key"
        )
        last = 0  # read in pages: items are changed meanwhile
        sql = f"""SELECT reading.rowid, {COLUMNS}, ctime_ns FROM reading JOIN items USING (key)
                  WHERE reading.rowid > ? ORDER BY reading.rowid LIMIT {PART}"""
        while page := self._db.execute(sql, (last,)).fetchall():
            yield from (Row(*values[1:]) for values in page)
            last = page[-1][0]

    def count_fresh(self) -> int:
        """How many items there are to embed."""
        return self._one("SELECT count(*) FROM fresh")

    def count_new(self) -> int:
        """How many vectors the new index has that the old one has not."""
        return self._one("SELECT count(*) FROM items WHERE key >= ?", self.first_key)

    def set_hashes(self, rows: Sequence[Row]) -> None:
        """Note the hashes of items that were embedded."""
        self._db.executemany("UPDATE items SET sha256 = ? WHERE key = ?", [(row.sha256, row.key) for row in rows])

    def remove(self, skipped: Sequence[Skipped]) -> None:
        """Remove items that cannot be embedded."""
        self._db.executemany("DELETE FROM items WHERE id = ?", [(one.id,) for one in skipped])

    def vectors_wanted(self, first: int) -> Iterator[list[WantedVector]]:
        """The vectors of the new index from key `first` on, by key, in parts."""
        sql = """SELECT i.key, CASE WHEN i.key < ? THEN i.key ELSE m.source END, i.sha256, i.metadata
                 FROM items AS i LEFT JOIN moved AS m USING (key) WHERE i.key >= ? ORDER BY i.key"""
        found = self._db.execute(sql, (self.first_key, first))
        while part := found.fetchmany(PART):
            yield [WantedVector(*values) for values in part]

    def unchanged(self) -> bool:
        """Whether the items equal the old ones in every value, and the old file is of today's format."""
        if self._one("SELECT count(*) FROM items") != self._one("SELECT count(*) FROM old_items"):
            return False
        facts = f"{COLUMNS}, ctime_ns"
        changed = self._one(f"SELECT count(*) FROM (SELECT {facts} FROM items EXCEPT SELECT {facts} FROM old_items)")
        return not changed and items.has_column(self._db, "old", "products", "images")

    def counts(self) -> Counts:
        """What happened to the items; one that was there before is updated where its image or metadata changed."""
        total = self._one("SELECT count(*) FROM items")
        known = self._one("SELECT count(*) FROM items JOIN old_items USING (id)")
        sql = """SELECT count(*) FROM items AS new JOIN old_items AS old USING (id)
                 WHERE new.metadata != old.metadata OR new.key IN (SELECT key FROM fresh)"""
        removed = self._one("SELECT count(*) FROM old_items") - known
        by_text = self._one("SELECT count(*) FROM items WHERE sha256 = ''")
        return Counts(total, total - known, self._one(sql), removed, by_text)

    def finish(self) -> None:
        """Complete the file and sync it."""
        items.describe(self._db)
        self._db.execute("COMMIT")

    def _old_items(self, exist: bool) -> str:
        """The statement for the view of the old items; those of an older version have no change time."""
        if not exist:
            return "CREATE TEMP VIEW old_items AS SELECT * FROM items WHERE 0"
        ctime = "ctime_ns" if items.has_column(self._db, "old", "items", "ctime_ns") else "NULL AS ctime_ns"
        return f"CREATE TEMP VIEW old_items AS SELECT {COLUMNS}, {ctime} FROM old.items"

    def _known(self, ids: Sequence[str]) -> dict[str, tuple[Row, int | None]]:
        """The old items among `ids`, each with its change time where that is known."""
        sql = f"SELECT {COLUMNS}, ctime_ns FROM old_items WHERE id IN (SELECT value FROM json_each(?))"
        return {values[1]: (Row(*values[:-1]), values[-1]) for values in self._db.execute(sql, (json.dumps(ids),))}

    def _facts(
        self, part: Sequence[Item], known: Mapping[str, tuple[Row, int | None]], reuse: bool
    ) -> list[Callable[[], tuple[Stamp, str]]]:
        """For each item how to get its stamp and hash, which may raise OSError; what is elsewhere is asked at once."""
        known_now = known_stamps(item.file for item in part if item.stamp is None)
        stamps = [item.stamp or known_now.get(str(item.file)) for item in part]

        def same(item: Item, state: Stamp) -> str | None:
            old, ctime_ns = known.get(item.id, (None, None))
            return old.sha256 if old is not None and (old.size, old.mtime_ns, ctime_ns) == state else None

        def facts(item: Item, stamp: Stamp | None) -> tuple[Stamp, str]:
            state = stamp or item.source.stamp()
            sha256 = same(item, state)
            return state, sha256 if sha256 is not None else file_sha256(item.source) if reuse else ""

        def waits(item: Item, stamp: Stamp | None) -> bool:
            return is_remote(item.file) and (stamp is None or (reuse and same(item, stamp) is None))

        given, waiting = [*map(partial, repeat(facts), part, stamps)], [*map(waits, part, stamps)]
        if not any(waiting):
            return list(given)
        with readers([item.file for item in part]) as executor:
            return [executor.submit(one).result if long else one for one, long in zip(given, waiting, strict=True)]

    def _enter(
        self, item: Item, root: str, old: tuple[Row, int | None] | None, facts: tuple[Stamp, str], reuse: bool
    ) -> None:
        known, (state, sha256) = old[0] if old else None, facts
        path = relative(root, str(item.file))
        metadata = _json(item.metadata)
        key = self._key(known, sha256, metadata, reuse=reuse)
        self._rows.append((key, item.id, path, sha256, *state[:2], metadata, state[2]))

    def _write(self) -> None:
        """Write what was entered since the last time."""
        self._db.executemany(f"INSERT INTO items ({COLUMNS}, ctime_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?)", self._rows)
        self._db.executemany("INSERT INTO fresh VALUES (?)", self._fresh)
        self._rows.clear()
        self._fresh.clear()

    def _key(self, known: Row | None, sha256: str, metadata: str, *, reuse: bool, embedded: bool = True) -> int:
        """The old key where the vector is still that of the old item, else a new one."""
        content = self._content(sha256, metadata) if reuse else ""
        if reuse and known and self._content(known.sha256, known.metadata) == content:
            return known.key
        return self._new_key(content, embedded)

    def _new_key(self, content: str, embedded: bool) -> int:
        """The next key, noted as moved where the old index has the vector of this content, else as fresh."""
        key, self.next_key = self.next_key, self.next_key + 1
        found = "SELECT key FROM contents WHERE content = ?"
        source = self._db.execute(found, (content,)).fetchone() if content else None
        if source is None and embedded:
            self._fresh.append((key,))
        elif source is not None:
            self._db.execute("INSERT INTO moved VALUES (?, ?)", (key, *source))
        return key

    def _one(self, sql: str, *values: object) -> int:
        return int(self._db.execute(sql, values).fetchone()[0])


# Made once: `json.dumps` would make one for each item. Metadata was JSON before, which has no circles.
_json = json.JSONEncoder(ensure_ascii=False, sort_keys=True, check_circular=False).encode
