"""How long `bench` takes for 1,000 queries × 100,000 items, and how often its intervals cover the truth.

python tests/benchmarks/bench_scale.py                 random vectors, two models, qrels of 20 items a query
python tests/benchmarks/bench_scale.py --coverage 2000 so many simulated experiments
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from vdistill.bench.evaluate import summarise
from vdistill.evaluation import metrics
from vdistill.evaluation.by_product import ByProduct
from vdistill.evaluation.grading import evaluate
from vdistill.evaluation.test_set import HeldOutSet, JudgedQuery


def scale(queries: int, items: int, dim: int = 512) -> None:
    """Grade two models, with intervals, p-values and the gain."""
    rng = np.random.default_rng(0)

    def unit(count: int) -> np.ndarray:
        vectors = rng.standard_normal((count, dim), np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    judged = []
    for number in range(queries):
        rows = np.sort(rng.choice(items, 20, replace=False))
        gains = rng.integers(1, 4, 20).astype(float)
        judged.append(JudgedQuery(f"query {number}", rows, gains, gains, rows))
    titles = tuple(f"title {number:04}" for number in range(1000))
    titled = tuple(np.array([place]) for place in rng.choice(items, 1000, replace=False))
    ids = tuple(map(str, range(items)))
    held_out = HeldOutSet("qrels", "random", ids, ByProduct.of(ids, {}), tuple(judged), titles, titled)
    models = {model: unit(items) for model in ("backbone", "student")}
    texts, named = unit(queries), unit(len(titles))
    started = time.perf_counter()
    values = {model: evaluate(held_out, vectors, texts, named) for model, vectors in models.items()}
    graded = time.perf_counter()
    summarise(held_out, values)
    ended = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{queries:,} × {items:,}: {ended - started:.1f} s ({graded - started:.1f} grading two models), {peak:.2f} GiB"
    )


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
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--coverage", type=int)
    options = parser.parse_args()
    if options.coverage:
        coverage(options.coverage)
    else:
        scale(options.queries, options.items)


if __name__ == "__main__":
    main()
