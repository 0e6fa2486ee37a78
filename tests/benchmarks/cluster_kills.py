"""A node, or the command itself, killed at random moments of `vdistill index --engine`: nothing is lost or repeated.

    python tests/benchmarks/cluster_kills.py               10 kills of a node and 10 of the command, in four runs
    python tests/benchmarks/cluster_kills.py --quick       one of each

Three nodes are processes of this machine. Each run indexes the same drawn pictures with a tiny model in float32, in a
workspace of its own, and suffers several kills; its vectors are compared bit by bit with those of one process without a
cluster. A killed node is started again at once, a killed command is called again. Needs the extra `ray`.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

LAST = 70  # percent of the vectors that are kept at most when it is waited for the next kill
Suffered = tuple[list[int], int]  # how many vectors were kept at each kill, and the exit code at the end
SUPPORT = Path(__file__).resolve().parents[1] / "support"
sys.path.insert(0, str(SUPPORT))

from rich.table import Table  # noqa: E402
from side_by_side import CONSOLE, header, lacks  # noqa: E402
from speed_model import drawn, tiny  # noqa: E402


def started(home: Path, workspace: str, engine: str | None) -> subprocess.Popen[str]:
    """`vdistill index` in float32, in a process of its own."""
    from ray_nodes import SETTINGS

    words = ["index", "pictures", "--backbone", "model", "--dtype", "f32", "--workspace", workspace, "--json"]
    words += ["--engine", engine] if engine else []
    return subprocess.Popen(
        [sys.executable, SUPPORT / "float32.py", *words], cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**os.environ, **SETTINGS, "OMP_NUM_THREADS": "1"},  # the last bits depend on how many there are
    )  # fmt: skip


def stored(home: Path, workspace: str) -> int:
    """How many vectors an unfinished run has kept."""
    import sqlite3

    found = 0
    for path in (home / workspace / "cache").glob("vectors-*.db"):
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            try:
                found += connection.execute("SELECT count(*) FROM vectors").fetchone()[0]
            except sqlite3.Error:
                continue
        connection.close()
    return found


def wait_for(home: Path, workspace: str, vectors: int, process: subprocess.Popen[str]) -> int:
    """Wait until a run has kept so many vectors; how many they are then."""
    while (found := stored(home, workspace)) < vectors and process.poll() is None:
        time.sleep(0.02)
    return found


def indexed(home: Path, workspace: str) -> tuple[list[str], np.ndarray]:
    """The items of an index and their vectors."""
    from vdistill.query.search import Searcher

    names = sorted(path.name for path in (home / "pictures").iterdir())
    with Searcher.at(home / workspace / "index", "backbone") as searcher:
        hits = searcher.search(searcher.vectors(names[:1])[0], 2 * len(names))
        return sorted(hit.id for hit in hits), searcher.vectors(names)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2, help="of each kind")
    parser.add_argument("--kills", type=int, default=5, help="in each run")
    parser.add_argument("--pictures", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if lacks("ray", "ray"):
        return
    header("ray")
    if options.quick:
        options.runs, options.kills, options.pictures = 1, 1, 400
    with tempfile.TemporaryDirectory() as name:
        trials(Path(name), options)


def trials(home: Path, options: argparse.Namespace) -> None:
    """All runs, and the table of what became of them."""
    from ray_nodes import nodes

    rng = random.Random(options.seed)
    tiny(home / "model")
    drawn(home / "pictures", options.pictures)
    alone = started(home, "alone", None)
    assert alone.wait() == 0, alone.communicate()
    names, wanted = indexed(home, "alone")
    table = Table(title=f"{options.pictures} pictures, three nodes of one worker each", title_justify="left")
    for column in ("killed", "with vectors kept", "items", "each once", "vectors that differ", "seconds"):
        table.add_column(column, justify="right")
    with nodes(head=1, one=1, two=1) as cluster:
        for kind, suffer in (("node", node_killed), ("command", command_killed)):
            for run in range(options.runs):
                moments = sorted(rng.randrange(LAST * options.pictures // 100) for _ in range(options.kills))
                begun = time.monotonic()
                kept, code = suffer(home, f"{kind}-{run}", cluster, moments, rng)
                ids, vectors = indexed(home, f"{kind}-{run}")
                differ = int((vectors != wanted).any(axis=1).sum())
                facts = [len(ids), ids == names, differ, round(time.monotonic() - begun)]
                table.add_row(f"{kind}, {len(kept)} times", ", ".join(map(str, kept)), *map(str, facts))
                print(kind, kept, code, *facts, file=sys.stderr, flush=True)
                assert (code, ids == names, differ) == (0, True, 0), "something was lost, repeated or changed"
    CONSOLE.print(table)


def node_killed(home: Path, workspace: str, cluster: Any, moments: list[int], rng: random.Random) -> Suffered:
    """A node dies again and again while a command runs."""
    kept, process = [], started(home, workspace, cluster.address)
    for moment in moments:
        found = wait_for(home, workspace, moment, process)
        time.sleep(rng.random() * 0.3)
        if process.poll() is not None:
            break
        cluster.kill("two")
        kept.append(found)
        cluster.start("two", 1)
    return kept, ended(process)


def command_killed(home: Path, workspace: str, cluster: Any, moments: list[int], rng: random.Random) -> Suffered:
    """A command dies again and again, and is called again."""
    kept = []
    for moment in moments:
        process = started(home, workspace, cluster.address)
        found = wait_for(home, workspace, moment, process)
        time.sleep(rng.random() * 0.3)
        if process.poll() is not None:
            return kept, ended(process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kept.append(found)
    return kept, ended(started(home, workspace, cluster.address))


def ended(process: subprocess.Popen[str]) -> int:
    """The exit code of a command, once it has ended."""
    out, err = process.communicate()
    if process.returncode:
        print(out, err, file=sys.stderr)
    return process.returncode


if __name__ == "__main__":
    main()
