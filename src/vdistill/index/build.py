"""A catalog in, a published index out: only what is new or changed is embedded."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vdistill.bundle import manifest
from vdistill.bundle.image_encoder import ImageEncoder
from vdistill.bundle.manifest import Entry
from vdistill.bundle.shards import METRIC_OF
from vdistill.bundle.store import Store
from vdistill.bundle.text_encoder import TextEncoder
from vdistill.encoders.item_head import ItemHead
from vdistill.encoders.student import same_provenance
from vdistill.errors import VdistillError
from vdistill.images import DECODER_VERSION
from vdistill.index.embedding import Embedder, MakesEmbedder, Progress
from vdistill.index.encoder_files import Files, encoder_files
from vdistill.index.fit_sources import fit_of
from vdistill.index.generation import Generation, Source, write_generation
from vdistill.index.item_fields import ItemFields
from vdistill.index.vector_cache import VectorCache
from vdistill.inputs.catalog import Catalog
from vdistill.inputs.listings import Skipped
from vdistill.workspace import Workspace, writing

if TYPE_CHECKING:
    from vdistill.encoders.dual_encoder import DualEncoder

FEW = 200  # images; loading torch and the model takes about as long as embedding so many without them


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What a build did.  updated: images embedded again, and items whose metadata changed.  bytes: size on disk.

    by_text: items without an image that can be read, which the student indexes by their texts.
    fit: whose judgments the fit of hits was made from, and how many; None where it is not known.
    """

    model: str
    items: int
    added: int
    updated: int
    removed: int
    by_text: int
    skipped: tuple[Skipped, ...]
    dtype: str
    bytes: int
    seconds: float
    fit: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """The document of `index --json`."""
        skipped = [{"id": one.id, "reason": one.reason} for one in self.skipped]
        return asdict(replace(self, skipped=())) | {"skipped": skipped}


def build(
    workspace: Workspace,
    catalog: Catalog,
    encoder: DualEncoder,
    model: str,
    *,
    dtype: str = "bf16",
    made_from: str = "",
    head: ItemHead | None = None,
    progress: Progress | None = None,
    embedder: MakesEmbedder = Embedder,
) -> IndexReport:
    """Embed what is new or changed in `catalog` and publish the index of `model` ("student" or "backbone").

    made_from: names what the model was made from, to recognise a stale index.  head: of a student whose items' vectors
    hold texts too.  progress: called with (done, total).  embedder: what embeds: this process, or a cluster.
    Readers see the old index until the new one is complete, even when this process is killed; vectors that a killed
    build computed are kept for the next.
    Raises VdistillError when no image is usable, the disk refuses, or another `index` is running.
    """
    from vdistill.encoders.replicas import replicas
    from vdistill.encoders.text_copy import KeptTexts

    with (
        _started(workspace, model) as run,
        VectorCache(workspace.cache, encoder.fingerprint, encoder.precision, encoder.dim) as cache,
    ):
        entry = Entry(
            generation=run.generation,
            made_from=made_from,
            model_fingerprint=_fingerprint(encoder.fingerprint, head),
            text_fingerprint=encoder.text_fingerprint,
            preprocessing=encoder.preprocessing.to_json(),
            dim=encoder.dim,
            dtype=dtype,
            metric=METRIC_OF[dtype],
            catalog=catalog.root,
            created=time.time(),
            count=0,
            next_key=0,
            decoder=DECODER_VERSION,
        )
        texts = KeptTexts(encoder, workspace)
        fields = ItemFields(head, texts.encode, cache) if head else None
        source = Source(catalog, replicas(encoder), cache, progress, fields=fields, embedder=embedder)
        made = run.write(entry, source)
        assert made is not None  # as the source has no limit
        texts.save()
        return run.publish(made, encoder_files(encoder, run.folder, run.entries.values()), cache)


