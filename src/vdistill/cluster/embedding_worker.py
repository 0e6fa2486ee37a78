"""A worker that embeds images: it decodes them and has a copy of the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from vdistill.bundle.items import Row
from vdistill.encoders.cpu_copy import with_path
from vdistill.encoders.device import Precision, pick_precision
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.index.embedding import Embedder
from vdistill.inputs.listings import Skipped

BYTES = 16  # of a hash that tell images apart


@dataclass(frozen=True, slots=True)
class Model:
    """A dual encoder without its tokenizer, on the CPU, as it travels to the workers."""

    source: str
    model: Any
    preprocessing: Any
    precision: Precision
    on_gpu: bool  # in the process that sent it
    layout: str


@dataclass(frozen=True)
class Part:
    """Images for a worker.  deaths: how many workers died of it."""

    rows: Sequence[Row]
    deaths: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Found:
    """What a worker made of a part.

    keys: the rows and their hashes, in order.  new: which of them have a vector here, in `vectors` (new, dim), float32;
    the others have one already.
    """

    keys: list[tuple[int, str]]
    new: np.ndarray
    vectors: np.ndarray
    skipped: list[Skipped]


@dataclass(frozen=True, slots=True)
class Known:
    """The images that have vectors already.  hashes: `shortened`, sorted."""

    hashes: np.ndarray

    def has(self, sha256: str) -> bool:
        """Whether this one has."""
        wanted = shortened(sha256)
        place = int(np.searchsorted(self.hashes, wanted))
        return place < len(self.hashes) and bool(self.hashes[place] == wanted)


def shortened(sha256: str) -> bytes:
    """The start of a hash, as numpy keeps it in an array: without zeros at its end."""
    return bytes.fromhex(sha256)[:BYTES].rstrip(b"\0")


class EmbeddingWorker:
    """Embeds parts of a catalog. `prepare` before the first."""

    def __init__(self, cpus: int, gpu: bool) -> None:
        """cpus, gpu: what this worker may use."""
        self._cpus, self._gpu = max(cpus, 1), gpu
        self._embedder: Embedder | None = None

    def load_code(self) -> None:
        """Load what the code of all models imports, which takes seconds, before there is one."""
        import transformers.modeling_utils  # noqa: F401

    def hello(self) -> bool:
        """Answer as soon as there is room."""
        return True

    def prepare(
        self, model: Model, known: np.ndarray, root: str, path: str | None, threads: int | None = None
    ) -> list[str]:
        """Set up the model; returns notices.

        known: see `Known`.  root: of the catalog.  path: the numeric path of a model on a CPU.
        threads: of torch at most; the last bits of float32 vectors depend on how many there are.
        """
        torch.set_num_threads(min(self._cpus, threads or self._cpus))
        found, notices = self._encoder(model), []
        if not self._gpu:
            try:
                found = with_path(found, path)
            except Exception:  # whatever a build of torch raises without the instructions: the encoder itself works
                notices.append(f"some processors of the cluster do not compute in {path}: they embed without it")
        self._embedder = Embedder(root, [found], Known(known), threads=self._cpus)
        return notices

    def embed(self, part: Part) -> Found:
        """Decode and embed all images of a part."""
        assert self._embedder is not None
        keys, new, vectors, skipped = [], [], [], []
        for rows, found, left_out in self._embedder.embedded(part.rows):
            keys += [(row.key, row.sha256) for row in rows]
            new += [vector is not None for vector in found]
            vectors += [vector for vector in found if vector is not None]
            skipped += left_out
        stacked = np.stack(vectors) if vectors else np.zeros((0, 0), np.float32)
        return Found(keys, np.array(new, bool), stacked, skipped)

    def _encoder(self, of: Model) -> DualEncoder:
        device = torch.device("cuda" if self._gpu else "cpu")
        precision = of.precision if of.on_gpu is self._gpu else pick_precision("auto", device)
        model = of.model.to(device)
        return DualEncoder(of.source, model, None, of.preprocessing, device, precision, of.layout)
