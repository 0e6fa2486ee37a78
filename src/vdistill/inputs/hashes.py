"""What files contain, as hashes that are read once: a cache by path, size and times, in the workspace."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from vdistill.images import file_sha256
from vdistill.records import Item

FILE = "hashes.db"
MANY = 20_000  # files; to read so many takes long enough to say why

_PART = 4096
_SETTLED = 2 * 10**9  # ns; a file touched later than this before it was read may change once more at the same time
_SCHEMA = """
    CREATE TABLE IF NOT EXISTS files (
        path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,
        sha256 TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
"""

Status = tuple[int, int, int]  # size, time of the last change of the content, of anything


class Hashes:
    """Content hashes of files. A hash holds as long as size, modification and change time of the file are the same."""

    def __init__(self, connection: sqlite3.Connection | None) -> None:
        self._connection = connection

    @classmethod
    @contextlib.contextmanager
    def open(cls, cache: Path | None) -> Iterator[Hashes]:
        """Those kept in the folder `cache`; without one, or where it cannot be used, everything is read anew."""
        connection = None if cache is None else _connect(cache)
        try:
            yield cls(connection)
        finally:
            if connection is not None:
                connection.close()

    def of(self, items: Sequence[Item], say: Callable[[str], None] = lambda _: None) -> dict[str, str]:
        """The hash of each item's file by id; a file that cannot be read is absent."""
        found: dict[str, str] = {}
        stale: list[tuple[Item, Status]] = []
        for start in range(0, len(items), _PART):
            part = [(item, status) for item in items[start : start + _PART] if (status := _status(item.path))]
            known = self._known([os.fsencode(item.path) for item, _ in part])
            for item, status in part:
                kept = known.get(os.fsencode(item.path))
                if kept is not None and kept[:3] == status:
                    found[item.id] = kept[3]
                else:
                    stale.append((item, status))
        if len(stale) >= MANY:
            say(f"reading {len(stale):,} image files once, to know which are equal")
        for start in range(0, len(stale), _PART):
            found.update(self._read(stale[start : start + _PART]))
        return found

    def _read(self, part: Sequence[tuple[Item, Status]]) -> dict[str, str]:
        now = time.time_ns()
        with ThreadPoolExecutor() as executor:
            hashes = list(executor.map(_hash, [item.path for item, _ in part]))
        self._keep(
            [
                (os.fsencode(item.path), *status, sha256)
                for (item, status), sha256 in zip(part, hashes, strict=True)
                if sha256 and max(status[1:]) < now - _SETTLED
            ]
        )
        return {item.id: sha256 for (item, _), sha256 in zip(part, hashes, strict=True) if sha256}

    def _known(self, paths: Sequence[bytes]) -> Mapping[bytes, tuple[int, int, int, str]]:
        if self._connection is None:
            return {}
        found = {}
        with contextlib.suppress(sqlite3.Error):
            for begin in range(0, len(paths), 500):
                few = paths[begin : begin + 500]
                marks = ",".join("?" * len(few))
                sql = f"SELECT path, size, mtime_ns, ctime_ns, sha256 FROM files WHERE path IN ({marks})"
                found.update({row[0]: row[1:] for row in self._connection.execute(sql, few)})
        return found

    def _keep(self, rows: Sequence[tuple[bytes, int, int, int, str]]) -> None:
        """A cache that cannot be written (a full disk, another process) costs time and nothing else."""
        if self._connection is None or not rows:
            return
        with contextlib.suppress(sqlite3.Error), self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", rows)


def _connect(cache: Path) -> sqlite3.Connection | None:
    """The cache; a damaged one is made anew."""
    path = cache / FILE
    for _ in range(2):
        connection = None
        try:
            cache.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, timeout=5)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute(_SCHEMA)
            connection.execute("SELECT path, size, mtime_ns, ctime_ns, sha256 FROM files LIMIT 1")
            return connection
        except (OSError, sqlite3.OperationalError):
            if connection is not None:
                connection.close()
            return None
        except sqlite3.DatabaseError:
            if connection is not None:
                connection.close()
            with contextlib.suppress(OSError):
                path.unlink()
    return None


def _status(path: Path) -> Status | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _hash(path: Path) -> str | None:
    try:
        return file_sha256(path)
    except OSError:
        return None
