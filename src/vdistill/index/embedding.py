"""Pictures to vectors: decoding runs on threads ahead of the model, memory stays constant."""

from __future__ import annotations

import itertools
import os
import queue
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from vdistill.bundle.items import Row
from vdistill.bundle.shards import usable
from vdistill.errors import ImageError
from vdistill.images import Preprocessing, file_sha256, load, quiet
from vdistill.index.vector_cache import Pending
from vdistill.inputs.catalog import Skipped

if TYPE_CHECKING:
    from vdistill.encoders.feature_cache import TrunkCache

BATCH = 64
_THREADS = min(16, os.cpu_count() or 1)

Progress = Callable[[int, int], None]
Inputs = Mapping[str, np.ndarray]
T = TypeVar("T")
R = TypeVar("R")


class PictureModel(Protocol):
    """What embeds pictures: the dual encoder itself, or what an index exported of it."""

    @property
    def preprocessing(self) -> Preprocessing:
        """What is done to a picture before it."""
        ...

    @property
    def precision(self) -> str:
        """Names its way of computing."""
        ...

    @property
    def dim(self) -> int:
        """Length of a vector."""
        ...

    @property
    def fingerprint(self) -> str:
        """Hash of all that a vector depends on."""
        ...

    @property
    def text_fingerprint(self) -> str:
        """The same of a text's vector."""
        ...

    @property
    def on_cpu(self) -> bool:
        """Whether it shares its cores with what prepares its inputs."""
        ...

    def copies(self) -> Sequence[PictureModel]:
        """Those that may embed side by side."""
        ...

    def encode_images(self, inputs: Inputs) -> np.ndarray:
        """Unit vectors (n, dim), float32, of one preprocessed batch."""
        ...


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture that can be read, its row with the hash. inputs: None where its vector or its states are known."""

    row: Row
    inputs: Inputs | None


# Rows, the vector of each (None where it is pending already), and what had to be left out.
Embedded = tuple[list[Row], list[np.ndarray | None], list[Skipped]]


@dataclass(frozen=True)
class Embedder:
    """The encoder over the pictures below `root`; those that `trunk` keeps start behind its cut.

    The encoder's accelerator is joined by the others of its kind.
    """

    root: Path
    encoder: PictureModel
    trunk: TrunkCache | None
    pending: Pending

    def embedded(self, rows: Iterable[Row]) -> Iterator[Embedded]:
        """Batches of rows, in order, with their vectors, and what had to be left out of each."""
        with quiet(), ThreadPoolExecutor(_THREADS) as decoding, ThreadPoolExecutor(len(self._encoders)) as encoding:
            try:
                if self.encoder.on_cpu:
                    # By turns: one core that decodes while the model runs on all would keep the others waiting.
                    given = iter(rows)
                    while part := list(itertools.islice(given, BATCH)):
                        yield self._encoded(list(decoding.map(self._decoded, part)))
                    return
                decoded = ahead(decoding, self._decoded, rows, 2 * BATCH * len(self._encoders))
                batches = iter(lambda: list(itertools.islice(decoded, BATCH)), [])
                yield from ahead(encoding, self._encoded, batches, len(self._encoders))
            finally:
                decoding.shutdown(cancel_futures=True)

    @cached_property
    def _encoders(self) -> Sequence[PictureModel]:
        # The trunk borrows the model's own blocks while it computes, so nothing may run beside it.
        return self.encoder.copies()[:1] if self.trunk else self.encoder.copies()

    @cached_property
    def _free(self) -> queue.SimpleQueue[PictureModel]:
        free: queue.SimpleQueue[PictureModel] = queue.SimpleQueue()
        for encoder in self._encoders:
            free.put(encoder)
        return free

    def _decoded(self, row: Row) -> Decoded | Skipped:
        path, prepare = self.root / row.path, self.encoder.preprocessing
        try:
            row = replace(row, sha256=row.sha256 or file_sha256(path))
            if self.pending.has(row.sha256) or (self.trunk and self.trunk.has(row.sha256)):
                return Decoded(row, None)
            return Decoded(row, prepare.compact(load(path, prepare.target)))
        except ImageError as error:
            return Skipped(row.id, error.message)
        except OSError as error:
            return Skipped(row.id, (error.strerror or str(error)).lower())

    def _encoded(self, batch: Sequence[Decoded | Skipped]) -> Embedded:
        skipped = [one for one in batch if isinstance(one, Skipped)]
        pictures = [one for one in batch if isinstance(one, Decoded)]
        vectors = self._new({one.row.sha256: one.inputs for one in pictures})
        bad = {sha256 for sha256, vector in vectors.items() if not usable(vector[None])[0]}
        skipped += [
            Skipped(one.row.id, "the model gives no usable vector") for one in pictures if one.row.sha256 in bad
        ]
        rows = [one.row for one in pictures if one.row.sha256 not in bad]
        return rows, [vectors.get(row.sha256) for row in rows], skipped

    def _new(self, pictures: Mapping[str, Inputs | None]) -> dict[str, np.ndarray]:
        """The vectors of pictures that are not pending, by hash."""
        whole = {sha256: inputs for sha256, inputs in pictures.items() if inputs is not None}
        kept = [sha256 for sha256 in pictures if sha256 not in whole and not self.pending.has(sha256)]
        found: dict[str, np.ndarray] = {}
        encoder = self._free.get()
        try:
            if whole:
                stack = self.encoder.preprocessing.stack(list(whole.values()))
                found |= zip(whole, encoder.encode_images(stack), strict=True)
            if kept and self.trunk:
                found |= zip(kept, self.trunk.vectors(kept), strict=True)
        finally:
            self._free.put(encoder)
        return found


def ahead(executor: ThreadPoolExecutor, work: Callable[[T], R], given: Iterable[T], depth: int) -> Iterator[R]:
    """Results in order, with no more than `depth` in the making or waiting."""
    waiting: deque[Future[R]] = deque()
    for one in given:
        waiting.append(executor.submit(work, one))
        if len(waiting) >= depth:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
