"""What a cold query takes more memory for among a million vectors than among 10,000: the index's part alone.

    python tests/benchmarks/query_memory.py
    python tests/benchmarks/query_memory.py --quick

Each query is a process of its own that opens the index, searches for one vector and tells its peak memory, pages of
mapped files included. `query_speed.py` measures whole commands, with the text encoder.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from search_scale import data
from side_by_side import CONSOLE, header, spread

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
from indexes import write_index

QUERY = """
import resource, sys
from pathlib import Path
import numpy as np
from vdistill.query.search import Searcher
with Searcher.at(Path(sys.argv[1]), "student") as searcher:
    searcher.search(np.load(sys.argv[2])[int(sys.argv[3])], 10)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def peak(index: Path, queries: Path, number: int) -> float:
    """MiB; started by a small process, since a child starts with its parent's peak."""
    starter = (
        "import subprocess, sys; print(subprocess.run(sys.argv[1:], check=True, capture_output=True).stdout.decode())"
    )
    command = [sys.executable, "-c", QUERY, str(index), str(queries), str(number)]
    done = subprocess.run([sys.executable, "-c", starter, *command], check=True, capture_output=True, text=True)
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--many", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.many, options.rounds = 25_000, 2
    header("numkong")
    found: dict[int, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        vectors, queries = data(options.many)
        np.save(folder / "queries.npy", queries)
        for count in (10_000, options.many):
            write_index(folder / str(count), vectors[:count], "bf16", lists=count > 20_000)
        for number in range(options.rounds):
            for count in (10_000, options.many):
                found.setdefault(count, []).append(peak(folder / str(count), folder / "queries.npy", number))
    few, many = found.values()
    for count, peaks in found.items():
        CONSOLE.print(f"{count:,} vectors: {spread(peaks, ',.0f')} MiB")
    CONSOLE.print(f"beyond 10,000: {spread([b - a for a, b in zip(few, many, strict=True)], '+,.0f')} MiB")


if __name__ == "__main__":
    main()
