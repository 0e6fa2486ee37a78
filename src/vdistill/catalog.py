"""A folder of pictures becomes items: the Hugging Face ImageFolder convention."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from vdistill.errors import VdistillError
from vdistill.records import Item
from vdistill.tables import read_rows

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif"}
)
METADATA_FILES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")


@dataclass(frozen=True, slots=True)
class Skipped:
    """A picture that was left out, and why."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Catalog:
    """The items of a folder, in the order of their ids, and what had to be left out."""

    root: Path
    items: tuple[Item, ...]
    skipped: tuple[Skipped, ...]


def scan(root: Path) -> Catalog:
    """List the pictures below `root` with their metadata; the pictures themselves are not opened.

    Raises VdistillError for a folder that is missing or holds no picture, and for metadata with a broken line.
    """
    if not root.is_dir():
        raise VdistillError(f"no catalog folder {root}", hint=_close_folder(root))
    root = root.resolve()
    files, tables, skipped = _files(root)
    if not files:
        raise VdistillError(
            f"no pictures in {root}",
            hint=f"put some there; files ending in {' '.join(sorted(IMAGE_SUFFIXES))} are searched for recursively",
        )
    metadata: dict[str, dict[str, Any]] = {}
    for table in tables:
        rows, absent = _metadata(root, table, files)
        metadata.update(rows)
        skipped += absent
    items = tuple(Item(id=key, path=files[key], metadata=metadata.get(key, {})) for key in sorted(files))
    return Catalog(root, items, tuple(skipped))


def _files(root: Path) -> tuple[dict[str, Path], list[Path], list[Skipped]]:
    """The pictures by id, the metadata files, and names that cannot be used."""
    files: dict[str, Path] = {}
    tables: list[Path] = []
    skipped: list[Skipped] = []
    for path in _walk(root):
        if path.name in METADATA_FILES:
            tables.append(path)
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            key = path.relative_to(root).as_posix()
            try:
                key.encode()
            except UnicodeEncodeError:
                skipped.append(Skipped(os.fsencode(key).decode("utf-8", "replace"), "file name is not valid UTF-8"))
                continue
            files[key] = path
    return files, sorted(tables), skipped


def _walk(root: Path) -> Iterator[Path]:
    """Every file below `root`, through links too, but no folder twice; names with a leading dot are passed over."""
    seen: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        for name in names:
            if not name.startswith("."):
                yield Path(folder, name)


def _metadata(root: Path, table: Path, files: dict[str, Path]) -> tuple[dict[str, dict[str, Any]], list[Skipped]]:
    """The rows of one metadata file by item id, and the files it names that are not there."""
    rows: dict[str, dict[str, Any]] = {}
    absent: list[Skipped] = []
    folder = PurePosixPath(table.parent.relative_to(root).as_posix())
    for line in read_rows(table, required="file_name"):
        key = os.path.normpath(folder / str(line.row["file_name"])).replace(os.sep, "/")
        if key in files:
            rows[key] = {name: _plain(value) for name, value in line.row.items() if name != "file_name"}
        else:
            absent.append(Skipped(key, f"named in {table.name}, line {line.number}, but absent"))
    return rows, absent


def _plain(value: Any) -> Any:
    """A value as JSON can hold it: no dates, and no NaN or infinity, which become null."""
    return json.loads(json.dumps(value, default=str), parse_constant=lambda _: None)


def _close_folder(root: Path) -> str:
    neighbours = [entry.name for entry in root.parent.iterdir() if entry.is_dir()] if root.parent.is_dir() else []
    close = difflib.get_close_matches(root.name, neighbours, n=1)
    return f"did you mean {root.parent / close[0]}?" if close else "give the folder that holds the pictures"
