"""A node, or the command itself, killed at random moments of `vdistill index --engine`: nothing is lost or repeated.

    python tests/benchmarks/cluster_kills.py               10 kills of a node and 10 of the command
    python tests/benchmarks/cluster_kills.py --quick       one of each

Three nodes are processes of this machine. Each trial indexes the same drawn pictures with a tiny model in float32, in a
workspace of its own; the vectors are compared bit by bit with those of one process without a cluster. A killed node is
started again afterwards; a killed command is called again. Needs the extra `ray`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SUPPORT = Path(__file__).resolve().parents[1] / "support"
sys.path.insert(0, str(SUPPORT))

from rich.table import Table  # noqa: E402
from side_by_side import CONSOLE, header  # noqa: E402
from speed_model import drawn, tiny  # noqa: E402


def started(home: Path, workspace: str, engine: str | None) -> subprocess.Popen[str]:
    """`vdistill index` in float32, in a process of its own."""
    from ray_nodes import SETTINGS

    words = ["index", "pictures", "--backbone", "model", "--dtype", "f32", "--workspace", workspace, "--json"]
    words += ["--engine", engine] if engine else []
    return subprocess.Popen(
        [sys.executable, SUPPORT / "float32.py", *words], cwd=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**os.environ, **SETTINGS},
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
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--pictures", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if importlib.util.find_spec("ray") is None:
        print("not run: it needs the extra `ray`")
        return
    header("ray")
    kills, pictures = (1, 400) if options.quick else (options.kills, options.pictures)
    with tempfile.TemporaryDirectory() as name:
        trials(Path(name), kills, pictures, random.Random(options.seed))


def trials(home: Path, kills: int, pictures: int, rng: random.Random) -> None:
    """All trials, and the table of what became of them."""
    from ray_nodes import nodes

    tiny(home / "model")
    drawn(home / "pictures", pictures)
    alone = started(home, "alone", None)
    assert alone.wait() == 0, alone.communicate()
    names, wanted = indexed(home, "alone")
    table = Table(title=f"{pictures} pictures, three nodes of one worker each", title_justify="left")
    for column in ("killed", "with vectors kept", "exit code", "items", "each once", "vectors that differ", "seconds"):
        table.add_column(column, justify="right")
    with nodes(head=1, one=1, two=1) as cluster:
        for kind in ("node", "command"):
            for number in range(kills):
                workspace, moment = f"{kind}-{number}", rng.randrange(pictures)
                begun = time.monotonic()
                kept, code = trial(home, workspace, cluster, kind, moment, rng)
                ids, vectors = indexed(home, workspace)
                differ = int((vectors != wanted).any(axis=1).sum())
                once = ids == names
                table.add_row(kind, str(kept), str(code), str(len(ids)), "yes" if once else "NO", str(differ),
                              f"{time.monotonic() - begun:.0f}")  # fmt: skip
                print(json.dumps([kind, kept, code, len(ids), once, differ]), file=sys.stderr, flush=True)
                assert (code, once, differ) == (0, True, 0), "something was lost, repeated or changed"
    CONSOLE.print(table)


def trial(home: Path, workspace: str, cluster, kind: str, moment: int, rng: random.Random) -> tuple[int, int]:  # type: ignore[no-untyped-def]
    """One kill; how many vectors were kept at that moment, and how the command ended."""
    process = started(home, workspace, cluster.address)
    kept = wait_for(home, workspace, moment, process)
    time.sleep(rng.random() * 0.3)
    if kind == "node":
        cluster.kill("two")
        out, err = process.communicate()
        cluster.start("two", 1)
    else:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        process = started(home, workspace, cluster.address)
        out, err = process.communicate()
    if process.returncode:
        print(out, err, file=sys.stderr)
    return kept, process.returncode


if __name__ == "__main__":
    main()
