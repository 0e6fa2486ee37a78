"""Pictures in, a published index out: only what is new or changed is embedded."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from vdistill.catalog import Catalog, Skipped
from vdistill.encoder import DualEncoder
from vdistill.errors import VdistillError
from vdistill.index import manifest
from vdistill.index.compact import arrange
from vdistill.index.draft import Counts, Draft
from vdistill.index.export import export_image_encoder, export_text_encoder
from vdistill.index.manifest import Entry, FileFacts, ShardFacts
from vdistill.index.pending import Pending
from vdistill.index.publish import exported, publish
from vdistill.index.shards import METRIC, ShardWriter
from vdistill.index.store import Store
from vdistill.index.vectors import Embedder, Progress
from vdistill.trunk_cache import TrunkCache
from vdistill.workspace import Workspace, writing


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
    Readers see the old index until the new one is whole, also when this is killed; vectors that a killed build
    computed are kept for the next.
    Raises VdistillError when no picture is usable, the disk refuses, or another `index` is at work.
    """
    started = time.monotonic()
    folder = workspace.index
    with workspace.lock("index"), ExitStack() as stack:
        entries, store = _old(folder, model)
        if store:
            stack.callback(store.close)
        base = _blank(entries, model, catalog, encoder, dtype, made_from, seed)
        reusable = store is not None and _reusable(store.entry, encoder, dtype)
        name = f"{model}-{base.generation}"
        first_key = store.entry.next_key if store and reusable else 0
        draft = stack.enter_context(Draft(folder / f"items-{name}.db", store.items.path if store else None, first_key))
        skipped = [*catalog.skipped, *draft.plan(catalog, reusable)]
        pending = Pending(workspace.cache / f"vectors-{encoder.fingerprint}-{encoder.precision}.db", encoder.dim)
        stack.callback(pending.close)
        skipped += _embed(draft, Embedder(catalog.root, encoder, trunk, pending), pending, progress)
        counts = draft.counts()
        if not counts.items:
            raise _nothing_usable(catalog.root, skipped)
        if store and reusable and draft.unchanged():
            entry = _as_it_was(base, store.entry)
        else:
            with writing(folder):
                shards = _vectors(folder, name, base, draft, store if reusable else None, pending)
                draft.finish()
                items = FileFacts.of(folder, f"items-{name}.db")
            entry = replace(base, count=counts.items, next_key=draft.next_key, shards=shards, items=items)
        texts, pictures = partial(export_text_encoder, encoder), partial(export_image_encoder, encoder)
        known = entries.values()
        entry = replace(
            entry,
            text_encoder=exported(folder, "text_encoder", encoder.text_fingerprint, known, texts),
            image_encoder=exported(folder, "image_encoder", encoder.fingerprint, known, pictures),
        )
        publish(folder, model, entries, entry)
        pending.close(remove=True)
    return _report(model, counts, tuple(skipped), entry, started)


def _old(folder: Path, model: str) -> tuple[dict[str, Entry], Store | None]:
    """The index before this run. A damaged one counts as none: this run is its remedy."""
    try:
        entries = manifest.read(folder)
    except VdistillError:
        return {}, None
    try:
        store = Store.open(folder, model) if model in entries else None
        for file in (one for shard in store.entry.shards for one in shard.files) if store else ():
            file.check(folder, full=True)  # damage must not be carried over
    except VdistillError:
        return entries, None
    return entries, store


def _reusable(entry: Entry, encoder: DualEncoder, dtype: str) -> bool:
    made = (entry.model_fingerprint, entry.preprocessing, entry.dtype)
    return made == (encoder.fingerprint, encoder.preprocessing.to_json(), dtype)


def _blank(
    entries: dict[str, Entry], model: str, catalog: Catalog, encoder: DualEncoder, dtype: str, made_from: str, seed: int
) -> Entry:
    """The entry of this run, but for its files."""
    return Entry(
        generation=1 + max((entry.generation for entry in entries.values()), default=0),
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
        next_key=0,
        shards=(),
        items=FileFacts("", 0, "", ""),
        text_encoder=(),
        image_encoder=(),
    )


def _as_it_was(base: Entry, old: Entry) -> Entry:
    """Nothing changed but perhaps where the catalog lies: the old files are taken over as they are."""
    return replace(
        base,
        generation=old.generation,
        count=old.count,
        created=old.created,
        next_key=old.next_key,
        shards=old.shards,
        items=old.items,
    )


def _embed(draft: Draft, embedder: Embedder, pending: Pending, progress: Progress | None) -> list[Skipped]:
    """Compute the vectors of fresh items that are not pending; returns those that had to be left out."""
    skipped: list[Skipped] = []
    done, total = 0, draft.count_fresh()
    for rows, vectors, left_out in embedder.embedded(draft.fresh()):
        new = {row.sha256: vector for row, vector in zip(rows, vectors, strict=True) if vector is not None}
        if new:
            pending.add(list(new), np.stack(list(new.values())))
        draft.embedded(rows)
        draft.left_out(left_out)
        skipped += left_out
        done += len(rows) + len(left_out)
        if progress:
            progress(done, total)
    return skipped


def _vectors(
    folder: Path, name: str, base: Entry, draft: Draft, store: Store | None, pending: Pending
) -> tuple[ShardFacts, ...]:
    """Write the vectors that are new, and those of old files that are put together; the other files stay."""
    new = draft.count_new()
    staying = draft.counts().items - new
    plan = arrange(store.entry.shards if store else (), staying, new)
    writer = ShardWriter(folder, f"vectors-{name}", base.dim, base.dtype, graph=plan.graph)
    merged = [shard for shard in store.shards if shard.facts in plan.merged] if store else []
    for part in draft.vectors_wanted(0 if merged else draft.first_key):
        keys = np.array([key for key, _, _ in part], np.uint64)
        old = keys < draft.first_key
        wanted = ~old
        for shard in merged:
            wanted[old] |= shard.holds(keys[old])
        chosen = [one for one, ours in zip(part, wanted, strict=True) if ours]
        if chosen:
            writer.add([key for key, _, _ in chosen], _found(chosen, store, pending, base.dim))
    return (*plan.kept, *writer.finish())


def _found(
    wanted: Sequence[tuple[int, int | None, str]], store: Store | None, pending: Pending, dim: int
) -> np.ndarray:
    """The vectors (n, dim) of (key, key in the old index or None, hash)."""
    vectors = np.empty((len(wanted), dim), np.float32)
    taken = np.array([source is not None for _, source, _ in wanted])
    if taken.any():
        assert store is not None
        sources = [source for _, source, _ in wanted if source is not None]
        vectors[taken] = store.vectors(np.array(sources, np.uint64))
    if not taken.all():
        vectors[~taken] = pending.get([sha256 for _, source, sha256 in wanted if source is None])
    return vectors


def _report(model: str, counts: Counts, skipped: tuple[Skipped, ...], entry: Entry, started: float) -> IndexReport:
    return IndexReport(
        model=model,
        items=counts.items,
        added=counts.added,
        updated=counts.updated,
        removed=counts.removed,
        skipped=skipped,
        dtype=entry.dtype,
        bytes=sum(file.bytes for file in entry.files),
        seconds=round(time.monotonic() - started, 3),
    )


def _nothing_usable(root: Path, skipped: Sequence[Skipped]) -> VdistillError:
    first = f"; the first: {skipped[0].id}: {skipped[0].reason}" if skipped else ""
    return VdistillError(f"none of the pictures in {root} can be read{first}", hint="check the files")
