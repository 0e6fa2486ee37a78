"""Pictures in, a published index out: only what is new or changed is embedded."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from vdistill.catalog import Catalog, Skipped
from vdistill.encoder import DualEncoder
from vdistill.errors import VdistillError
from vdistill.index import manifest
from vdistill.index.export import export_image_encoder, export_text_encoder
from vdistill.index.manifest import Entry, FileFacts
from vdistill.index.plan import Plan, plan
from vdistill.index.publish import exported, publish
from vdistill.index.store import METRIC, Row, Store, Writer
from vdistill.index.vectors import Embedder, Progress
from vdistill.trunk_cache import TrunkCache
from vdistill.workspace import Workspace

_CHUNK = 4096


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
    trunk: TrunkCache | None = None,
) -> IndexReport:
    """Embed what is new or changed in `catalog` and publish the index of `model` ("student" or "backbone").

    `made_from` names what the model was made from, for telling a stale index; `progress` is told (done, total);
    pictures whose states `trunk` keeps are not decoded.
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
            embedder = Embedder(Path(base.catalog), encoder, trunk)
            entry, rows, skipped = _vectors(folder, model, old, planned, base, embedder, progress)
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
    folder: Path, model: str, old: _Old, planned: Plan, base: Entry, embedder: Embedder, progress: Progress | None
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
    for rows, vectors, left_out in embedder.embedded(planned.fresh, progress):
        skipped += left_out
        if rows:
            writer.add(rows, vectors)
    if not writer.rows:
        raise _nothing_usable(Path(base.catalog), skipped)
    vectors_file, items_file = writer.finish()
    return replace(base, count=len(writer.rows), vectors=vectors_file, items=items_file), writer.rows, skipped


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
