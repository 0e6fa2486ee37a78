"""How fast images become vectors here, beside the same model in plain float32, batch by batch in turns."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from vdistill.bundle.items import Row
from vdistill.index.embedding import BATCH, Embedder
from vdistill.index.vector_cache import VectorCache
from vdistill.query.search import Searcher

if TYPE_CHECKING:  # needs torch
    from vdistill.encoders.dual_encoder import DualEncoder

BATCHES = 3  # that are timed


@dataclass(frozen=True, slots=True)
class EmbeddingSpeed:
    """images_per_second: from file to vector.  times_float32: that by plain float32, median, lowest and highest.

    times_float32 is None where the model is on another device than the CPU.
    """

    images_per_second: float
    times_float32: tuple[float, float, float] | None


def embedding_speed(searcher: Searcher, encoder: DualEncoder) -> EmbeddingSpeed | None:
    """Measured after a first batch that warms up; None where no image can be read."""
    from vdistill.encoders.replicas import replicas

    with tempfile.TemporaryDirectory() as folder:
        arms = {"used": _batches(searcher, replicas(encoder), Path(folder) / "used")}
        if encoder.on_cpu:
            arms["float32"] = _batches(searcher, [replace(encoder, precision="fp32")], Path(folder) / "float32")
        rates: dict[str, list[float]] = {name: [] for name in arms}
        for number in range(BATCHES + 1):
            for name, batches in arms.items():
                started = time.perf_counter()
                done = next(batches, 0)
                if number and done:
                    rates[name].append(done / (time.perf_counter() - started))
        for batches in arms.values():
            batches.close()
    if not rates["used"]:
        return None
    ratios = [ours / plain for ours, plain in zip(rates["used"], rates.get("float32", []), strict=False)]
    spread = (round(median(ratios), 2), round(min(ratios), 2), round(max(ratios), 2)) if ratios else None
    return EmbeddingSpeed(round(median(rates["used"]), 1), spread)


def _batches(searcher: Searcher, models: list[DualEncoder], folder: Path) -> Generator[int, None, None]:
    """Embed the catalog's images batch by batch; the number of vectors of each batch."""
    wanted = (BATCHES + 1) * BATCH
    names = (searcher.ids * (1 + wanted // len(searcher)))[:wanted]  # a small catalog is embedded several times
    files = searcher.files(names)
    rows = [Row(n, name, file, f"{n:064}", 0, 0, "{}") for n, (name, file) in enumerate(zip(names, files, strict=True))]
    folder.mkdir()
    with VectorCache(folder, "", "", models[0].dim) as vector_cache:
        for found, _, _ in Embedder(searcher.catalog_root, models, vector_cache).embedded(rows):
            yield len(found)
