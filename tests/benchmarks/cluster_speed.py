"""How fast a cluster of this machine embeds, beside one process: `--engine ray` and none, on the same cores.

    python tests/benchmarks/cluster_speed.py               2,000 photographs, a model of ViT-B/32 size
    python tests/benchmarks/cluster_speed.py --commands    whole commands: `vdistill index` from nothing
    python tests/benchmarks/cluster_speed.py --quick       a tiny model and few drawn pictures: that it runs

Both embed the same pictures into a store of vectors of their own, in turns. The model is loaded and the cluster is up;
starting the workers counts, and what that and the cluster took is printed beside it. A command starts the cluster, and
the workers while it loads the model. Needs the extra `ray`.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

import numpy as np
import psutil
from commands import vdistill
from side_by_side import CONSOLE, alternate, header, lacks, show
from speed_model import backbone, catalog, drawn, tiny

from vdistill.bundle.items import Row
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.replicas import replicas
from vdistill.index.embedding import Embedder, MakesEmbedder
from vdistill.index.vector_cache import VectorCache


def rows_of(folder: Path) -> list[Row]:
    """The pictures of a folder, by name."""
    paths = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.jpg"))
    return [Row(number, path, path, "", 1, 1, "{}") for number, path in enumerate(paths)]


def embedded(encoder: DualEncoder, folder: Path, embedder: MakesEmbedder) -> np.ndarray:
    """The vectors (n, dim) of all pictures in a folder, in the order of their names, committed as they come."""
    rows = rows_of(folder)
    hashes: dict[int, str] = {}
    with (
        tempfile.TemporaryDirectory() as name,
        VectorCache(Path(name), encoder.fingerprint, encoder.precision, encoder.dim) as cache,
    ):
        for batch, vectors, _ in embedder(str(folder), replicas(encoder), cache).embedded(rows):
            new = {row.sha256: one for row, one in zip(batch, vectors, strict=True) if one is not None}
            if new:
                cache.add(list(new), np.stack(list(new.values())))
            hashes |= {row.key: row.sha256 for row in batch}
        return cache.get([hashes[number] for number in range(len(rows))])


@contextmanager
def cpu_seconds() -> Iterator[Callable[[], float]]:
    """What this process and all below it use meanwhile; unlike the time on the clock it hardly tells what else runs."""
    this, first, last, over = psutil.Process(), {}, {}, Event()

    def look() -> None:
        while True:
            for one in (this, *this.children(recursive=True)):
                with suppress(psutil.Error):
                    times = one.cpu_times()
                    last[one.pid] = times.user + times.system
                    first.setdefault(one.pid, last[one.pid] if not begun else 0.0)
            begun.append(True)
            if over.wait(0.5):
                return

    begun: list[bool] = []
    thread = Thread(target=look, daemon=True)
    thread.start()
    try:
        yield lambda: sum(last[pid] - first[pid] for pid in last)
    finally:
        over.set()
        thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", type=Path, default=Path(tempfile.gettempdir()) / "vit-b-32")
    parser.add_argument("--commands", action="store_true")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if lacks("ray", "ray"):
        return
    header("ray")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.quick:
            drawn(folder / "pictures", 200)
            measure(DualEncoder.load(str(tiny(folder / "model"))), folder / "pictures", 1)
            commands(folder, folder / "model", 1)
            return
        catalog(folder / "pictures", options.pictures)
        if options.commands:
            commands(folder, backbone(options.model), options.rounds)
        else:
            measure(DualEncoder.load(str(backbone(options.model))), folder / "pictures", options.rounds)


def commands(folder: Path, model: Path, rounds: int) -> None:
    """Whole commands, each in a workspace of its own, in turns."""

    def index(arm: str) -> None:
        shutil.rmtree(folder / "workspace", ignore_errors=True)
        started = time.perf_counter()
        vdistill(folder, "index", "pictures", "--model", "backbone", "--backbone", model, "--workspace", "workspace",
                 "--quiet", *(["--engine", "ray"] if "ray" in arm else []))  # fmt: skip
        print(f"{arm}: {time.perf_counter() - started:.1f} s", file=sys.stderr, flush=True)

    count = len(rows_of(folder / "pictures"))
    seconds = alternate({arm: lambda arm=arm: index(arm) for arm in ("index", "index --engine ray")}, rounds)  # type: ignore[misc]
    show(f"{count} JPEGs, whole commands", seconds, count, "pictures")


def measure(encoder: DualEncoder, folder: Path, rounds: int) -> None:
    """One process and a cluster of this machine, in turns."""
    from vdistill.cluster.connection import connected
    from vdistill.cluster.embedding import OnCluster
    from vdistill.cluster.engine import Engine

    count = len(rows_of(folder))
    started = time.perf_counter()
    with connected(Engine.parse("ray")) as cluster:
        up = time.perf_counter() - started
        there = OnCluster(cluster, CONSOLE.print)
        embedders: dict[str, MakesEmbedder] = {"one process": Embedder, "--engine ray": there}
        found: dict[str, np.ndarray] = {}

        def run(arm: str) -> None:
            begun = time.perf_counter()
            with cpu_seconds() as used:
                found[arm] = embedded(encoder, folder, embedders[arm])
            print(f"{arm}: {time.perf_counter() - begun:.1f} s, {used():.1f} s of CPU", file=sys.stderr, flush=True)

        seconds = alternate({arm: lambda arm=arm: run(arm) for arm in embedders}, rounds)  # type: ignore[misc]
        show(f"{count} JPEGs, workers started anew each time", seconds, count, "pictures")
        first = first_vectors(encoder, folder, there)
        CONSOLE.print(f"starting: the cluster {up:.1f} s, its workers until the first vectors {first:.1f} s")
    one, many = found["one process"], found["--engine ray"]
    differ = int((one != many).any(axis=1).sum())
    CONSOLE.print(f"vectors that differ in any bit: {differ}; least cosine {(one * many).sum(1).min():.6f}")


def first_vectors(encoder: DualEncoder, folder: Path, embedder: MakesEmbedder) -> float:
    """Seconds until the first batch is there."""
    started = time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as name,
        VectorCache(Path(name), "", "", encoder.dim) as cache,
    ):
        for _ in embedder(str(folder), replicas(encoder), cache).embedded(rows_of(folder)[:64]):
            pass
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
