"""Search among a million vectors: ours beside FAISS's HNSW, in one run; recall against exact search.

    python tests/benchmarks/search_scale.py                 1,000,000 × 512; needs `pip install faiss-cpu`
    python tests/benchmarks/search_scale.py --count 100000

Vectors as encoders give them: points about cluster centres in a space of fewer dimensions than they have numbers
(independent noise in 512 dimensions has no neighbourhoods, and no graph finds what is nearest in it). Both build with
16 links a point and 128 candidates, on all cores. FAISS searches with several widths; the row with our recall counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

DIM, LATENT, CENTRES, QUERIES, K = 512, 64, 2000, 1000, 10


def data(count: int) -> tuple[np.ndarray, np.ndarray]:
    """(count, DIM) and (QUERIES, DIM) unit vectors of one distribution."""
    rng = np.random.default_rng(0)
    spread = rng.normal(size=(LATENT, DIM)).astype(np.float32)
    centres = rng.normal(size=(CENTRES, LATENT)).astype(np.float32)
    made = []
    for size in (count, QUERIES):
        near = centres[rng.integers(0, CENTRES, size)] + 0.7 * rng.normal(size=(size, LATENT)).astype(np.float32)
        vectors = near @ spread + 0.3 * rng.normal(size=(size, DIM)).astype(np.float32)
        made.append(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return made[0], made[1]


def ours(vectors: np.ndarray, queries: np.ndarray, _: int) -> list[dict[str, float]]:
    """Through the index's own files, and Searcher's default settings."""
    from indexes import write_index
    from vdistill.query.search import Searcher

    with tempfile.TemporaryDirectory() as name:
        started = time.perf_counter()
        write_index(Path(name), vectors, "bf16", lists=True)
        built = time.perf_counter() - started
        peak = resident()
        size = sum(path.stat().st_size for path in Path(name).glob("*.usearch"))
        rows = []
        with Searcher.at(Path(name), "student") as searcher:
            default = searcher._store.shards[0].index.expansion_search
            for width in (32, 64, 128):
                for shard in searcher._store.shards:
                    shard.index.expansion_search = width
                found = np.array([[int(hit.id) for hit in searcher.search(query, K)] for query in queries])
                whole = rate(lambda query: searcher.search(query, K), queries)
                bare = rate(lambda query: searcher._store.nearest(query, K + 16, False), queries)
                rows.append({"width": width, "default": width == default, "recall": recall(found, vectors, queries),
                             "qps": bare, "whole": whole, "build": len(vectors) / built, "bytes": size,
                             "peak": peak})  # fmt: skip
    return rows


def rate(search: Callable[[np.ndarray], object], queries: np.ndarray) -> float:
    """Queries a second, one after the other: the best of three rounds."""
    best = 0.0
    for _ in range(3):
        started = time.perf_counter()
        for query in queries:
            search(query)
        best = max(best, len(queries) / (time.perf_counter() - started))
    return best


def faiss_hnsw(vectors: np.ndarray, queries: np.ndarray, threads: int) -> list[dict[str, float]]:
    """FAISS's HNSW16 of float32, as it comes."""
    import faiss

    faiss.omp_set_num_threads(threads)
    index = faiss.IndexHNSWFlat(DIM, 16, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 128
    started = time.perf_counter()
    index.add(vectors)
    built = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as name:
        faiss.write_index(index, f"{name}/index")
        size = Path(name, "index").stat().st_size
    peak = resident()
    rows = []
    faiss.omp_set_num_threads(1)  # one query after the other, as we answer
    for width in (16, 32, 64, 128, 256):
        index.hnsw.efSearch = width
        found = np.concatenate([index.search(query[None], K)[1] for query in queries])
        bare = rate(lambda query: index.search(query[None], K + 16), queries)
        rows.append({"width": width, "recall": recall(found, vectors, queries), "qps": bare,
                     "build": len(vectors) / built, "bytes": size, "peak": peak})  # fmt: skip
    return rows


def recall(found: np.ndarray, vectors: np.ndarray, queries: np.ndarray) -> float:
    """Share of the truly nearest that were found."""
    best = np.full((len(queries), K), -2.0, np.float32)
    ids = np.zeros((len(queries), K), np.int64)
    for start in range(0, len(vectors), 100_000):
        scores = np.concatenate([best, queries @ vectors[start : start + 100_000].T], axis=1)
        named = np.concatenate(
            [ids, np.broadcast_to(np.arange(start, start + scores.shape[1] - K), (len(queries), scores.shape[1] - K))],
            axis=1,
        )
        top = np.argpartition(-scores, K, axis=1)[:, :K]
        best, ids = np.take_along_axis(scores, top, 1), np.take_along_axis(named, top, 1)
    return float(np.mean([len({*a.tolist()} & {*b.tolist()}) / K for a, b in zip(found, ids, strict=True)]))


def resident() -> float:
    """Peak memory since it was last forgotten, in GiB (Linux)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 2**20


def forget_peak() -> None:
    """Making the vectors took more than what is measured."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


ARMS: dict[str, Callable[[np.ndarray, np.ndarray, int], list[dict[str, float]]]] = {"ours": ours, "faiss": faiss_hnsw}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--arm", choices=ARMS)
    options = parser.parse_args()
    if options.arm:  # each in a process of its own: their runtimes do not mix, and memory is told apart
        vectors, queries = data(options.count)
        forget_peak()
        before = resident()
        for row in ARMS[options.arm](vectors, queries, os.cpu_count() or 1):
            print(json.dumps({**row, "own": row["peak"] - before}))
        return
    table = Table(title=f"{options.count:,} × {DIM}, one query after the other", title_justify="left")
    for column in ("", "recall@10", "queries/s", "adds/s", "file", "memory while building"):
        table.add_column(column, justify="left" if not column else "right")
    for arm in ARMS:
        done = subprocess.run([sys.executable, __file__, "--arm", arm, "--count", str(options.count)],
                              capture_output=True, text=True, check=False)  # fmt: skip
        if done.returncode:
            raise SystemExit(done.stderr)
        for line in done.stdout.splitlines():
            row = json.loads(line)
            name = "vdistill, bf16" if arm == "ours" else "FAISS HNSW16, f32"
            kind = ", default" if row.get("default") else ""
            whole = f" ({row['whole']:,.0f} with items)" if "whole" in row else ""
            table.add_row(f"{name}, width {row['width']}{kind}", f"{row['recall']:.4f}", f"{row['qps']:,.0f}{whole}",
                          f"{row['build']:,.0f}", f"{row['bytes'] / 1e9:.2f} GB", f"{row['own']:.2f} GiB")  # fmt: skip
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
