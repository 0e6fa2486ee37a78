"""Search among a million vectors: ours beside FAISS's HNSW, in turns in one run; recall against exact search.

    python tests/benchmarks/search_scale.py                      1,000,000 × 512; needs `pip install faiss-cpu`
    python tests/benchmarks/search_scale.py --data spread        vectors without clusters
    python tests/benchmarks/search_scale.py --folder /tmp/x      keeps data and indexes there, for another run
    python tests/benchmarks/search_scale.py --quick

`clustered`: vectors as encoders give them, points about cluster centres in a space of fewer dimensions than they have
numbers. `spread`: less flattering, variance that falls as 1/n along the axes and clusters that overlap (independent
noise in 512 dimensions has no neighbourhoods at all). FAISS builds with 16 links a point and 128 candidates, and
searches with several widths; its speed at our recall is interpolated. One thread searches, one query after the other.
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
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from side_by_side import CONSOLE, header, ratios, spread

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

DIM, LATENT, CENTRES, QUERIES, K = 512, 64, 2000, 1000, 10
FETCHED = K + 16  # what a query asks the index for
WIDTHS = (32, 48, 64, 96, 128, 256)
Search = Callable[[np.ndarray], Any]


def data(count: int) -> tuple[np.ndarray, np.ndarray]:
    """(count, DIM) and (QUERIES, DIM) unit vectors of one clustered distribution."""
    rng = np.random.default_rng(0)
    spread_out = rng.normal(size=(LATENT, DIM)).astype(np.float32)
    centres = rng.normal(size=(CENTRES, LATENT)).astype(np.float32)
    made = []
    for size in (count, QUERIES):
        near = centres[rng.integers(0, CENTRES, size)] + 0.7 * rng.normal(size=(size, LATENT)).astype(np.float32)
        vectors = near @ spread_out + 0.3 * rng.normal(size=(size, DIM)).astype(np.float32)
        made.append(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return made[0], made[1]


def spread_data(count: int) -> tuple[np.ndarray, np.ndarray]:
    """The same shapes, without clusters to speak of."""
    rng = np.random.default_rng(5)
    axes = np.arange(1, DIM + 1, dtype=np.float32) ** -0.5
    centres = 0.6 * rng.normal(size=(300, DIM)).astype(np.float32)
    made = []
    for size in (count, QUERIES):
        vectors = np.empty((size, DIM), np.float32)
        for start in range(0, size, 100_000):
            part = vectors[start : start + 100_000]
            noise = rng.normal(size=part.shape).astype(np.float32)
            part[:] = (centres[rng.integers(0, 300, len(part))] + noise) * axes
            part /= np.linalg.norm(part, axis=1, keepdims=True)
        made.append(vectors)
    return made[0], made[1]


DATA = {"clustered": data, "spread": spread_data}


def ours(vectors: np.ndarray, folder: Path) -> tuple[Callable[[], int], Callable[[int], Search]]:
    """How to build, giving the bytes of the vectors' files, and how to search at a width."""
    from indexes import write_index
    from vdistill.query.search import Searcher

    def build() -> int:
        if not (folder / "ours").exists():
            write_index(folder / "ours", vectors, "bf16", lists=True)
        return sum(path.stat().st_size for path in (folder / "ours").glob("vectors*"))

    def at(width: int) -> Search:
        searcher = Searcher.at(folder / "ours", "student")
        searcher.store.widen(width)
        return lambda query: len(vectors) - searcher.store.nearest(query, FETCHED, False)[0].astype(np.int64)

    return build, at


