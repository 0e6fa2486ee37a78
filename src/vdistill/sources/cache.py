"""What was read from elsewhere, kept on this disk: files by content hash, and a map from locator and version to them.

It holds at most as many bytes as it may; what was used least recently goes first. Processes and threads may share one.
Whatever goes wrong with it (damage, a full disk, a lock) costs time alone: the bytes are then fetched again.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import sqlite3
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, TypeVar

T = TypeVar("T")

_FILE = "map.db"
_FULL = 0.9  # of the limit is what making room leaves
_FRESH = 60.0  # s; a use within this time after the last is not noted
_LEFT = 3600.0  # s; an unfinished file that is older is of a process that died
_SCHEMA = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = OFF;
    CREATE TABLE IF NOT EXISTS places (place BLOB PRIMARY KEY, sha256 TEXT NOT NULL) STRICT, WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS places_sha256 ON places (sha256);
    CREATE TABLE IF NOT EXISTS files (sha256 TEXT PRIMARY KEY, size INTEGER NOT NULL, used REAL NOT NULL) STRICT;
    CREATE INDEX IF NOT EXISTS files_used ON files (used);
    CREATE TABLE IF NOT EXISTS total (one INTEGER PRIMARY KEY CHECK (one = 1), bytes INTEGER NOT NULL) STRICT;
    INSERT OR IGNORE INTO total VALUES (1, 0);
    CREATE TRIGGER IF NOT EXISTS added AFTER INSERT ON files BEGIN UPDATE total SET bytes = bytes + new.size; END;
    CREATE TRIGGER IF NOT EXISTS removed AFTER DELETE ON files BEGIN
        UPDATE total SET bytes = bytes - old.size;
        DELETE FROM places WHERE sha256 = old.sha256;
    END;
    SELECT bytes FROM total
"""


def through_cache(locator: str, version: str, fetch: Callable[[], bytes]) -> BinaryIO:
    """The bytes of `locator`, which are the same as long as `version` is: from the cache, else from `fetch`.

    Without a cache they are fetched. Raises what `fetch` raises.
    """
    cache = _in_use[-1]
    if cache is None:
        return io.BytesIO(fetch())
    found = cache.get(locator, version)
    if found is None:
        found = fetch()
        cache.put(locator, version, found)
    return io.BytesIO(found)


def use_cache(folder: Path | None, gib: float) -> None:
    """Keep what this process reads from elsewhere in `folder`, at most `gib` GiB; None or 0 for nowhere."""
    _in_use[:] = [Cache(folder, int(gib * 2**30)) if folder and gib > 0 else None]


def cache_in_use() -> Cache | None:
    """The cache of this process."""
    return _in_use[-1]


