"""One generation of an index: its items and its files of vectors, from what the old one has and what is embedded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vdistill.bundle.manifest import Entry, FileFacts, ShardFacts
from vdistill.bundle.shards import ShardWriter
from vdistill.bundle.store import Store
from vdistill.errors import VdistillError
from vdistill.index.compact import arrange
from vdistill.index.embedding import Embedder, Progress
from vdistill.index.image_model import ImageModel
from vdistill.index.plan import Counts, Plan
from vdistill.index.vector_cache import VectorCache
from vdistill.inputs.catalog import Catalog, Skipped
from vdistill.workspace import writing


@dataclass(frozen=True)
class Source:
    """Where the vectors come from.

    models: those of one fingerprint that may embed side by side.
    few: more fresh pictures than this are left to another encoder; None for any number.
    """

    catalog: Catalog
    models: Sequence[ImageModel]
    vector_cache: VectorCache
    few: int | None = None


@dataclass(frozen=True)
class Generation:
    """What was written, to be published; the encoders are not exported yet."""

    entry: Entry
    counts: Counts
    skipped: tuple[Skipped, ...]


def write(
    folder: Path, model: str, base: Entry, store: Store | None, source: Source, progress: Progress | None
) -> Generation | None:
    """Write items and vectors into `folder`; None where there are too many pictures for this source.

    base: the entry but for its files.  store: the old index, whole.
    Raises VdistillError when no picture is usable, or the disk refuses.
    """
    catalog = source.catalog
    reusable = store is not None and _reusable(store.entry, base)
    name = f"{model}-{base.generation}"
    first_key = store.entry.next_key if store and reusable else 0
    items = f"items-{name}.db"
    with writing(folder), Plan(folder / items, store.items.path if store else None, first_key) as plan:
        skipped = [*catalog.skipped, *plan.plan(catalog, reusable)]
        if source.few is not None and plan.count_fresh() > source.few:
            return None
        skipped += _embed(plan, source, progress)
        counts = plan.counts()
        if not counts.items:
            raise _nothing_usable(catalog.root, skipped)
        if store and reusable and plan.unchanged():
            return Generation(_as_it_was(base, store.entry), counts, tuple(skipped))
        shards = _vectors(folder, name, base, plan, store if reusable else None, source.vector_cache, counts.items)
        plan.finish()
        facts = FileFacts.of(folder, items)
    entry = replace(base, count=counts.items, next_key=plan.next_key, shards=shards, items=facts)
    return Generation(entry, counts, tuple(skipped))


def _reusable(old: Entry, base: Entry) -> bool:
    made = ("model_fingerprint", "preprocessing", "decoder", "dtype")
    return all(getattr(old, name) == getattr(base, name) for name in made)


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


def _embed(plan: Plan, source: Source, progress: Progress | None) -> list[Skipped]:
    """Compute the vectors of fresh items that are not pending; returns those that had to be left out."""
    embedder = Embedder(source.catalog.root, source.models, source.vector_cache)
    skipped: list[Skipped] = []
    done, total = 0, plan.count_fresh()
    for rows, vectors, left_out in embedder.embedded(plan.fresh()):
        new = {row.sha256: vector for row, vector in zip(rows, vectors, strict=True) if vector is not None}
        if new:
            source.vector_cache.add(list(new), np.stack(list(new.values())))
        plan.embedded(rows)
        plan.left_out(left_out)
        skipped += left_out
        done += len(rows) + len(left_out)
        if progress:
            progress(done, total)
    return skipped


def _vectors(
    folder: Path, name: str, base: Entry, plan: Plan, store: Store | None, vector_cache: VectorCache, items: int
) -> tuple[ShardFacts, ...]:
    """Write the vectors that are new, and those of old files that are put together; the other files stay."""
    new = plan.count_new()
    staying = items - new
    shards = arrange(store.entry.shards if store else (), staying, new)
    writer = ShardWriter(folder, f"vectors-{name}", base.dim, base.dtype, graph=shards.graph)
    merged = [shard for shard in store.shards if shard.facts in shards.merged] if store else []
    for part in plan.vectors_wanted(0 if merged else plan.first_key):
        keys = np.array([key for key, _, _ in part], np.uint64)
        old = keys < plan.first_key
        wanted = ~old
        for shard in merged:
            wanted[old] |= shard.holds(keys[old])
        chosen = [one for one, ours in zip(part, wanted, strict=True) if ours]
        if chosen:
            writer.add([key for key, _, _ in chosen], _found(chosen, store, vector_cache, base.dim))
    return (*shards.kept, *writer.finish())


def _found(
    wanted: Sequence[tuple[int, int | None, str]], store: Store | None, vector_cache: VectorCache, dim: int
) -> np.ndarray:
    """The vectors (n, dim) of (key, key in the old index or None, hash)."""
    vectors = np.empty((len(wanted), dim), np.float32)
    taken = np.array([source is not None for _, source, _ in wanted])
    if taken.any():
        assert store is not None
        sources = [source for _, source, _ in wanted if source is not None]
        vectors[taken] = store.vectors(np.array(sources, np.uint64))
    if not taken.all():
        vectors[~taken] = vector_cache.get([sha256 for _, source, sha256 in wanted if source is None])
    return vectors


def _nothing_usable(root: Path, skipped: Sequence[Skipped]) -> VdistillError:
    first = f"; the first: {skipped[0].id}: {skipped[0].reason}" if skipped else ""
    return VdistillError(f"none of the pictures in {root} can be read{first}", hint="check the files")
