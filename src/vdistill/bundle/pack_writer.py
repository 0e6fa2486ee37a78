"""Writes a pack: a copy of the items with thumbnails on wish, then the other files of an index, each checked."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from vdistill.bundle import manifest
from vdistill.bundle.items import THUMBNAILS, Row
from vdistill.bundle.manifest import FileFacts
from vdistill.bundle.pack import ALIGNMENT, APPLICATION, FOOTER, MAGIC, VERSION, Pack, PackedPath, digest
from vdistill.bundle.store import Store
from vdistill.errors import ImageError, VdistillError
from vdistill.images import quiet
from vdistill.images.thumbnails import thumbnail
from vdistill.sources import joined, source_at
from vdistill.workspace import replacing, writing

SIDE = 320  # px, of the thumbnails
Progress = Callable[[int, int], None]

_LEFT = 3600.0  # s; an unfinished pack that is older is of a process that died
_THREADS, _BATCH = 4, 256  # that decode images, and how many are written at once
_STEP = 1 << 20  # bytes that are copied at once


@dataclass(frozen=True, slots=True)
class PackReport:
    """What was packed.  unreadable: items whose images have no thumbnail, since they cannot be read."""

    path: str
    bytes: int
    items: int
    thumbnails: int
    unreadable: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """For `index --json`."""
        return asdict(self)


def write_pack(
    store: Store, model: str, path: Path, *, thumbnails: bool = False, progress: Progress | None = None
) -> PackReport:
    """Write the open index of `model` to a file; readers see the old one until the new one is whole.

    thumbnails: of each item's image too.  progress: called with (done, total) thumbnails.
    Raises VdistillError where a file of the index is damaged, or the disk refuses.
    """
    assert isinstance(store.folder, Path)
    started, entry = time.monotonic(), store.entry
    made = unreadable = 0
    with writing(path), replacing(path) as aside:
        _remove_unfinished(path)
        entry.items.check(store.folder, full=True)
        shutil.copyfile(store.folder / entry.items.name, aside)
        with _items(aside) as connection:
            if thumbnails:
                made, unreadable = _add_thumbnails(connection, store, progress)
        items = replace(FileFacts.measure(aside.parent, aside.name), name=entry.items.name)
        packed = {model: replace(entry, items=items)}
        with aside.open("r+b") as file:
            parts = {items.name: (0, items.bytes)}
            for facts in dict.fromkeys(one for one in entry.files if one.name != items.name):
                parts[facts.name] = (_append(file, store.folder, facts), facts.bytes)
            text = manifest.text(packed).encode()
            parts[manifest.NAME] = (_align(file), len(text))
            file.write(text)
            _finish(file, parts, text)
        size = aside.stat().st_size
        _try(aside, model)
    return PackReport(str(path), size, entry.count, made, unreadable, round(time.monotonic() - started, 3))


@contextlib.contextmanager
def _items(path: Path) -> Iterator[sqlite3.Connection]:
    """The copy of the items, to be changed: with no files beside it, as a broken one is thrown away."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        yield connection
        connection.commit()


def _add_thumbnails(connection: sqlite3.Connection, store: Store, progress: Progress | None) -> tuple[int, int]:
    """How many images have a thumbnail now, and of how many items there is none."""
    connection.execute(THUMBNAILS)
    done = unreadable = 0
    root = store.entry.catalog

    def small(row: Row) -> bytes | None:
        try:
            return thumbnail(source_at(joined(root, row.path)), SIDE)
        except (ImageError, OSError):
            return None

    rows = store.items.rows()
    with quiet(), ThreadPoolExecutor(_THREADS) as threads:
        while part := list(islice(rows, _BATCH)):
            images = list(zip(part, threads.map(small, part), strict=True))
            connection.executemany(
                "INSERT OR IGNORE INTO thumbnails VALUES (?, ?)",
                [(row.sha256, image) for row, image in images if image],
            )
            unreadable += sum(image is None for _, image in images)
            done += len(part)
            if progress:
                progress(done, store.entry.count)
    return connection.execute("SELECT count(*) FROM thumbnails").fetchone()[0], unreadable


def _append(file: BinaryIO, folder: Path, facts: FileFacts) -> int:
    """Copy a file of the index, and return where it begins. Raises VdistillError where it is damaged."""
    start, found = _align(file), hashlib.sha256()
    with facts.check(folder).open("rb") as source:
        while part := source.read(_STEP):
            found.update(part)
            file.write(part)
    if found.hexdigest() != facts.sha256:
        raise VdistillError(f"{folder / facts.name} is damaged: its content is not what was written",
                            hint=manifest.REMEDY)  # fmt: skip
    return start


def _align(file: BinaryIO) -> int:
    """Go to where the next part may begin."""
    size = file.seek(0, 2)
    file.write(b"\0" * (-size % ALIGNMENT))
    return file.tell()


def _finish(file: BinaryIO, parts: dict[str, tuple[int, int]], manifest_: bytes) -> None:
    start = _align(file)
    table = json.dumps(parts, sort_keys=True).encode()
    file.write(table)
    file.write(FOOTER.pack(start, len(table), digest(manifest_, table), VERSION, MAGIC))


def _try(path: Path, model: str) -> None:
    """Read all of it once more, before it takes its place. Raises VdistillError where the disk lost something."""
    place = PackedPath(Pack.open(path))
    for facts in manifest.read(place)[model].files:
        facts.check(place, full=True)
    Store.open(place, model).close()


def _remove_unfinished(path: Path) -> None:
    for left in path.parent.glob(f".{path.name}.*.part"):
        with contextlib.suppress(OSError):
            if left.stat().st_mtime < time.time() - _LEFT:
                left.unlink()
