"""Pictures in, a published index out: only what is new or changed is embedded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vdistill.bundle import manifest
from vdistill.bundle.manifest import Entry, FileFacts
from vdistill.bundle.shards import METRICS
from vdistill.bundle.store import Store
from vdistill.errors import VdistillError
from vdistill.images import DECODER
from vdistill.index.embedding import Progress
from vdistill.index.exported import Exported
from vdistill.index.generation import Generation, Source, write
from vdistill.index.image_model import ImageModel
from vdistill.index.swap import exported, publish
from vdistill.index.vector_cache import VectorCache
from vdistill.inputs.catalog import Catalog, Skipped
from vdistill.workspace import Workspace

if TYPE_CHECKING:
    from vdistill.encoders.dual_encoder import DualEncoder

Encoders = tuple[tuple[FileFacts, ...], tuple[FileFacts, ...]]  # the files of the text's and of the pictures'

FEW = 200  # pictures; loading torch and the model takes as long as embedding so many without them


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
) -> IndexReport:
    """Embed what is new or changed in `catalog` and publish the index of `model` ("student" or "backbone").

    `made_from` names what the model was made from, for telling a stale index; `progress` is told (done, total).
    Readers see the old index until the new one is whole, also when this is killed; vectors that a killed build
    computed are kept for the next.
    Raises VdistillError when no picture is usable, the disk refuses, or another `index` is running.
    """
    from vdistill.encoders.replicas import replicas
    from vdistill.index.onnx_export import export_image_encoder, export_text_encoder

    def exports() -> Encoders:
        known = run.entries.values()
        others = [(run.folder / entry.image_encoder[0].name).parent for entry in known if entry.image_encoder]
        texts, images = partial(export_text_encoder, encoder), partial(export_image_encoder, encoder, known=others)
        return (
            exported(run.folder, "text_encoder", encoder.text_fingerprint, known, texts),
            exported(run.folder, "image_encoder", encoder.fingerprint, known, images),
        )

    with _Run.of(workspace, model) as run, VectorCache.of(workspace.cache, encoder) as vector_cache:
        base = _blank(run.entries, catalog, encoder, dtype, made_from, seed)
        report = run.publish(base, Source(catalog, replicas(encoder), vector_cache), exports, progress)
    assert report is not None
    return report


def refresh(
    workspace: Workspace,
    catalog: Catalog,
    model: str,
    *,
    dtype: str = "bf16",
    made_from: str = "",
    seed: int = 0,
    progress: Progress | None = None,
) -> IndexReport | None:
    """What `build` does, without torch, by the image encoder that the index has of the same model.

    That starts in a blink but embeds at half the rate, so it is for FEW pictures: None, and nothing is changed, where
    there are more, or the index is missing, damaged or of something else.
    Raises VdistillError as `build` does.
    """
    with _Run.of(workspace, model) as run:
        old = run.store.entry if run.store else None
        if old is None or (old.made_from, old.dtype) != (made_from, dtype):
            return None
        encoder = Exported.of(run.folder, old)
        if encoder is None:
            return None
        base = _blank(run.entries, catalog, encoder, dtype, made_from, seed)
        with VectorCache.of(workspace.cache, encoder) as vector_cache:
            source = Source(catalog, [encoder], vector_cache, few=FEW)
            return run.publish(base, source, lambda: (old.text_encoder, old.image_encoder), progress)


@dataclass(frozen=True)
class _Run:
    """One build under way, and the index before it."""

    folder: Path
    model: str
    entries: dict[str, Entry]
    store: Store | None
    started: float

    @classmethod
    @contextmanager
    def of(cls, workspace: Workspace, model: str) -> Iterator[_Run]:
        """Nobody else builds meanwhile. Raises VdistillError where somebody does."""
        started = time.monotonic()
        with workspace.lock("index"), ExitStack() as stack:
            entries, store = _old(workspace.index, model, stack)
            yield cls(workspace.index, model, entries, store, started)

    def publish(
        self, base: Entry, source: Source, exports: Callable[[], Encoders], progress: Progress | None
    ) -> IndexReport | None:
        """Write what is new and put it in place of the old; None where `source` allows only a few new pictures."""
        made = write(self.folder, self.model, base, self.store, source, progress)
        if made is None:
            return None
        texts, images = exports()
        entry = replace(made.entry, text_encoder=texts, image_encoder=images)
        publish(self.folder, self.model, self.entries, entry)
        source.vector_cache.remove()
        return _report(self.model, made, entry, self.started)


def _old(folder: Path, model: str, stack: ExitStack) -> tuple[dict[str, Entry], Store | None]:
    """The index before this run. A damaged one counts as none: this run is its remedy."""
    try:
        entries = manifest.read(folder)
    except VdistillError:
        return {}, None
    try:
        store = Store.open(folder, model) if model in entries else None
        if store:
            stack.callback(store.close)
        for file in (one for shard in store.entry.shards for one in shard.files) if store else ():
            file.check(folder, full=True)  # damage must not be carried over
    except VdistillError:
        return entries, None
    return entries, store


def _blank(
    entries: dict[str, Entry], catalog: Catalog, encoder: ImageModel, dtype: str, made_from: str, seed: int
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
        metric=METRICS[dtype],
        count=0,
        catalog=str(catalog.root),
        created=time.time(),
        seed=seed,
        next_key=0,
        shards=(),
        items=FileFacts("", 0, "", ""),
        text_encoder=(),
        image_encoder=(),
        decoder=DECODER,
    )


def _report(model: str, made: Generation, entry: Entry, started: float) -> IndexReport:
    counts = made.counts
    return IndexReport(
        model=model,
        items=counts.items,
        added=counts.added,
        updated=counts.updated,
        removed=counts.removed,
        skipped=made.skipped,
        dtype=entry.dtype,
        bytes=sum(file.bytes for file in entry.files),
        seconds=round(time.monotonic() - started, 3),
    )
