"""Vectors and items on disk: one USearch file and one SQLite file a generation, torn by no crash and no reader."""

from __future__ import annotations

import json
import os
import sqlite3
import struct
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vdistill.errors import VdistillError
from vdistill.index.manifest import REMEDY, Entry, FileFacts, read
from vdistill.workspace import writing

if TYPE_CHECKING:
    from usearch.index import Index

METRIC = "cos"  # on unit vectors equal to the inner product; `ip` forgets the scale of i8
DTYPES = {"bf16": 2, "f16": 2, "i8": 1, "f32": 4}  # bytes a number

_CONNECTIVITY, _EXPANSION_ADD, _EXPANSION_SEARCH = 16, 128, 64
_ITEMS = """
    CREATE TABLE items (
        key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, path TEXT NOT NULL, sha256 TEXT NOT NULL,
        size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, metadata TEXT NOT NULL
    ) STRICT
"""
_COLUMNS = "key, id, path, sha256, size, mtime_ns, metadata"


@dataclass(frozen=True, slots=True)
class Row:
    """An indexed picture. `key` names its vector, `path` is relative to the catalog, `metadata` is JSON."""

    key: int
    id: str
    path: str
    sha256: str
    size: int
    mtime_ns: int
    metadata: str


class Store:
    """An open index: read only, mapped, whole; one that a newer replaces goes on working until it is closed."""

    def __init__(self, folder: Path, entry: Entry, index: Index, items: sqlite3.Connection) -> None:
        self.folder = folder
        self.entry = entry
        self.index = index
        self.items = items

    @classmethod
    def open(cls, folder: Path, model: str) -> Store:
        """Open the index of `model`. Raises VdistillError where it is missing or damaged."""
        entry = entry_of(folder, model)
        while True:
            try:
                return cls._open(folder, entry)
            except VdistillError:
                newer = entry_of(folder, model)
                if newer == entry:
                    raise
                entry = newer  # it was replaced between reading the manifest and opening the files

    @classmethod
    def _open(cls, folder: Path, entry: Entry) -> Store:
        items = _open_items(entry.items.check(folder))
        return cls(folder, entry, _view(entry.vectors.check(folder), entry), items)

    def rows(self) -> Iterator[Row]:
        """All items, by id."""
        for values in self.items.execute(f"SELECT {_COLUMNS} FROM items ORDER BY id"):
            yield Row(*values)

    def rows_of(self, keys: Sequence[int]) -> dict[int, Row]:
        """The items with these keys."""
        sql = f"SELECT {_COLUMNS} FROM items WHERE key IN (SELECT value FROM json_each(?))"
        return {values[0]: Row(*values) for values in self.items.execute(sql, (json.dumps(list(keys)),))}

    def vectors(self, keys: Sequence[int]) -> np.ndarray:
        """Stored vectors (n, dim), float32, scaled to unit length again after rounding to the stored precision."""
        if not len(keys):
            return np.zeros((0, self.entry.dim), np.float32)
        found = self.index.get(np.asarray(keys, np.uint64), dtype="f32")
        vectors = np.stack(found).astype(np.float32)
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)

    def close(self) -> None:
        """Let go of the files."""
        self.items.close()
        self.index.reset()


