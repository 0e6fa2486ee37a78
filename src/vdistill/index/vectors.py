"""Pictures to vectors: decoding runs on threads ahead of the model, memory stays constant."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from vdistill.catalog import Skipped
from vdistill.encoder import DualEncoder
from vdistill.errors import ImageError
from vdistill.images import file_sha256, load, quiet
from vdistill.index.store import Row, usable
from vdistill.trunk_cache import TrunkCache

BATCH = 64
_THREADS = min(16, os.cpu_count() or 1)

Progress = Callable[[int, int], None]
Inputs = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Embedder:
    """The encoder over the pictures below `root`; those that `trunk` keeps start behind its cut."""

    root: Path
    encoder: DualEncoder
    trunk: TrunkCache | None

    def embedded(
        self, rows: Sequence[Row], progress: Progress | None
    ) -> Iterator[tuple[list[Row], np.ndarray, list[Skipped]]]:
        """Batches of rows with their vectors, and what had to be left out of each."""
        executor = ThreadPoolExecutor(_THREADS)
        done = 0
        try:
            with quiet():
                ahead = _ahead(executor, self._decoded, rows)
                while batch := list(itertools.islice(ahead, BATCH)):
                    yield self._encoded(batch)
                    done += len(batch)
                    if progress:
                        progress(done, len(rows))
        finally:
            executor.shutdown(cancel_futures=True)

    def _decoded(self, row: Row) -> tuple[Row, Inputs | None] | Skipped:
        """The row with its hash, and the inputs of its picture; None where the trunk has its states."""
        path, prepare = self.root / row.path, self.encoder.preprocessing
        try:
            if self.trunk is not None:
                row = replace(row, sha256=row.sha256 or file_sha256(path))
                if self.trunk.has(row.sha256):
                    return row, None
            inputs = prepare(load(path, prepare.target))
            return replace(row, sha256=row.sha256 or file_sha256(path)), inputs
        except ImageError as error:
            return Skipped(row.id, error.message)
        except OSError as error:
            return Skipped(row.id, (error.strerror or str(error)).lower())

    def _encoded(
        self, batch: Sequence[tuple[Row, Inputs | None] | Skipped]
    ) -> tuple[list[Row], np.ndarray, list[Skipped]]:
        skipped = [one for one in batch if isinstance(one, Skipped)]
        pictures = [one for one in batch if not isinstance(one, Skipped)]
        vectors = np.zeros((len(pictures), self.encoder.dim), np.float32)
        whole = [place for place, (_, inputs) in enumerate(pictures) if inputs is not None]
        kept = [place for place, (_, inputs) in enumerate(pictures) if inputs is None]
        if whole:
            stack = [inputs for _, inputs in pictures if inputs is not None]
            vectors[whole] = self.encoder.encode_images(self.encoder.preprocessing.stack(stack))
        if kept:
            vectors[kept] = self._from_trunk([pictures[place][0].sha256 for place in kept])
        good = usable(vectors)
        skipped += [
            Skipped(row.id, "the model gives no usable vector")
            for (row, _), ok in zip(pictures, good, strict=True)
            if not ok
        ]
        return [row for (row, _), ok in zip(pictures, good, strict=True) if ok], vectors[good], skipped

    def _from_trunk(self, sha256: Sequence[str]) -> np.ndarray:
        assert self.trunk is not None
        with torch.inference_mode():
            states = self.trunk.read(sha256).to(self.encoder.device)
            return self.trunk.trunk.features(states).cpu().numpy()


def _ahead(executor: ThreadPoolExecutor, work: Callable[[Row], Any], rows: Iterable[Row]) -> Iterator[Any]:
    """Results in order, with no more than two batches in the making or waiting."""
    waiting: deque[Future[Any]] = deque()
    for row in rows:
        waiting.append(executor.submit(work, row))
        if len(waiting) >= 2 * BATCH:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
