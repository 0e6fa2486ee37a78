"""`index --to`: a database is brought to what the local index holds; only what changed is sent."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeAlias

from vdistill.bundle.store import SAMPLE, Store
from vdistill.databases.address import Address
from vdistill.databases.engine import ConnectionLostError, Database, KnownFit, Version
from vdistill.databases.local_items import BATCH, LocalItem, as_stored, columns_of, local_items, same_kinds
from vdistill.databases.opening import open_database
from vdistill.errors import VdistillError

Progress: TypeAlias = Callable[[int, int], object]  # called with (done, total)


@dataclass(frozen=True, slots=True)
class PushReport:
    """What a push did.

    swapped: a new version became the live one.  resumed: one that an earlier push had begun.  fit: whether the live one
    knows the fit of hits.
    """

    database: str
    version: int
    added: int
    updated: int
    removed: int
    unchanged: int
    swapped: bool
    resumed: bool
    fit: bool
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """What `index --to --json` has under `to`."""
        return asdict(self)


def check(address: Address) -> None:
    """Raise VdistillError where a push would be refused: before anything is embedded for it."""
    database = open_database(address, reading=False)
    try:
        with database.writing():
            database.versions()
    finally:
        database.close()


def push(store: Store, model: str, address: Address, progress: Progress | None = None) -> PushReport:
    """Make the database hold the items and vectors of an open index, and search them.

    A model that it does not hold gets a version of its own, which becomes the live one in one step when it is complete;
    until then the old one is searched. Items that changed within a model are replaced and removed in batches.
    Raises VdistillError where the database refuses; the same call then goes on from what was stored.
    """
    started = time.monotonic()
    database = open_database(address, reading=False)
    try:
        with database.writing():
            run = _Push(store, database, progress or (lambda done, total: None))
            try:
                version, fresh, resumed = run.bring(model)
            except ConnectionLostError as error:
                raise VdistillError(
                    error.message,
                    hint=f"{run.done:,} items are stored and stay so; the same command continues from there",
                ) from error
    finally:
        database.close()
    return PushReport(
        address.shown, version.number, run.added, run.updated, run.removed, run.unchanged, fresh, resumed,
        version.fit is not None, round(time.monotonic() - started, 3),
    )  # fmt: skip


@dataclass
class _Push:
    store: Store
    database: Database
    progress: Progress
    added: int = field(default=0, init=False)
    updated: int = field(default=0, init=False)
    removed: int = field(default=0, init=False)
    unchanged: int = field(default=0, init=False)

    @property
    def done(self) -> int:
        """Items that the database has as they are here."""
        return self.added + self.updated + self.unchanged

    def bring(self, model: str) -> tuple[Version, bool, bool]:
        """The version that is live at the end, whether it was made live now, and whether it had been begun before."""
        versions = self.database.versions()
        wanted = self._wanted(model, 1 + max((one.number for one in versions), default=0))
        found = _continued(versions, wanted)
        if found is None:
            self.database.create(wanted)
        version = found or wanted
        if version.columns != wanted.columns:
            version = self.database.change_columns(version, wanted.columns)
        version = replace(version, model=model, catalog=wanted.catalog, fit=wanted.fit)
        with _Stamps.of(self.database.stamps(version)) as stamps:
            self._send(version, stamps)
        self.database.publish(version)
        return version, not version.live, found is not None and not found.live

    def _wanted(self, model: str, number: int) -> Version:
        entry = self.store.entry
        return Version(
            number, model, entry.model_fingerprint, entry.text_fingerprint, entry.dim, entry.catalog,
            columns_of(self.store), fit=self._fit(),
        )  # fmt: skip

    def _fit(self) -> KnownFit | None:
        if self.store.entry.fit is None:
            return None
        items = self.store.items
        rows = items.rows_of(items.some_keys(SAMPLE))
        return KnownFit(self.store.entry.fit, tuple(row.id for row in rows.values()))

    def _send(self, version: Version, stamps: _Stamps) -> None:
        total = self.store.entry.count
        waiting: list[LocalItem] = []
        for batch in local_items(self.store):
            known = stamps.take([item.row.id for item in batch])
            changed = [item for item in batch if known.get(item.row.id) != item.stamp]
            self.unchanged += len(batch) - len(changed)
            waiting += changed
            if len(waiting) >= BATCH:
                self._put(version, waiting[:BATCH], stamps)
                waiting = waiting[BATCH:]
            self.progress(self.done, total)
        if waiting:
            self._put(version, waiting, stamps)
            self.progress(self.done, total)
        left = stamps.left()
        while gone := list(islice(left, BATCH)):
            self.database.remove(version, gone)
            self.removed += len(gone)

    def _put(self, version: Version, items: Sequence[LocalItem], stamps: _Stamps) -> None:
        self.database.put(version, as_stored(self.store, items, version.columns))
        updated = stamps.knew([item.row.id for item in items])
        self.updated += updated
        self.added += len(items) - updated


def _continued(versions: Sequence[Version], wanted: Version) -> Version | None:
    """The version of the same model, the one that is searched before one that is being written."""
    for version in sorted(versions, key=lambda one: (not one.live, -one.number)):
        same = (version.fingerprint, version.text_fingerprint, version.dim) == (
            wanted.fingerprint, wanted.text_fingerprint, wanted.dim
        )  # fmt: skip
        if same and same_kinds(version.columns, wanted.columns):
            return version
    return None


class _Stamps:
    """The stamps of the items in a database, in a temporary file: there may be very many."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    @classmethod
    @contextlib.contextmanager
    def of(cls, stamps: Iterator[tuple[str, bytes]]) -> Iterator[_Stamps]:
        with (
            tempfile.TemporaryDirectory(prefix="vdistill-") as folder,
            contextlib.closing(sqlite3.connect(Path(folder) / "stamps.db")) as connection,
        ):
            connection.execute("PRAGMA journal_mode = OFF")
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute(
                "CREATE TABLE stamps (id TEXT PRIMARY KEY, stamp BLOB, seen INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID"
            )
            connection.executemany("INSERT OR REPLACE INTO stamps (id, stamp) VALUES (?, ?)", stamps)
            yield cls(connection)

    def take(self, ids: Sequence[str]) -> dict[str, bytes]:
        """The stamps of these items, which count as seen from now on."""
        known = self._all("SELECT id, stamp FROM stamps WHERE id IN (SELECT value FROM json_each(?))", ids)
        self._all("UPDATE stamps SET seen = 1 WHERE id IN (SELECT value FROM json_each(?))", ids)
        return dict(known)

    def knew(self, ids: Sequence[str]) -> int:
        """How many of these items the database had."""
        return int(self._all("SELECT count(*) FROM stamps WHERE id IN (SELECT value FROM json_each(?))", ids)[0][0])

    def left(self) -> Iterator[str]:
        """The items that were never seen."""
        for (id_,) in self._db.execute("SELECT id FROM stamps WHERE NOT seen ORDER BY id"):
            yield id_

    def _all(self, sql: str, ids: Sequence[str]) -> list[Any]:
        return self._db.execute(sql, (json.dumps(list(ids)),)).fetchall()