def refresh(
    workspace: Workspace,
    catalog: Catalog,
    model: str,
    *,
    dtype: str = "bf16",
    made_from: str = "",
    head: ItemHead | None = None,
    progress: Progress | None = None,
    anyway: bool = False,
) -> IndexReport | None:
    """Do what `build` does without torch, with the exported image encoder of the present index.

    That starts at once but embeds at half the rate, so it is for FEW images: None, and nothing is changed, where there
    are more, or where the index is missing, damaged, or of another model or precision.
    anyway: there is no torch, so also for many images, another precision, and a backbone whose folder is not here.
    Raises VdistillError as `build` does.
    """
    with _started(workspace, model) as run:
        old = run.old.entry if run.old else None
        if old is None or not (same_provenance(old.made_from, made_from) if anyway else
                               (old.made_from, old.dtype) == (made_from, dtype)):  # fmt: skip
            return None
        encoder = _exported(run.folder, old)
        if encoder is None:
            return None
        entry = replace(
            old, generation=run.generation, catalog=catalog.root, created=time.time(), decoder=DECODER_VERSION,
            dtype=dtype, metric=METRIC_OF[dtype],
        )  # fmt: skip
        limit = None if anyway else FEW
        with VectorCache(workspace.cache, old.model_fingerprint, "exported", old.dim) as cache:
            fields = ItemFields(head, _text_encoder(run.folder, old).encode, cache) if head else None
            made = run.write(entry, Source(catalog, [encoder], cache, progress, limit=limit, fields=fields))
            return run.publish(made, (old.text_encoder, old.image_encoder), cache) if made else None


@dataclass(frozen=True)
class _Run:
    """A build in progress.  entries: of the present manifest.  old: the present index of this model, if it is whole."""

    workspace: Workspace
    folder: Path
    model: str
    entries: dict[str, Entry]
    old: Store | None
    started: float

    @property
    def generation(self) -> int:
        """A number that no generation in the manifest has."""
        return 1 + max((entry.generation for entry in self.entries.values()), default=0)

    def write(self, entry: Entry, source: Source) -> Generation | None:
        """Write the files of `entry`; None beyond the limit of `source`."""
        return write_generation(self.folder, f"{self.model}-{entry.generation}", entry, self.old, source)

    def publish(self, made: Generation, encoders: tuple[Files, Files], cache: VectorCache) -> IndexReport:
        """Name the new files in the manifest, and remove those that no entry names any more."""
        texts, images = encoders
        entry = replace(made.entry, text_encoder=texts, image_encoder=images)
        before = self.old.entry if self.old else None
        entry = replace(entry, fit=fit_of(self.workspace, self.folder, entry, before, self.entries.values()))
        others = {
            name: replace(other, text_encoder=texts)  # one folder for both models, so one set of hashes
            if other.text_fingerprint == entry.text_fingerprint
            else other
            for name, other in self.entries.items()
        }
        entries = {**others, self.model: entry}
        if entries != self.entries:
            manifest.write(self.folder, entries)
        with writing(self.folder):
            manifest.sweep(self.folder, entries.values())
        cache.remove()
        return IndexReport(
            model=self.model,
            **asdict(made.counts),
            skipped=made.skipped,
            dtype=entry.dtype,
            bytes=sum(file.bytes for file in entry.files),
            seconds=round(time.monotonic() - self.started, 3),
            fit=entry.fit["facts"] if entry.fit else None,
        )


@contextmanager
def _started(workspace: Workspace, model: str) -> Iterator[_Run]:
    """Open the present index, with no other build running. Raises VdistillError where there is one."""
    started = time.monotonic()
    with workspace.lock("index"):
        try:
            entries = manifest.read(workspace.index)
        except VdistillError:  # damaged: this build is the remedy
            entries = {}
        old = _open_whole(workspace.index, model) if model in entries else None
        try:
            yield _Run(workspace, workspace.index, model, entries, old, started)
        finally:
            if old:
                old.close()


def _open_whole(folder: Path, model: str) -> Store | None:
    """The index of `model`; None for a damaged one, whose damage must not be carried over."""
    try:
        store = Store.open(folder, model)
    except VdistillError:
        return None
    try:
        for shard in store.entry.shards:
            for file in shard.files:
                file.check(folder, full=True)
    except VdistillError:
        store.close()
        return None
    return store


def _fingerprint(encoder: str, head: ItemHead | None) -> str:
    """Hash of all that the vectors in an index depend on."""
    return hashlib.sha256(f"{encoder} {head.fingerprint}".encode()).hexdigest()[:32] if head else encoder


def _text_encoder(folder: Path, entry: Entry) -> TextEncoder:
    """The exported text encoder of an index, whose files `_exported` found whole."""
    return TextEncoder.open((folder / entry.text_encoder[0].name).parent)


def _exported(folder: Path, entry: Entry) -> ImageEncoder | None:
    """The exported image encoder of an index; None where there is none, or a file of either encoder is damaged."""
    if not entry.image_encoder:
        return None
    try:
        paths = [file.check(folder, full=True) for file in (*entry.image_encoder, *entry.text_encoder)]
        return ImageEncoder.open(paths[0].parent)
    except VdistillError:
        return None
