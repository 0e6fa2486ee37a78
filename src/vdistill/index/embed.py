"""Pictures in, a published index out: decoding runs on threads ahead of the model, memory stays constant."""

from __future__ import annotations

import itertools
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vdistill.catalog import Catalog, Skipped
from vdistill.encoder import DualEncoder
from vdistill.errors import ImageError, VdistillError
from vdistill.images import Preprocessing, file_sha256, load, quiet
from vdistill.index import manifest
from vdistill.index.export import export_image_encoder, export_text_encoder
from vdistill.index.manifest import Entry, FileFacts
from vdistill.index.plan import Plan, plan
from vdistill.index.publish import exported, publish
from vdistill.index.store import METRIC, Row, Store, Writer, usable
from vdistill.workspace import Workspace

BATCH = 64
_CHUNK = 4096
_THREADS = min(16, os.cpu_count() or 1)

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What a run did. `updated` counts pictures embedded again and those whose metadata changed; `bytes` on disk."""

    model: str
    items: int
    added: int
    updated: int
    removed: int
    skipped: tuple[Skipped, ...]
    dtype: str
    bytes: int
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The document of `index --json`."""
        return {**asdict(self), "skipped": [asdict(one) for one in self.skipped]}


@dataclass(frozen=True, slots=True)
class _Old:
    """What there was before: nothing, where the index is new or damaged."""

    entries: dict[str, Entry]
    store: Store | None
    rows: dict[str, Row]

    @property
    def entry(self) -> Entry | None:
        return self.store.entry if self.store else None


def build(
    workspace: Workspace,
    catalog: Catalog,
    encoder: DualEncoder,
    model: str,
    *,
    dtype: str = "bf16",
    made_from: str = "",
    seed: int = 0,
    progress: Progress | None = None,
) -> IndexReport:
    """Embed what is new or changed in `catalog` and publish the index of `model` ("student" or "backbone").

    `made_from` names what the model was made from, for telling a stale index; `progress` is told (done, total).
    Readers see the old index until the new one is whole, also when this is killed.
    Raises VdistillError when no picture is usable, the disk refuses, or another `index` is at work.
    """
    started = time.monotonic()
    folder = workspace.index
    with workspace.lock("index"):
        old = _old(folder, model)
        try:
            planned = plan(catalog, old.rows, _reusable(old.entry, encoder, dtype))
            base = _blank(old, catalog, encoder, dtype, made_from, seed)
            entry, rows, skipped = _vectors(folder, model, old, planned, base, encoder, progress)
        finally:
            if old.store:
                old.store.close()
        known = old.entries.values()
        texts, pictures = partial(export_text_encoder, encoder), partial(export_image_encoder, encoder)
        entry = replace(
            entry,
            text_encoder=exported(folder, "text_encoder", encoder.text_fingerprint, known, texts),
            image_encoder=exported(folder, "image_encoder", encoder.fingerprint, known, pictures),
        )
        publish(folder, model, old.entries, entry)
    return _report(
        model, old.rows, rows, (*catalog.skipped, *skipped), entry, {row.id for row in planned.fresh}, started
    )


def _old(folder: Path, model: str) -> _Old:
    """The index before this run. A damaged one counts as none: this run is its remedy."""
    try:
        entries = manifest.read(folder)
    except VdistillError:
        return _Old({}, None, {})
    try:
        store = Store.open(folder, model) if model in entries else None
        if store:
            store.entry.vectors.check(folder, full=True)  # damage must not be carried over
    except VdistillError:
        return _Old(entries, None, {})
    return _Old(entries, store, {row.id: row for row in store.rows()} if store else {})


def _reusable(entry: Entry | None, encoder: DualEncoder, dtype: str) -> bool:
    if entry is None:
        return False
    made = (entry.model_fingerprint, entry.preprocessing, entry.dtype)
    return made == (encoder.fingerprint, encoder.preprocessing.to_json(), dtype)


def _blank(old: _Old, catalog: Catalog, encoder: DualEncoder, dtype: str, made_from: str, seed: int) -> Entry:
    """The entry of this run, but for its files."""
    nothing = FileFacts("", 0, "", "")
    return Entry(
        generation=1 + max((entry.generation for entry in old.entries.values()), default=0),
        made_from=made_from,
        model_fingerprint=encoder.fingerprint,
        text_fingerprint=encoder.text_fingerprint,
        preprocessing=encoder.preprocessing.to_json(),
        dim=encoder.dim,
        dtype=dtype,
        metric=METRIC,
        count=0,
        catalog=str(catalog.root),
        created=time.time(),
        seed=seed,
        vectors=nothing,
        items=nothing,
        text_encoder=(),
        image_encoder=(),
    )


