"""Ten million made vectors on one machine: built in bounded memory, killed and resumed, searched cold and warm.

    python tests/benchmarks/ten_million.py --count 10000000 --threads 16 --folder /tmp/ten_million
    python tests/benchmarks/ten_million.py --quick

Needs numpy, usearch, onnxruntime, pillow and src/, and for ten million 15 GB of disk. Each stage is a process of its
own, whose peak memory is told; `--stage NAME` runs one of them. Vectors are made again from their number wherever they
are needed.

build     vectors into files of a million, then the items; the first attempt is killed (SIGKILL) half-way
truth     the ten nearest of each query, by exact search
search    Searcher.search by vector: warm; and cold, from files whose pages were dropped (posix_fadvise) before each
          query, and before a series of queries
reindex   0.1 % of the items are new: the file that is added
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import platform
import resource
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np

DIM, LATENT, CENTRES, QUERIES, K = 512, 64, 2000, 200, 10
BLOCK = 50_000


class Made:
    """Vectors of the distribution of `search_scale.py`, about 2,000 centres: any block of them, by its number."""

    def __init__(self, count: int) -> None:
        rng = np.random.default_rng(0)
        self.count = count
        self._spread = rng.standard_normal((LATENT, DIM), np.float32)
        self._centres = rng.standard_normal((CENTRES, LATENT), np.float32)

    def block(self, number: int, size: int) -> np.ndarray:
        """(size, DIM) unit vectors; block -1 holds the queries."""
        rng = np.random.default_rng([1, number + 1])
        near = self._centres[rng.integers(0, len(self._centres), size)]
        vectors = (near + 0.7 * rng.standard_normal((size, LATENT), np.float32)) @ self._spread
        vectors += 0.3 * rng.standard_normal((size, DIM), np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def blocks(self) -> Iterator[tuple[int, np.ndarray]]:
        """All vectors, each block with the number of its first."""
        for number, first in enumerate(range(0, self.count, BLOCK)):
            yield first, self.block(number, min(BLOCK, self.count - first))

    def queries(self) -> np.ndarray:
        """(QUERIES, DIM)."""
        return self.block(-1, QUERIES)


def build(folder: Path, count: int) -> None:
    """Vectors, items, manifest."""
    from vdistill.bundle import manifest
    from vdistill.bundle.shard_writer import ShardWriter
    from vdistill.bundle.shards import METRIC_OF

    index, started = folder / "index", time.perf_counter()
    index.mkdir(parents=True, exist_ok=True)
    writer = ShardWriter(index, "vectors", DIM, "bf16", lists=True)
    for first, vectors in Made(count).blocks():
        writer.add(np.arange(first, first + len(vectors)), vectors)
        if (first + len(vectors)) % 1_000_000 == 0:
            seconds = time.perf_counter() - started
            print(f"  {first + len(vectors):,} vectors after {seconds:.0f} s, peak {peak():.2f} GiB", flush=True)
    shards = writer.finish()
    vectors_done = time.perf_counter()
    print(f"vectors: {vectors_done - started:.1f} s", flush=True)
    write_items(index / "items.db", count)
    facts = manifest.FileFacts.measure(index, "items.db")
    entry = manifest.Entry(
        1, "", "", "", "", DIM, "bf16", METRIC_OF["bf16"], "/catalog", 0.0, count, count, shards, facts
    )
    manifest.write(index, {"student": entry})
    size = sum(file.bytes for shard in shards for file in shard.files)
    print(f"items: {time.perf_counter() - vectors_done:.1f} s, {facts.bytes / 1e9:.2f} GB; vectors {size / 1e9:.2f} GB")
    (folder / "seconds.json").write_text(json.dumps(vectors_done - started))


def write_items(path: Path, count: int) -> None:
    """Items with a title each."""
    from vdistill.bundle import items

    path.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA journal_mode = OFF")
        connection.executescript(items.SCHEMA)
        rows = ((n, f"{n:08}", f"{n:08}", f"{n:064}", 1, 1, '{"price": 1}') for n in range(count))
        connection.executemany(f"INSERT INTO items ({items.COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        items.describe(connection)


def killed_build(folder: Path, count: int) -> None:
    """Kill a build that is half done; what it finished is there for the next."""
    index = folder / "index"
    command = [sys.executable, __file__, "--stage", "build", "--count", str(count), "--folder", str(folder)]
    process, started = subprocess.Popen(command), time.perf_counter()
    files = -(-count // 1_000_000)
    while process.poll() is None and len(list(index.glob("vectors-*.json"))) < max(files // 2, 1):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    print(
        f"killed after {time.perf_counter() - started:.1f} s with {len(list(index.glob('vectors-*.json')))} files done"
    )


def truth(folder: Path, count: int) -> None:
    """The K nearest of each query."""
    made = Made(count)
    queries = made.queries()
    best, ids = np.full((QUERIES, K), -2.0, np.float32), np.zeros((QUERIES, K), np.int64)
    for first, vectors in made.blocks():
        scores = np.concatenate([best, queries @ vectors.T], axis=1)
        numbers = np.concatenate(
            [ids, np.broadcast_to(np.arange(first, first + len(vectors)), (QUERIES, len(vectors)))], 1
        )
        top = np.argpartition(-scores, K, axis=1)[:, :K]
        best, ids = np.take_along_axis(scores, top, 1), np.take_along_axis(numbers, top, 1)
    np.save(folder / "truth.npy", ids)


def search(folder: Path, count: int) -> None:
    """Recall and milliseconds."""
    from vdistill.query.search import Searcher

    queries, nearest = Made(count).queries(), np.load(folder / "truth.npy")
    opening, each, first_hits = [], [], []
    for query in queries[:50]:
        drop(folder / "index")
        started = time.perf_counter()
        with Searcher.at(folder / "index", "student") as searcher:
            opened = time.perf_counter()
            first_hits.append(searcher.search(query, K))
            each.append(time.perf_counter() - opened)
            opening.append(opened - started)
        del searcher
        gc.collect()  # pages that are still mapped are not dropped
    tell("opening a cold index", opening)
    tell("cold, pages dropped before each query", each)
    drop(folder / "index")
    with Searcher.at(folder / "index", "student") as searcher:
        before = resident()
        tell("cold, pages dropped before the series", timed(lambda query: searcher.search(query, K), queries))
        print(f"memory of the series: +{resident() - before:,.0f} MiB")
        tell("warm", timed(lambda query: searcher.search(query, K), queries))
        hits = [[int(hit.id) for hit in searcher.search(query, K)] for query in queries]
    found = [len({*one} & {*best.tolist()}) / K for one, best in zip(hits, nearest, strict=True)]
    print(f"recall@10 {np.mean(found):.4f}")


def reindex(folder: Path, count: int) -> None:
    """The file of vectors that a change of 0.1 % adds."""
    from vdistill.bundle.shard_writer import ShardWriter

    new = max(count // 1000, 1)
    vectors = Made(count).block(10**6, new)
    started = time.perf_counter()
    writer = ShardWriter(folder / "index", "vectors-added", DIM, "bf16", lists=new > 20_000)
    writer.add(np.arange(count, count + new), vectors)
    writer.finish()
    seconds, whole = time.perf_counter() - started, json.loads((folder / "seconds.json").read_text())
    print(f"{new:,} new vectors: {seconds:.2f} s, {seconds / whole:.2%} of building all")


def drop(index: Path) -> None:
    """Let the system forget the pages of all files."""
    for path in index.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def timed(run: Callable[[np.ndarray], object], queries: np.ndarray) -> list[float]:
    """Seconds of each query."""
    seconds = []
    for query in queries:
        started = time.perf_counter()
        run(query)
        seconds.append(time.perf_counter() - started)
    return seconds


def tell(what: str, seconds: list[float]) -> None:
    """Print median, lowest, 95th percentile and highest."""
    ms = 1e3 * np.array(seconds)
    print(
        f"{what}: p50 {median(ms):.1f} ms [{ms.min():.1f}, {ms.max():.1f}], p95 {np.percentile(ms, 95):.1f}", flush=True
    )


def peak() -> float:
    """Peak memory of this process, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def resident() -> float:
    """Memory of this process now, pages of mapped files included, in MiB."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * resource.getpagesize() / 2**20


STAGES = {"build": build, "truth": truth, "search": search, "reindex": reindex}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000_000)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--stage", choices=[*STAGES, "kill"])
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.count = 21_000
    sys.path.insert(0, str(Path(__file__).parents[2] / "src"))
    if options.stage in STAGES:
        started = time.perf_counter()
        STAGES[options.stage](options.folder, options.count)
        print(f"{options.stage}: {time.perf_counter() - started:.1f} s, peak memory {peak():.2f} GiB", flush=True)
        return
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(options.threads)
    with tempfile.TemporaryDirectory() if options.folder is None else contextlib.nullcontext(options.folder) as name:
        folder = Path(name)
        if options.stage == "kill":
            killed_build(folder, options.count)
            return
        print(f"{options.count:,} × {DIM}, {options.threads} threads, {platform.processor() or platform.machine()}, "
              f"Python {platform.python_version()}, numpy {np.__version__}", flush=True)  # fmt: skip
        killed_build(folder, options.count)
        for stage in STAGES:
            command = [sys.executable, __file__, "--stage", stage, "--count", str(options.count)]
            subprocess.run([*command, "--folder", str(folder)], check=True)


if __name__ == "__main__":
    main()