def faiss_hnsw(vectors: np.ndarray, folder: Path) -> tuple[Callable[[], int], Callable[[int], Search]]:
    """The same with FAISS's HNSW16 of float32, as it comes."""
    import faiss

    path, kept = folder / "faiss", {}

    def build() -> int:
        if path.exists():
            kept["index"] = faiss.read_index(str(path))
        else:
            index = faiss.IndexHNSWFlat(vectors.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
            index.hnsw.efConstruction = 128
            index.add(vectors)
            faiss.write_index(index, str(path))
            kept["index"] = index
        faiss.omp_set_num_threads(1)
        return path.stat().st_size

    def at(width: int) -> Search:
        index = kept["index"]
        index.hnsw.efSearch = width
        return lambda query: index.search(query[None], FETCHED)[1][0]

    return build, at


ARMS: dict[str, Callable[[np.ndarray, Path], tuple[Callable[[], int], Callable[[int], Search]]]] = {
    "ours": ours,
    "faiss": faiss_hnsw,
}


def serve(arm: str, folder: Path) -> None:
    """In a process of its own, as their runtimes do not mix: build, then search at each width that is asked for."""
    vectors, queries, truth = (np.load(folder / f"{name}.npy") for name in ("vectors", "queries", "truth"))
    build, at = ARMS[arm](vectors, folder)
    Path("/proc/self/clear_refs").write_text(
        "5", encoding="ascii"
    )  # making the vectors took more than what is measured
    before, started = resident(), time.perf_counter()
    size = build()
    built = time.perf_counter() - started
    print(json.dumps({"seconds": built, "bytes": size, "gib": resident() - before}), flush=True)
    for line in sys.stdin:
        search = at(int(line))
        found = [search(query)[:K] for query in queries]
        started = time.perf_counter()
        for query in queries:
            search(query)
        seconds = (time.perf_counter() - started) / len(queries)
        hits = [len({*one.tolist()} & {*best.tolist()}) / K for one, best in zip(found, truth, strict=True)]
        print(json.dumps({"seconds": seconds, "recall": float(np.mean(hits))}), flush=True)


def truly_nearest(vectors: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """(q, K) the nearest by exact search."""
    best, ids = np.full((len(queries), K), -2.0, np.float32), np.zeros((len(queries), K), np.int64)
    for start in range(0, len(vectors), 100_000):
        part = queries @ vectors[start : start + 100_000].T
        scores = np.concatenate([best, part], axis=1)
        numbers = np.concatenate([ids, np.broadcast_to(np.arange(start, start + part.shape[1]), part.shape)], axis=1)
        top = np.argpartition(-scores, K, axis=1)[:, :K]
        best, ids = np.take_along_axis(scores, top, 1), np.take_along_axis(numbers, top, 1)
    return ids


def resident() -> float:
    """Peak memory since it was last forgotten, in GiB (Linux)."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) / 2**20


def start(arm: str, folder: Path) -> tuple[subprocess.Popen[str], dict[str, float]]:
    """A process that has built its index, and what that took."""
    command = [sys.executable, __file__, "--serve", arm, "--folder", str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    return process, json.loads(process.stdout.readline() or sys.exit(f"{arm} failed"))


def ask(process: subprocess.Popen[str], width: int) -> dict[str, float]:
    """Seconds a query and recall at a width."""
    assert process.stdin
    assert process.stdout
    process.stdin.write(f"{width}\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def compare(folder: Path, rounds: int) -> None:
    """Build with each, then search in turns."""
    arms = ["ours", *(["faiss"] if find_spec("faiss") else [])]
    processes = {arm: start(arm, folder) for arm in arms}
    for arm, (_, built) in processes.items():
        facts = ", ".join(f"{name} {value:,.2f}" for name, value in built.items())
        CONSOLE.print(f"{arm}: built: {facts}")
    taken: dict[tuple[str, int], list[float]] = {}
    recall: dict[tuple[str, int], float] = {}
    for _ in range(rounds):
        for arm in arms:
            for width in (32, 64, 128) if arm == "ours" else WIDTHS:
                told = ask(processes[arm][0], width)
                taken.setdefault((arm, width), []).append(told["seconds"])
                recall[arm, width] = told["recall"]
    for (arm, width), seconds in taken.items():
        rate = spread([1 / one for one in seconds], ",.0f")
        line = f"{arm}, width {width}: recall@10 {recall[arm, width]:.4f}, {rate} queries/s"
        if arm == "ours" and len(arms) > 1:
            peer = at_recall(recall[arm, width], recall, taken)
            line += f", × FAISS at this recall: {spread(ratios(peer, seconds))}"
        CONSOLE.print(line, soft_wrap=True)
    for process, _ in processes.values():
        process.communicate()


def at_recall(
    wanted: float, recall: dict[tuple[str, int], float], taken: dict[tuple[str, int], list[float]]
) -> list[float]:
    """FAISS's seconds a query at this recall in each round, between the two widths about it."""
    found = np.array([recall["faiss", width] for width in WIDTHS])
    return [
        float(np.interp(wanted, found, one)) for one in zip(*(taken["faiss", width] for width in WIDTHS), strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--data", choices=DATA, default="clustered")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--queries", type=int, default=QUERIES, help=f"at most {QUERIES}")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--serve", choices=ARMS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.folder)
        return
    if options.quick:
        options.count, options.rounds, options.queries = 21_000, 2, 50
    header("faiss-cpu", "numkong")
    CONSOLE.print(f"{options.count:,} × {DIM}, {options.data}, {os.cpu_count()} cores build, one thread searches")
    with nullcontext(options.folder) if options.folder else tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "truth.npy").exists():
            vectors, queries = DATA[options.data](options.count)
            np.save(folder / "vectors.npy", vectors)
            queries = queries[: options.queries]
            np.save(folder / "queries.npy", queries)
            np.save(folder / "truth.npy", truly_nearest(vectors, queries))
            del vectors
        compare(folder, options.rounds)


if __name__ == "__main__":
    main()