class Cache:
    """Files of at most `limit` bytes together, in a folder."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit, self._lock = folder, limit, threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._process = 0

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self._folder

    def get(self, locator: str, version: str) -> bytes | None:
        """The bytes; None where they are not here, or damaged."""
        place = _place(locator, version)
        sql = "SELECT sha256, used FROM places JOIN files USING (sha256) WHERE place = ?"
        found = self._do(lambda db: db.execute(sql, (place,)).fetchone())
        if found is None:
            return None
        sha256, used = found
        with contextlib.suppress(OSError):
            data = self._path(sha256).read_bytes()
            if hashlib.sha256(data).hexdigest() == sha256:
                if abs((now := time.time()) - used) > _FRESH:
                    self._do(lambda db: db.execute("UPDATE files SET used = ? WHERE sha256 = ?", (now, sha256)))
                return data
        self._do(lambda db: self._remove(db, sha256))
        return None

    def put(self, locator: str, version: str, data: bytes) -> None:
        """Keep these bytes, where there is room."""
        if len(data) > self._limit * _FULL:
            return
        sha256 = hashlib.sha256(data).hexdigest()
        # The row comes first: a file that no row names would never be removed.
        if self._do(lambda db: self._enter(db, sha256, len(data), _place(locator, version))) is None:
            return
        try:
            self._write(sha256, data)
        except OSError:
            self._do(lambda db: self._remove(db, sha256))

    def _write(self, sha256: str, data: bytes) -> None:
        path = self._path(sha256)
        with contextlib.suppress(OSError):
            if path.stat().st_size == len(data):
                return
        unfinished = self._folder / "unfinished" / uuid.uuid4().hex
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.parent.mkdir(exist_ok=True)
        try:
            unfinished.write_bytes(data)
            if not self._do(lambda db: self._publish(db, sha256, unfinished)):
                raise OSError("not kept")
        finally:
            unfinished.unlink(missing_ok=True)

    def _publish(self, db: sqlite3.Connection, sha256: str, unfinished: Path) -> bool:
        """Give a file its name, unless it had to make room while it was written."""
        with _transaction(db):
            if db.execute("SELECT 1 FROM files WHERE sha256 = ?", (sha256,)).fetchone():
                os.replace(unfinished, self._path(sha256))  # noqa: PTH105
        return True

    def _enter(self, db: sqlite3.Connection, sha256: str, size: int, place: bytes) -> bool:
        """Note a file, after making room for it."""
        with _transaction(db):
            if db.execute("SELECT 1 FROM files WHERE sha256 = ?", (sha256,)).fetchone() is None:
                ((held,),) = db.execute("SELECT bytes FROM total").fetchall()
                if held + size > self._limit:
                    self._make_room(db, held - int(self._limit * _FULL) + size)
                db.execute("INSERT INTO files VALUES (?, ?, ?)", (sha256, size, time.time()))
            db.execute("INSERT OR REPLACE INTO places VALUES (?, ?)", (place, sha256))
        return True

    def _make_room(self, db: sqlite3.Connection, size: int) -> None:
        oldest = db.execute("SELECT sha256, size FROM files ORDER BY used")
        going = []
        while size > 0 and (row := oldest.fetchone()):
            going.append(row[0])
            size -= row[1]
        oldest.close()
        for sha256 in going:
            self._remove(db, sha256)

    def _remove(self, db: sqlite3.Connection, sha256: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            try:
                self._path(sha256).unlink()
            except PermissionError:  # Windows: somebody reads it
                return
        db.execute("DELETE FROM files WHERE sha256 = ?", (sha256,))

    def _path(self, sha256: str) -> Path:
        return self._folder / "files" / sha256[:2] / sha256

    def _do(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        """The result of `work` on the map; None where it cannot be used now. A damaged one is made anew."""
        with self._lock:
            try:
                return work(self._connection())
            except (OSError, sqlite3.OperationalError):
                return None
            except sqlite3.DatabaseError:
                self._clear()
                return None

    def _connection(self) -> sqlite3.Connection:
        if self._db is None or self._process != os.getpid():  # a connection must not be carried through a fork
            self._folder.mkdir(parents=True, exist_ok=True)
            db = sqlite3.connect(self._folder / _FILE, timeout=5, isolation_level=None, check_same_thread=False)
            try:
                db.executescript(_SCHEMA)
            except sqlite3.Error:
                db.close()
                raise
            weakref.finalize(self, db.close)
            self._db, self._process = db, os.getpid()
            self._remove_unfinished()
        return self._db

    def _remove_unfinished(self) -> None:
        folder = self._folder / "unfinished"
        for path in folder.iterdir() if folder.is_dir() else ():
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < time.time() - _LEFT:
                    path.unlink()

    def _clear(self) -> None:
        """Remove all: a damaged map does not tell which files there are."""
        if self._db is not None:
            self._db.close()
            self._db = None
        for name in (_FILE, f"{_FILE}-wal", f"{_FILE}-shm"):
            with contextlib.suppress(OSError):
                (self._folder / name).unlink()
        shutil.rmtree(self._folder / "files", ignore_errors=True)


_in_use: list[Cache | None] = [None]


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def _place(locator: str, version: str) -> bytes:
    """Their hash: a locator may hold a signature, which is not for a disk."""
    return hashlib.sha256(f"{version}\0{locator}".encode("utf-8", "surrogateescape")).digest()