def _vectors(
    folder: Path, model: str, old: _Old, planned: Plan, base: Entry, encoder: DualEncoder, progress: Progress | None
) -> tuple[Entry, Sequence[Row], list[Skipped]]:
    """Write vectors and items; where nothing changed, the old files are taken over as they are."""
    skipped = list(planned.skipped)
    kept = [row for row, _ in planned.kept]
    if old.entry and not planned.fresh and {row.id: row for row in kept} == old.rows:
        same = old.entry
        facts = {"generation": same.generation, "count": same.count, "created": same.created}
        return replace(base, **facts, vectors=same.vectors, items=same.items), kept, skipped  # type: ignore[arg-type]
    writer = Writer(folder, model, base.generation, base.dim, base.dtype)
    if old.store:
        for start in range(0, len(planned.kept), _CHUNK):
            part = planned.kept[start : start + _CHUNK]
            writer.add([row for row, _ in part], old.store.vectors([key for _, key in part]))
    for rows, vectors, left_out in _embedded(Path(base.catalog), planned.fresh, encoder, progress):
        skipped += left_out
        if rows:
            writer.add(rows, vectors)
    if not writer.rows:
        raise _nothing_usable(Path(base.catalog), skipped)
    vectors_file, items_file = writer.finish()
    return replace(base, count=len(writer.rows), vectors=vectors_file, items=items_file), writer.rows, skipped


def _embedded(
    root: Path, rows: Sequence[Row], encoder: DualEncoder, progress: Progress | None
) -> Iterator[tuple[list[Row], np.ndarray, list[Skipped]]]:
    """Batches of rows with their vectors, and what had to be left out of each."""
    executor = ThreadPoolExecutor(_THREADS)
    done = 0
    try:
        with quiet():
            ahead = _ahead(executor, lambda row: _decoded(root, row, encoder.preprocessing), rows)
            while batch := list(itertools.islice(ahead, BATCH)):
                yield _encoded(batch, encoder)
                done += len(batch)
                if progress:
                    progress(done, len(rows))
    finally:
        executor.shutdown(cancel_futures=True)


def _ahead(executor: ThreadPoolExecutor, work: Callable[[Row], Any], rows: Iterable[Row]) -> Iterator[Any]:
    """Results in order, with no more than two batches in the making or waiting."""
    waiting: deque[Future[Any]] = deque()
    for row in rows:
        waiting.append(executor.submit(work, row))
        if len(waiting) >= 2 * BATCH:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _decoded(root: Path, row: Row, prepare: Preprocessing) -> tuple[Row, Mapping[str, np.ndarray]] | Skipped:
    path = root / row.path
    try:
        inputs = prepare(load(path, prepare.target))
        return replace(row, sha256=row.sha256 or file_sha256(path)), inputs
    except ImageError as error:
        return Skipped(row.id, error.message)
    except OSError as error:
        return Skipped(row.id, (error.strerror or str(error)).lower())


def _encoded(
    batch: Sequence[tuple[Row, Mapping[str, np.ndarray]] | Skipped], encoder: DualEncoder
) -> tuple[list[Row], np.ndarray, list[Skipped]]:
    skipped = [one for one in batch if isinstance(one, Skipped)]
    pictures = [one for one in batch if not isinstance(one, Skipped)]
    if not pictures:
        return [], np.zeros((0, encoder.dim), np.float32), skipped
    vectors = encoder.encode_images(encoder.preprocessing.stack([inputs for _, inputs in pictures]))
    good = usable(vectors)
    skipped += [
        Skipped(row.id, "the model gives no usable vector")
        for (row, _), ok in zip(pictures, good, strict=True)
        if not ok
    ]
    return [row for (row, _), ok in zip(pictures, good, strict=True) if ok], vectors[good], skipped


def _report(
    model: str, old: Mapping[str, Row], rows: Sequence[Row], skipped: tuple[Skipped, ...], entry: Entry,
    embedded: set[str], started: float,
) -> IndexReport:  # fmt: skip
    known = [row for row in rows if row.id in old]
    return IndexReport(
        model=model,
        items=len(rows),
        added=len(rows) - len(known),
        updated=sum(row.id in embedded or row.metadata != old[row.id].metadata for row in known),
        removed=len(old) - len(known),
        skipped=skipped,
        dtype=entry.dtype,
        bytes=sum(file.bytes for file in entry.files),
        seconds=round(time.monotonic() - started, 3),
    )


def _nothing_usable(root: Path, skipped: Sequence[Skipped]) -> VdistillError:
    first = f"; the first: {skipped[0].id}: {skipped[0].reason}" if skipped else ""
    return VdistillError(f"none of the pictures in {root} can be read{first}", hint="check the files")
