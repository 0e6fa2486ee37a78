"""Vectors that are computed but not published yet: a build that was killed continues from them."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from vdistill.images import DECODER_VERSION
from vdistill.workspace import writing


class VectorCache:
    """The vectors of one model by the SHA-256 of their image or text, in a file. May be shared between threads."""

    def __init__(self, folder: Path, fingerprint: str, precision: str, dim: int) -> None:
        self._path = folder / f"vectors-{fingerprint}-{precision}-{DECODER_VERSION}.db"
        self.dim = dim
        self._lock = threading.Lock()
        with writing(self._path):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                self._db = _opened(self._path)
            except sqlite3.Error:  # it is only a cache: start anew
                _remove(folder, f"{self._path.name}*")
                self._db = _opened(self._path)

    def __enter__(self) -> VectorCache:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def has(self, sha256: str) -> bool:
        """Whether the image's vector is here."""
        with self._lock:
            return self._db.execute("SELECT 1 FROM vectors WHERE sha256 = ?", (sha256,)).fetchone() is not None

    def images(self) -> Iterator[list[str]]:
        """The hashes of all images whose vectors are here, in parts."""
        last = -1
        sql = "SELECT rowid, sha256 FROM vectors WHERE rowid > ? AND length(sha256) = 64 ORDER BY rowid LIMIT 65536"
        while True:
            with self._lock:
                part = self._db.execute(sql, (last,)).fetchall()
            if not part:
                return
            yield [sha256 for _, sha256 in part]
            last = part[-1][0]

    def add(self, sha256: Sequence[str], vectors: np.ndarray) -> None:
        """Keep (n, dim) float32. Raises VdistillError where the disk refuses."""
        rows = [(key, vector.astype("<f4").tobytes()) for key, vector in zip(sha256, vectors, strict=True)]
        with writing(self._path), self._lock, self._db:
            self._db.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)

    def get(self, sha256: Sequence[str]) -> np.ndarray:
        """(n, dim) float32, of images that are all here."""
        sql = "SELECT sha256, vector FROM vectors WHERE sha256 IN (SELECT value FROM json_each(?))"
        with self._lock:
            found = dict(self._db.execute(sql, (json.dumps(list(sha256)),)).fetchall())
        return np.stack([np.frombuffer(found[key], "<f4", self.dim) for key in sha256])

    def remove(self) -> None:
        """Delete the file, once its vectors are published, and those that killed builds of other models left."""
        self._db.close()
        _remove(self._path.parent, "vectors-*.db*")


def _opened(path: Path) -> sqlite3.Connection:
    with contextlib.ExitStack() as opened:
        db = opened.enter_context(contextlib.closing(sqlite3.connect(path, check_same_thread=False)))
        db.execute("PRAGMA journal_mode = WAL")
        if db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("damaged")
        db.execute("PRAGMA synchronous = NORMAL")
        # With row ids vectors are appended: sorted by hash, each of ten million would go into a page of its own.
        db.execute("CREATE TABLE IF NOT EXISTS vectors (sha256 TEXT PRIMARY KEY, vector BLOB NOT NULL)")
        opened.pop_all()  # it stays open
    return db


def _remove(folder: Path, pattern: str) -> None:
    """Remove files with their write-ahead logs."""
    for path in folder.glob(pattern):
        with contextlib.suppress(OSError):
            path.unlink()
