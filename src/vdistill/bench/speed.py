"""`bench --speed`: how long a search takes here, and on what kind of machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from vdistill.errors import VdistillError

if TYPE_CHECKING:
    from vdistill.query.search import Searcher

WARM_QUERIES = 100
COLD_STARTS = 3


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it was measured. `memory_bytes` is None where the system does not tell."""

    cpu: str
    cores: int
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class Speed:
    """Medians of a warm query's parts (`…_ms`) and of a whole process (`cold_query_s`); the index with its encoders."""

    model: str
    items: int
    encode_ms: float
    search_ms: float
    cold_query_s: float
    index_bytes: int
    machine: Machine

    def to_json(self) -> dict[str, Any]:
        """The `speed` key of `bench --json`."""
        return asdict(self)

    def facts(self) -> dict[str, str]:
        """The same for people."""
        memory = self.machine.memory_bytes
        return {
            "a query": f"{self.encode_ms + self.search_ms:.1f} ms ({self.encode_ms:.1f} to encode the text, "
            f"{self.search_ms:.1f} to search {self.items:,} pictures)",
            "a cold query": f"{self.cold_query_s:.2f} s, the whole process",
            "index": f"{self.index_bytes / 1e6:,.1f} MB with its encoders",
            "machine": f"{self.machine.cpu}, {self.machine.cores} cores"
            + (f", {memory / 2**30:.0f} GiB" if memory else ""),
        }


def measure(searcher: Searcher, workspace: Path, queries: Sequence[str]) -> Speed:
    """Search for `queries` (at least one, up to WARM_QUERIES are used) in the open index, and once more from cold.

    workspace: the folder that a fresh `vdistill query` is to use. Raises VdistillError where that fails.
    """
    texts = list(queries[:WARM_QUERIES])
    _warm(searcher, texts[0])  # the first call loads the encoder
    warm = [_warm(searcher, text) for text in texts]
    cold = [_cold(workspace, searcher.model, texts[0]) for _ in range(COLD_STARTS)]
    return Speed(
        model=searcher.model,
        items=len(searcher),
        encode_ms=round(1e3 * median(encode for encode, _ in warm), 3),
        search_ms=round(1e3 * median(search for _, search in warm), 3),
        cold_query_s=round(median(cold), 3),
        index_bytes=sum(file.bytes for file in searcher.manifest.files),
        machine=machine(),
    )


def machine() -> Machine:
    """This machine: the CPU's name, the cores this process may use, the memory."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(_cpu_name(), usable, _memory())


def _warm(searcher: Searcher, text: str) -> tuple[float, float]:
    """Seconds to encode a text and to search for it."""
    started = time.perf_counter()
    vector = searcher.encode([text])[0]
    encoded = time.perf_counter()
    searcher.search(vector, 10)
    return encoded - started, time.perf_counter() - encoded


def _cold(workspace: Path, model: str, text: str) -> float:
    """Seconds of a whole `vdistill query`."""
    command = [sys.executable, "-m", "vdistill", "query", "--model", model, "--json", "--quiet"]
    started = time.perf_counter()
    done = subprocess.run(
        [*command, "--workspace", str(workspace), "--", text], capture_output=True, text=True, check=False
    )
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[0]
        raise VdistillError(f"a cold query failed: {reason}", hint="run `vdistill query` by hand to see why")
    return time.perf_counter() - started


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