class Writer:
    """A new generation in the making. Nothing of it is seen before its entry is published in the manifest."""

    def __init__(self, folder: Path, model: str, generation: int, dim: int, dtype: str) -> None:
        self._folder = folder
        self._vectors = f"vectors-{model}-{generation}.usearch"
        self._items = f"items-{model}-{generation}.db"
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for name in (self._vectors, self._items):
                (folder / name).unlink(missing_ok=True)
        self._index = usearch_index()(
            ndim=dim,
            metric=METRIC,
            dtype=dtype,
            connectivity=_CONNECTIVITY,
            expansion_add=_EXPANSION_ADD,
            expansion_search=_EXPANSION_SEARCH,
        )
        self._rows: list[Row] = []

    def add(self, rows: Sequence[Row], vectors: np.ndarray) -> None:
        """Add pictures with their unit vectors (n, dim). Raises ValueError for vectors that cannot be searched."""
        if not usable(vectors).all():
            raise ValueError("a vector is zero or not finite")
        keys = np.array([row.key for row in rows], np.uint64)
        self._index.add(keys, np.ascontiguousarray(vectors, np.float32), threads=1)  # one thread: the same file again
        self._rows.extend(rows)

    @property
    def rows(self) -> Sequence[Row]:
        """What was added so far."""
        return self._rows

    def finish(self) -> tuple[FileFacts, FileFacts]:
        """Write and sync both files: vectors, items."""
        vectors, items = self._folder / self._vectors, self._folder / self._items
        with writing(self._folder):
            try:
                self._index.save(str(vectors))
                _write_items(items, self._rows)
            except (RuntimeError, sqlite3.Error) as error:  # how USearch and SQLite report a full disk
                raise OSError(str(error)) from error
            for path in (vectors, items):
                with path.open("rb") as file:
                    os.fsync(file.fileno())
            return FileFacts.of(self._folder, self._vectors), FileFacts.of(self._folder, self._items)


def usearch_index() -> type[Index]:
    """USearch's `Index`; the one place that imports it.

    Its Linux wheel (2.26) brings a C++ runtime of its own, in which ONNX Runtime (1.31) crashes when it is imported
    second. So ONNX Runtime goes first.
    """
    import onnxruntime  # noqa: F401
    from usearch.index import Index

    return Index  # type: ignore[no-any-return]


def usable(vectors: np.ndarray) -> np.ndarray:
    """Which rows of (n, dim) are finite and not zero: USearch takes the others too, and ranks them anywhere."""
    return np.asarray(np.isfinite(vectors).all(axis=1) & (np.abs(vectors).max(axis=1) > 0))


def entry_of(folder: Path, model: str) -> Entry:
    """The manifest's entry for `model`. Raises VdistillError where there is none."""
    entries = read(folder)
    if model not in entries:
        other = f"; there is one of the {next(iter(entries))}" if entries else ""
        raise VdistillError(f"there is no index of the {model}{other}", hint=f"run `vdistill index --model {model}`")
    return entries[model]


def made_from(folder: Path, model: str) -> str | None:
    """What the index of `model` was made from, or None where there is none.

    Raises VdistillError where the manifest is damaged.
    """
    entry = read(folder).get(model)
    return entry.made_from if entry else None


def _view(path: Path, entry: Entry) -> Index:
    """Map the file, after making sure that USearch will find in it what it trusts to be there."""
    # onnxruntime crashes the process when it is loaded after usearch (1.31.1 with 2.26.6), so it comes first.
    import onnxruntime  # noqa: F401

    with path.open("rb") as file:
        count, width = struct.unpack("<II", file.read(8).ljust(8, b"\0"))
        file.seek(8 + count * width)
        whole = file.read(7) == b"usearch"
    if not whole or (count, width) != (entry.count, entry.dim * DTYPES[entry.dtype]):
        raise VdistillError(f"{path} is damaged: no USearch index of {entry.count} vectors", hint=REMEDY)
    index: Index = usearch_index()(
        ndim=entry.dim, metric=entry.metric, dtype=entry.dtype, expansion_search=_EXPANSION_SEARCH
    )
    try:
        index.view(str(path))
    except RuntimeError as error:
        raise VdistillError(f"{path} is damaged: {error}", hint=REMEDY) from error
    return index


def _open_items(path: Path) -> sqlite3.Connection:
    try:
        items = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False)
        items.execute("SELECT key FROM items LIMIT 1").fetchall()
    except sqlite3.Error as error:
        raise VdistillError(f"{path} is damaged: {error}", hint=REMEDY) from error
    return items


def _write_items(path: Path, rows: Sequence[Row]) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("BEGIN")
        connection.execute(_ITEMS)
        by_key: list[Any] = sorted((astuple(row) for row in rows), key=lambda values: values[0])
        connection.executemany("INSERT INTO items VALUES (?, ?, ?, ?, ?, ?, ?)", by_key)
        connection.execute("COMMIT")
    finally:
        connection.close()
