"""Vectors that were computed but not published yet: a build that is killed goes on where it was."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vdistill.images import DECODER
from vdistill.index.image_model import ImageModel
from vdistill.workspace import writing


class VectorCache:
    """Vectors by the hash of their picture, of one encoder, in a file of the cache. May be asked from any thread."""

    def __init__(self, path: Path, dim: int) -> None:
        self._path, self._dim = path, dim
        self._lock = threading.Lock()
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._db = _opened(path)
            except sqlite3.Error:  # it is only a cache: make it again
                _remove(path)
                self._db = _opened(path)

    @classmethod
    def of(cls, cache: Path, model: ImageModel) -> VectorCache:
        """The pending vectors of a model."""
        return cls(cache / f"vectors-{model.fingerprint}-{model.precision}-{DECODER}.db", model.dim)

    def __enter__(self) -> VectorCache:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def has(self, sha256: str) -> bool:
        """Whether the picture's vector is here."""
        with self._lock:
            return self._db.execute("SELECT 1 FROM vectors WHERE sha256 = ?", (sha256,)).fetchone() is not None

    def add(self, sha256: Sequence[str], vectors: np.ndarray) -> None:
        """Keep (n, dim) float32. Raises VdistillError where the disk refuses."""
        rows = [(key, vector.astype("<f4").tobytes()) for key, vector in zip(sha256, vectors, strict=True)]
        with writing(self._path), self._lock, self._db:
            self._db.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)

    def get(self, sha256: Sequence[str]) -> np.ndarray:
        """(n, dim) float32, of pictures that are all here."""
        sql = "SELECT sha256, vector FROM vectors WHERE sha256 IN (SELECT value FROM json_each(?))"
        with self._lock:
            found = dict(self._db.execute(sql, (json.dumps(list(sha256)),)).fetchall())
        return np.stack([np.frombuffer(found[key], "<f4", self._dim) for key in sha256])

    def remove(self) -> None:
        """Delete the file, whose vectors are published, and what killed builds of other encoders left beside it."""
        self._db.close()
        for path in self._path.parent.glob("vectors-*.db"):
            _remove(path)


def _opened(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    if db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
        db.close()
        raise sqlite3.DatabaseError("damaged")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("CREATE TABLE IF NOT EXISTS vectors (sha256 TEXT PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID")
    return db


def _remove(path: Path) -> None:
    for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
        with contextlib.suppress(OSError):
            path.with_name(name).unlink()
