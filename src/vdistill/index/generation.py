"""One generation of an index: its items and its files of vectors, from what the old one has and what is embedded."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vdistill.bundle.manifest import Entry, FileFacts, ShardFacts
from vdistill.bundle.shard_writer import ShardWriter
from vdistill.bundle.store import Store
from vdistill.errors import VdistillError
from vdistill.index.compact import arrange
from vdistill.index.embedding import Embedder, ImageModel, MakesEmbedder, Progress
from vdistill.index.item_fields import ItemFields
from vdistill.index.plan import Counts, Plan, WantedVector, of_image
from vdistill.index.vector_cache import VectorCache
from vdistill.inputs.catalog import Catalog
from vdistill.inputs.listings import Skipped
from vdistill.sources import shown
from vdistill.workspace import writing


@dataclass(frozen=True)
class Source:
    """The images to embed, and the models that embed them.

    models: copies of one model, which work in parallel.  progress: called with (done, total).
    limit: the most images to embed; None for any number.
    fields: makes the items' vectors, where they hold texts too.  embedder: what embeds them with these models.
    """

    catalog: Catalog
    models: Sequence[ImageModel]
    vector_cache: VectorCache
    progress: Progress | None = None
    limit: int | None = None
    fields: ItemFields | None = None
    embedder: MakesEmbedder = Embedder


@dataclass(frozen=True)
class Generation:
    """Files that are written but not published yet. The entry lacks the exported encoders."""

    entry: Entry
    counts: Counts
    skipped: tuple[Skipped, ...]


def write_generation(folder: Path, name: str, entry: Entry, old: Store | None, source: Source) -> Generation | None:
    """Write items and vectors into `folder`; None where there are more images to embed than `source` allows.

    name: part of the file names.  entry: of the new index, its files still missing.  old: the index before, undamaged.
    Raises VdistillError when no image is usable, or the disk refuses.
    """
    catalog, items = source.catalog, f"items-{name}.db"
    reused = old if old and _same_vectors(old.entry, entry) else None
    first_key = reused.entry.next_key if reused else 0
    old_items = folder / old.entry.items.name if old else None
    content = source.fields.content if source.fields else of_image
    with writing(folder), Plan(folder / items, old_items, first_key, content) as plan:
        skipped = [*catalog.skipped, *plan.enter(catalog, reuse=reused is not None)]
        if source.fields:
            absent, refused = source.fields.with_text(catalog.imageless), {one.id for one in skipped if one.passing}
            unread = source.fields.with_text([item for item in catalog.items if item.id in refused])
            plan.enter_texts([*absent, *unread], catalog.root, reuse=reused is not None)
            skipped = [one for one in skipped if one.id not in {item.id for item in absent}]
            skipped = _said(skipped, {item.id for item in unread})
        if source.limit is not None and plan.count_fresh() > source.limit:
            return None
        skipped += _embed(plan, source)
        counts = plan.counts()
        if not counts.items:
            raise _nothing_usable(catalog.root, skipped)
        if reused and plan.unchanged():
            unchanged = replace(reused.entry, made_from=entry.made_from, text_fingerprint=entry.text_fingerprint,
                                catalog=entry.catalog)  # fmt: skip
            return Generation(unchanged, counts, tuple(skipped))
        entry = replace(entry, count=counts.items, next_key=plan.next_key)
        shards = _write_shards(folder / f"vectors-{name}", entry, plan, reused, source)
        plan.finish()
        facts = FileFacts.measure(folder, items)
    return Generation(replace(entry, shards=shards, items=facts), counts, tuple(skipped))


def _same_vectors(old: Entry, new: Entry) -> bool:
    """Whether the old vectors are those that would be computed and stored today."""
    names = ("model_fingerprint", "preprocessing", "decoder", "dtype")
    return all(getattr(old, name) == getattr(new, name) for name in names)


def _embed(plan: Plan, source: Source) -> list[Skipped]:
    """Put the vectors of all images to embed into the cache; returns the items that had to be left out."""
    embedder = source.embedder(source.catalog.root, source.models, source.vector_cache)
    skipped: list[Skipped] = []
    done, total = 0, plan.count_fresh()
    for rows, vectors, left_out in embedder.embedded(plan.fresh()):
        new = {row.sha256: vector for row, vector in zip(rows, vectors, strict=True) if vector is not None}
        if new:
            source.vector_cache.add(list(new), np.stack(list(new.values())))
        plan.set_hashes(rows)
        skipped += _left_out(plan, left_out, source.fields)
        done += len(rows) + len(left_out)
        if source.progress:
            source.progress(done, total)
    return skipped


def _left_out(plan: Plan, skipped: Sequence[Skipped], fields: ItemFields | None) -> list[Skipped]:
    """Remove items whose images cannot be embedded, but for those that have texts to be indexed by."""
    metadata = plan.metadata_of([one.id for one in skipped]) if fields and skipped else {}
    texts = {key for key, found in metadata.items() if fields and fields.has_text(found)}
    plan.remove([one for one in skipped if one.id not in texts])
    plan.forget_images(texts, [one.id for one in skipped if one.passing and one.id in texts])
    return _said(skipped, texts)


def _said(skipped: Sequence[Skipped], by_text: Collection[str]) -> list[Skipped]:
    """With a word on those that are indexed by their texts."""
    return [replace(one, reason=f"{one.reason}; indexed by its text") if one.id in by_text else one for one in skipped]


def _write_shards(stem: Path, entry: Entry, plan: Plan, old: Store | None, source: Source) -> tuple[ShardFacts, ...]:
    """Write the vectors that are new, and those of old files that are merged; the other old files are kept."""
    new = plan.count_new()
    files = arrange(old.entry.shards if old else (), staying=entry.count - new, new=new)
    merged = [shard for shard in old.shards if shard.facts in files.merged] if old else []
    writer = ShardWriter(stem.parent, stem.name, entry.dim, entry.dtype, lists=files.lists)
    for part in plan.vectors_wanted(0 if merged else plan.first_key):
        keys = np.array([one.key for one in part], np.uint64)
        chosen = keys >= plan.first_key
        for shard in merged:
            chosen |= shard.holds(keys)
        if chosen.any():
            wanted = [one for one, is_chosen in zip(part, chosen, strict=True) if is_chosen]
            writer.add(keys[chosen], _vectors(wanted, old, source))
    return (*files.kept, *writer.finish())


def _vectors(wanted: Sequence[WantedVector], old: Store | None, source: Source) -> np.ndarray:
    """(n, dim) float32, from the old index or from the cache."""
    vectors = np.empty((len(wanted), source.vector_cache.dim), np.float32)
    from_old = np.array([one.old_key is not None for one in wanted])
    if old and from_old.any():
        vectors[from_old] = old.vectors(np.array([one.old_key for one in wanted if one.old_key is not None], np.uint64))
    if not from_old.all():
        new = [one for one in wanted if one.old_key is None]
        images = _image_vectors([one.sha256 for one in new], source.vector_cache)
        vectors[~from_old] = source.fields.vectors(images, [one.metadata for one in new]) if source.fields else images
    return vectors


def _image_vectors(sha256: Sequence[str], vector_cache: VectorCache) -> np.ndarray:
    """(n, dim) float32, zero for an item without an image."""
    vectors = np.zeros((len(sha256), vector_cache.dim), np.float32)
    there = np.array([bool(one) for one in sha256])
    if there.any():
        vectors[there] = vector_cache.get([one for one in sha256 if one])
    return vectors


def _nothing_usable(root: str, skipped: Sequence[Skipped]) -> VdistillError:
    first = f"; the first: {skipped[0].id}: {skipped[0].reason}" if skipped else ""
    return VdistillError(f"none of the images in {shown(root)} can be read{first}", hint="check the files")
