"""`bench --speed`: how long everything takes here, and on what kind of machine."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from vdistill.bench.speed import child_process
from vdistill.bench.speed.embedding_speed import embedding_speed
from vdistill.bench.speed.machine import Machine
from vdistill.bench.speed.recall_speed import Build, Point, recall_speed
from vdistill.errors import VdistillError
from vdistill.programs import environment
from vdistill.query.search import Searcher

if TYPE_CHECKING:  # needs torch
    from vdistill.encoders.dual_encoder import DualEncoder

WARM_QUERIES = 100
COLD_STARTS = 3
PACKAGES = ("vdistill", "torch", "onnxruntime", "usearch", "numkong")


@dataclass(frozen=True, slots=True)
class Speed:
    """What was measured.

    encode_ms, search_ms: medians of a warm query.  cold_query_s, cold_query_bytes: time and peak memory of a whole
    process; None where the system does not tell.  images_per_second: from file to vector; None where no image can be
    read.  build: of lists.  recall: ways to search.  index_bytes: on disk, with its encoders; disk_bytes: by part.
    times_float32: as of `EmbeddingSpeed`.  help_s: of `vdistill --help`, the whole process.  versions: by package.
    """

    model: str
    items: int
    encode_ms: float
    search_ms: float
    cold_query_s: float
    cold_query_bytes: int | None
    images_per_second: float | None
    build: Build
    recall: tuple[Point, ...]
    index_bytes: int
    disk_bytes: dict[str, int]
    machine: Machine
    times_float32: tuple[float, float, float] | None = None
    help_s: float | None = None
    versions: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The `speed` key of `bench --json`."""
        return asdict(self)

    def facts(self) -> dict[str, str]:
        """The same for people to read, by name."""
        memory = f", {self.cold_query_bytes / 2**20:,.0f} MiB of memory" if self.cold_query_bytes else ""
        parts = ", ".join(f"{name} {size / 1e6:,.1f}" for name, size in self.disk_bytes.items())
        embedding = "–" if self.images_per_second is None else f"{self.images_per_second:,.0f} images per second"
        if self.times_float32:
            embedding += ", {:.1f} times [{:.1f}, {:.1f}] plain float32".format(*self.times_float32)
        return {
            "embedding": embedding,
            "making lists": f"{self.build.adds_per_second:,.0f} vectors per second (of {self.build.vectors:,})",
            "a query": f"{self.encode_ms + self.search_ms:.1f} ms ({self.encode_ms:.1f} to encode the text, "
            f"{self.search_ms:.1f} to search {self.items:,} images)",
            "a cold query": f"{self.cold_query_s:.2f} s, the whole process{memory}",
            "--help": "–" if self.help_s is None else f"{self.help_s:.2f} s",
            "recall@10": _recall(self.recall),
            "index": f"{self.index_bytes / 1e6:,.1f} MB on disk ({parts})",
            "machine": self.machine.describe(),
            "versions": ", ".join(f"{name} {number}" for name, number in self.versions.items()) or "–",
        }


def measure(searcher: Searcher, encoder: DualEncoder, workspace: Path, queries: Sequence[str]) -> Speed:
    """Search for `queries` (at least one, up to WARM_QUERIES are used), warm and from cold; embed; make lists.

    encoder: the model that embeds the images.  workspace: the folder that a fresh `vdistill query` is to use.
    Raises VdistillError where that fails.
    """
    texts = list(queries[:WARM_QUERIES])
    _warm(searcher, texts[0])  # the first call loads the encoder
    warm = [_warm(searcher, text) for text in texts]
    cold = [_cold(workspace, searcher.model, texts[0]) for _ in range(COLD_STARTS)]
    points, build = recall_speed(searcher.store, searcher.encode(texts))
    embedding = embedding_speed(searcher, encoder)
    entry = searcher.manifest
    parts = {
        "vectors": [file for shard in entry.shards for file in shard.files],
        "items": [entry.items],
        "encoders": [*entry.text_encoder, *entry.image_encoder],
    }
    return Speed(
        model=searcher.model,
        items=len(searcher),
        encode_ms=round(1e3 * median(encode for encode, _ in warm), 3),
        search_ms=round(1e3 * median(search for _, search in warm), 3),
        cold_query_s=round(median(seconds for seconds, _ in cold), 3),
        cold_query_bytes=max((peak for _, peak in cold if peak is not None), default=None),
        images_per_second=embedding.images_per_second if embedding else None,
        times_float32=embedding.times_float32 if embedding else None,
        help_s=round(median(_process(["--help"])[0] for _ in range(COLD_STARTS)), 3),
        versions={name: version(name) for name in PACKAGES},
        build=build,
        recall=tuple(points),
        index_bytes=sum(file.bytes for file in entry.files),
        disk_bytes={name: sum(file.bytes for file in files) for name, files in parts.items()},
        machine=Machine.this(),
    )


def _warm(searcher: Searcher, text: str) -> tuple[float, float]:
    """Seconds to encode a text and to search for it."""
    started = time.perf_counter()
    vector = searcher.encode([text])[0]
    encoded = time.perf_counter()
    searcher.search(vector, 10)
    return encoded - started, time.perf_counter() - encoded


def _cold(workspace: Path, model: str, text: str) -> tuple[float, int | None]:
    """Seconds of a whole `vdistill query`, and its peak memory in bytes."""
    return _process(["query", "--model", model, "--workspace", str(workspace), "--json", "--quiet", "--", text])


def _process(arguments: Sequence[str]) -> tuple[float, int | None]:
    """Seconds of a whole `vdistill`, and its peak memory in bytes."""
    command = [sys.executable, child_process.__file__, sys.executable, "-m", "vdistill", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[0]
        raise VdistillError(
            f"a cold vdistill {arguments[0]} failed: {reason}", hint=f"run `vdistill {arguments[0]}` by hand to see why"
        )
    found = json.loads(done.stdout)
    return found["seconds"], found["peak"]


def _recall(points: Sequence[Point]) -> str:
    """The recall of the search that is used, and of lists where none are used."""

    def one(point: Point) -> str:
        how = "comparing with every vector" if point.width is None else f"lists of width {point.width}"
        return f"{point.recall:.3f} at {point.queries_per_second:,.0f} per second, {how}"

    used = next(point for point in points if point.used)
    other = next((point for point in points if point.width and point.recall >= 0.95 and not point.used), None)
    return one(used) + (f"; {one(other)}" if other and used.width is None else "")
