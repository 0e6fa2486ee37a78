"""Content hashes of files, each read once: cached by path, size and times, in the workspace."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from vdistill.images import file_sha256
from vdistill.inputs.item_table import ItemFile, ItemTable, parts
from vdistill.inputs.listings import Skipped
from vdistill.records import Item
from vdistill.sources import Source, Stamp, is_remote, order
from vdistill.sources.http import known_stamps
from vdistill.sources.read_ahead import readers

FILE = "hashes.db"
MANY = 20_000  # files; reading so many takes long enough to say why

_SETTLED = 2 * 10**9  # ns; a file changed later than this before it was read may change again at the same time
_SCHEMA = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = OFF;
    CREATE TABLE IF NOT EXISTS files (
        path BLOB PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, ctime_ns INTEGER NOT NULL,
        sha256 TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    SELECT path, size, mtime_ns, ctime_ns, sha256 FROM files LIMIT 1
"""

Imaged: TypeAlias = "Item | ItemFile"
Status = tuple[bytes, int, int, int]  # locator, and stamp


class Hashes:
    """Content hashes of files. A hash holds as long as size, modification and change time of the file are the same."""

    def __init__(self, connection: sqlite3.Connection, beside: Callable[[], dict[str, str]] = dict) -> None:
        self._connection, self._beside = connection, beside
        self.refused: list[Skipped] = []  # items whose images `of` could not read, and why

    @classmethod
    @contextlib.contextmanager
    def open(cls, cache: Path | None, beside: Callable[[], dict[str, str]] = dict) -> Iterator[Hashes]:
        """Those kept in the folder `cache`; without one, or where it cannot be used, every file is read.

        beside: what was looked up meanwhile (`known_hashes.py`), by the ids of a catalog.
        """
        with contextlib.closing(_connect(cache)) as connection:
            yield cls(connection, beside)

    def of(self, items: Iterable[Imaged], say: Callable[[str], None] = lambda _: None) -> dict[str, str]:
        """The hash of each item's file by id; a file that cannot be read is absent."""
        found: dict[str, str] = {}
        if isinstance(items, ItemTable):
            if beside := self._beside():
                found = {key: sha256 for key in items.ids() if (sha256 := beside.get(key))}
            items = (one for one in items.files() if one.id not in found) if len(found) < len(items) else ()
        read = 0
        for part in parts(items):
            known, stale = self._look_up(part)
            found |= known
            if read < MANY <= read + len(stale):
                say("reading the image files once, to know which are equal")
            read += len(stale)
            found |= self._read(stale)
        return found

    def known(self, part: list[Imaged]) -> dict[str, str]:
        """The hashes that are known already, by id; no file is read. part: at most `PART`; it is sorted."""
        return self._look_up(part)[0]

    def _look_up(self, part: list[Imaged]) -> tuple[dict[str, str], list[tuple[Imaged, Status]]]:
        """What is known, by id, and what must be read."""
        part.sort(key=lambda item: order(str(item.file)))
        states = self._states(part)
        known = self._known([status[0] for status in states if status is not None])
        found, stale = dict[str, str](), list[tuple[Imaged, Status]]()
        for item, status in zip(part, states, strict=True):
            if status is None:
                continue
            if (sha256 := known.get(status)) is None:
                stale.append((item, status))
            else:
                found[item.id] = sha256
        return found, stale

    def _states(self, part: Sequence[Imaged]) -> list[Status | None]:
        """The status of each item's file, None where it cannot be had; what is elsewhere is asked at once."""
        known = known_stamps(item.file for item in part if item.stamp is None)
        stamps = [item.stamp or known.get(str(item.file)) for item in part]
        given = [item for item, stamp in zip(part, stamps, strict=True) if stamp is None and is_remote(item.file)]
        if not given:
            return [*map(self._status, part, stamps)]
        with readers(item.file for item in part) as executor:
            asked = dict(zip((item.id for item in given), executor.map(self._status, given), strict=True))
        return [
            asked[item.id] if item.id in asked else self._status(item, stamp)
            for item, stamp in zip(part, stamps, strict=True)
        ]

    def _read(self, part: Sequence[tuple[Imaged, Status]]) -> dict[str, str]:
        now = time.time_ns()
        with readers(item.file for item, _ in part) as executor:
            hashes = executor.map(_hash, [item.source for item, _ in part])
            found = []
            for (item, status), sha256 in zip(part, hashes, strict=True):
                if isinstance(sha256, str):
                    found.append((item.id, status, sha256))
                else:
                    self._refuse(item, sha256)
        rows = [(*status, sha256) for _, status, sha256 in found if max(status[2:]) < now - _SETTLED]
        # A cache that cannot be written (a full disk, another process) costs time and nothing else.
        with contextlib.suppress(sqlite3.Error), self._connection:
            self._connection.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", rows)
        return {key: sha256 for key, _, sha256 in found}

    def _status(self, item: Imaged, stamp: Stamp | None = None) -> Status | None:
        try:
            return str(item.file).encode("utf-8", "surrogateescape"), *(stamp or item.source.stamp())
        except OSError as error:
            self._refuse(item, error)
            return None

    def _refuse(self, item: Imaged, error: OSError) -> None:
        self.refused.append(Skipped(item.id, error.strerror or str(error), passing=True))

    def _known(self, paths: Sequence[bytes]) -> dict[Status, str]:
        sql = f"SELECT path, size, mtime_ns, ctime_ns, sha256 FROM files WHERE path IN ({','.join('?' * len(paths))})"
        with contextlib.suppress(sqlite3.Error):
            return {row[:4]: row[4] for row in self._connection.execute(sql, paths)}
        return {}


def _connect(cache: Path | None) -> sqlite3.Connection:
    """The cache, made anew where it is damaged; one in memory where there is none or it cannot be used."""
    if cache is not None:
        for _ in range(2):
            try:
                cache.mkdir(parents=True, exist_ok=True)
                return _opened(cache / FILE)
            except (OSError, sqlite3.OperationalError):
                break
            except sqlite3.DatabaseError:
                with contextlib.suppress(OSError):
                    (cache / FILE).unlink()
    return _opened(Path(":memory:"))


def _opened(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=5)
    try:
        connection.executescript(_SCHEMA)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _hash(source: Source) -> str | OSError:
    try:
        return file_sha256(source)
    except OSError as error:
        return error
