"""What is known of addresses that were fetched: which version of the image is the last, and when to ask for another.

An image at the same address counts as unchanged for the time that its server names (Cache-Control), within bounds.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from vdistill.sources.web.images import Reply

FILE = "web.db"
_DAY = 86400.0
LEAST, USUAL, MOST = 7 * _DAY, 30 * _DAY, 365 * _DAY  # how long an image counts as unchanged
_FIELDS = "url, version, sha256, fresh_until, etag, modified"
_SCHEMA = f"""
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = OFF;
    CREATE TABLE IF NOT EXISTS answers (
        url BLOB PRIMARY KEY, version INTEGER NOT NULL, sha256 BLOB NOT NULL, fresh_until REAL NOT NULL,
        etag TEXT NOT NULL, modified TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    SELECT {_FIELDS} FROM answers LIMIT 1
"""


class Known(NamedTuple):
    """The last answer of an address.  version: counts the images that were seen there."""

    version: int
    sha256: bytes
    fresh_until: float
    etag: str
    modified: str

    @property
    def due(self) -> bool:
        """Whether its server is to be asked, and can say that nothing changed."""
        return time.time() > self.fresh_until and bool(self.etag or self.modified)


class Memory:
    """What is known, in a folder; a file that cannot be used costs requests and nothing else."""

    def __init__(self, folder: Path | None) -> None:
        self._file = folder / FILE if folder else Path(":memory:")
        self._db: sqlite3.Connection | None = None
        self._lock, self._process = threading.Lock(), 0

    def known(self, url: str) -> Known | None:
        """The last answer of an address."""
        return self.known_of([url]).get(url)

    def known_of(self, urls: Sequence[str]) -> dict[str, Known]:
        """The last answers of those addresses that were asked, by address. urls: some thousands at most."""
        keys = [key(url) for url in urls]
        marks = ",".join("?" * len(keys))
        found = self._do(f"SELECT {_FIELDS} FROM answers WHERE url IN ({marks})", *keys)
        known = {row[0]: Known(*row[1:]) for row in found}
        return {url: known[one] for url, one in zip(urls, keys, strict=True) if one in known} if known else {}

    def note(self, url: str, reply: Reply) -> int:
        """Keep the answer; returns the version of its image."""
        before, sha256 = self.known(url), hashlib.sha256(reply.data).digest()
        version = 1 if before is None else before.version + (before.sha256 != sha256)
        row = (key(url), version, sha256, _fresh_until(url, reply.max_age), reply.etag, reply.modified)
        self._do("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?)", *row)
        return version

    def renew(self, url: str) -> None:
        """The image is unchanged, for the usual time."""
        self._do("UPDATE answers SET fresh_until = ? WHERE url = ?", _fresh_until(url, None), key(url))

    def _do(self, sql: str, *values: object) -> Sequence[tuple[Any, ...]]:
        with self._lock, contextlib.suppress(OSError, sqlite3.Error):
            return self._connection().execute(sql, values).fetchall()
        return ()

    def _connection(self) -> sqlite3.Connection:
        if self._db is None or self._process != os.getpid():  # a connection must not be carried through a fork
            if str(self._file) != ":memory:":
                self._file.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._db = _opened(self._file)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:  # damaged
                self._file.unlink(missing_ok=True)
                self._db = _opened(self._file)
            weakref.finalize(self, self._db.close)
            self._process = os.getpid()
        return self._db


def key(url: str) -> bytes:
    """A hash: an address may hold a password or a signature, which is not for a disk."""
    return hashlib.sha256(url.encode("utf-8", "surrogateescape")).digest()[:16]


def _opened(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
    try:
        db.executescript(_SCHEMA)
    except sqlite3.Error:
        db.close()
        raise
    return db


def _fresh_until(url: str, max_age: float | None) -> float:
    """Spread by a quarter, so that images that were fetched in one day are not all asked for again in one."""
    age = USUAL if max_age is None else min(max(max_age, LEAST), MOST)
    return time.time() + age * (0.75 + key(url)[0] / 512)
