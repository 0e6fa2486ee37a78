"""Images to vectors: threads decode ahead of the model, in constant memory."""

from __future__ import annotations

import itertools
import os
import queue
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

import numpy as np

from vdistill.bundle.image_encoder import ImageEncoder
from vdistill.bundle.items import Row
from vdistill.bundle.vectors import usable
from vdistill.errors import ImageError
from vdistill.images import file_sha256, load, quiet
from vdistill.index.vector_cache import VectorCache
from vdistill.inputs.listings import Skipped
from vdistill.sources import Source, joined, source_at
from vdistill.sources.read_ahead import read_ahead

if TYPE_CHECKING:
    from vdistill.encoders.dual_encoder import DualEncoder

Inputs = Mapping[str, np.ndarray]
ImageModel: TypeAlias = "DualEncoder | ImageEncoder"  # the model itself, or what an index exported of it
Progress = Callable[[int, int], None]

BATCH = 64
_THREADS = min(16, os.cpu_count() or 1)

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Decoded:
    """An image that was read.  row: its item, hash included.  inputs: None where the cache has its vector."""

    row: Row
    inputs: Inputs | None


class Embedded(NamedTuple):
    """A batch of items.  vectors: one per row, (dim,) float32, or None where the cache has it."""

    rows: list[Row]
    vectors: list[np.ndarray | None]
    skipped: list[Skipped]


@dataclass(frozen=True)
class Embedder:
    """Embeds images of the catalog `root` with copies of one model, side by side."""

    root: str
    models: Sequence[ImageModel]
    vector_cache: VectorCache

    def embedded(self, rows: Iterable[Row]) -> Iterator[Embedded]:
        """All rows in order, in batches, each with its vectors and what had to be left out."""
        read = read_ahead(rows, self._source)
        with quiet(), ThreadPoolExecutor(_THREADS) as decoding, ThreadPoolExecutor(len(self.models)) as encoding:
            try:
                if self.models[0].on_cpu:
                    # In turns: one core that decodes while the model runs on all would keep the others waiting.
                    while part := list(itertools.islice(read, BATCH)):
                        yield self._encoded(list(decoding.map(self._decoded, part)))
                    return
                decoded = ahead(decoding, self._decoded, read, 2 * BATCH * len(self.models))
                batches = iter(lambda: list(itertools.islice(decoded, BATCH)), [])
                yield from ahead(encoding, self._encoded, batches, len(self.models))
            finally:
                decoding.shutdown(cancel_futures=True)
                read.close()

    @cached_property
    def _free(self) -> queue.SimpleQueue[ImageModel]:
        free: queue.SimpleQueue[ImageModel] = queue.SimpleQueue()
        for model in self.models:
            free.put(model)
        return free

    def _source(self, row: Row) -> tuple[str, Source]:
        locator = joined(self.root, row.path)
        stamp = None if row.ctime_ns is None else (row.size, row.mtime_ns, row.ctime_ns)
        return locator, source_at(locator, stamp)

    def _decoded(self, given: tuple[Row, Source]) -> Decoded | Skipped:
        row, source = given
        prepare = self.models[0].preprocessing
        try:
            row = replace(row, sha256=row.sha256 or file_sha256(source))
            if self.vector_cache.has(row.sha256):
                return Decoded(row, None)
            return Decoded(row, prepare.compact(load(source, prepare.target)))
        except ImageError as error:
            cause = error.__cause__  # of Pillow's own errors about damaged files none has a number
            return Skipped(row.id, error.message, passing=isinstance(cause, OSError) and cause.errno is not None)
        except OSError as error:
            return Skipped(row.id, (error.strerror or str(error)).lower(), passing=True)

    def _encoded(self, batch: Sequence[Decoded | Skipped]) -> Embedded:
        skipped = [one for one in batch if isinstance(one, Skipped)]
        images = [one for one in batch if isinstance(one, Decoded)]
        vectors = self._new({one.row.sha256: one.inputs for one in images})
        bad = {sha256 for sha256, vector in vectors.items() if not usable(vector[None])[0]}
        skipped += [Skipped(one.row.id, "the model gives no usable vector") for one in images if one.row.sha256 in bad]
        rows = [one.row for one in images if one.row.sha256 not in bad]
        return Embedded(rows, [vectors.get(row.sha256) for row in rows], skipped)

    def _new(self, images: Mapping[str, Inputs | None]) -> dict[str, np.ndarray]:
        """The vectors of images that the cache does not have, by hash."""
        new = {sha256: inputs for sha256, inputs in images.items() if inputs is not None}
        if not new:
            return {}
        model = self._free.get()
        try:
            vectors = model.encode_images(model.preprocessing.stack(list(new.values())))
        finally:
            self._free.put(model)
        return dict(zip(new, vectors, strict=True))


def ahead(executor: ThreadPoolExecutor, work: Callable[[T], R], given: Iterable[T], depth: int) -> Iterator[R]:
    """The results of `work` in order, with at most `depth` of them in progress or waiting."""
    waiting: deque[Future[R]] = deque()
    for one in given:
        waiting.append(executor.submit(work, one))
        if len(waiting) >= depth:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
