"""How long `bench` takes to score two models, as queries and items grow, and how often its intervals cover the truth.

    python tests/benchmarks/bench_scale.py                 random vectors, two models, qrels of 20 items a query
    python tests/benchmarks/bench_scale.py --queries 10000 --items 1000000
    python tests/benchmarks/bench_scale.py --coverage 2000 so many simulated experiments

Each size runs in a process of its own, so that its peak of memory is its own. Vectors have 512 dimensions; those of
large catalogs are written to a temporary file, which counts. `--against` grades some queries by sorting too.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from functools import partial

import numpy as np
from commands import forked
from side_by_side import CONSOLE, alternate, header, show

from vdistill.bench.evaluate import summarise
from vdistill.evaluation import grading, metrics
from vdistill.evaluation.by_product import ByProduct
from vdistill.evaluation.grading import evaluate
from vdistill.evaluation.item_vectors import vectors_of
from vdistill.evaluation.test_set import HeldOutSet, JudgedQuery

DIM = 512
SIZES = ((100, 10_000), (1_000, 10_000), (1_000, 100_000), (1_000, 1_000_000))
QUICK = ((20, 2_000), (20, 140_000))


def test_set(queries: int, items: int) -> HeldOutSet:
    """Qrels of 20 items a query, and a thousand titles."""
    rng = np.random.default_rng(0)
    judged = []
    for number in range(queries):
        rows = np.sort(rng.choice(items, 20, replace=False))
        gains = rng.integers(1, 4, 20).astype(float)
        judged.append(JudgedQuery(f"query {number}", rows, gains, gains, rows))
    titles = tuple(f"title {number:04}" for number in range(1000))
    titled = tuple(np.array([place]) for place in rng.choice(items, 1000, replace=False))
    ids = tuple(map(str, range(items)))
    return HeldOutSet("qrels", "random", ids, ByProduct.of(ids, {}), tuple(judged), titles, titled)


def unit(count: int, seed: int, dim: int = DIM) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((count, dim), np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def scale(queries: int, items: int, dim: int) -> None:
    """Grade two models, with intervals, p-values and the gain; prints seconds and the peak of memory."""
    held_out = test_set(queries, items)
    texts, named = unit(queries, 1, dim), unit(len(held_out.titles), 2, dim)
    started, values = time.perf_counter(), {}
    for model, seed in (("backbone", 3), ("student", 4)):
        with vectors_of(
            held_out.items, lambda ids, seed=seed: unit(len(ids), seed + 100 * int(ids[0]), dim)
        ) as vectors:
            values[model] = evaluate(held_out, vectors, texts, named)
    graded = time.perf_counter()
    summarise(held_out, values)
    ended = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    CONSOLE.print(
        f"{queries:,} × {items:,}: {ended - started:.1f} s ({graded - started:.1f} grading two models), {peak:.2f} GiB"
    )


def against(queries: int, items: int, rounds: int) -> None:
    """The same metrics by sorting all candidates of each query, as for the few that a teacher judged."""
    held_out = test_set(queries, items)
    texts, titles, vectors = unit(queries, 1), unit(len(held_out.titles), 2), unit(items, 3)
    found: dict[str, dict[str, np.ndarray]] = {}

    def grade(arm: str, counted: float) -> None:
        grading._COUNTED = counted
        found[arm] = evaluate(held_out, vectors, texts, titles)

    arms = {"sorting": lambda: grade("sorting", np.inf), "counting": lambda: grade("counting", 0)}
    show(f"{queries:,} queries × {items:,} items, one model", alternate(arms, rounds))
    most = max(np.abs(found["sorting"][name] - value).max() for name, value in found["counting"].items())
    CONSOLE.print(f"largest difference of any metric of any query: {most:.1e}")


def coverage(experiments: int) -> None:
    """How often the 95 % interval of the mean holds the true mean, for values as nDCG has them."""
    rng = np.random.default_rng(1)
    for size in (30, 70, 300):
        held = 0
        for number in range(experiments):
            values = np.where(rng.random(size) < 0.15, 0.0, rng.beta(1.4, 1.0, size))  # some queries find nothing
            low, high = metrics.interval(values, number) or (0.0, 0.0)
            held += low <= 0.85 * 1.4 / 2.4 <= high
        print(f"{size} queries: {held / experiments:.1%} of {experiments:,} intervals hold the true mean")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=DIM)
    parser.add_argument("--against", action="store_true")
    parser.add_argument("--coverage", type=int)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.queries and not options.against:
        scale(options.queries, options.items, options.dim)
    elif options.coverage:
        coverage(options.coverage)
    else:
        header("scipy")
        if options.quick or options.against:
            against(options.queries or 20, 2_000 if options.quick else options.items, 1 if options.quick else 3)
        for queries, items in QUICK if options.quick else () if options.against else SIZES:
            size = ["--queries", str(queries), "--items", str(items), "--dim", str(options.dim)]
            if options.quick:
                print(forked(partial(scale, queries, items, 32)), end="")
            else:
                subprocess.run([sys.executable, __file__, *size], check=True)


if __name__ == "__main__":
    main()
