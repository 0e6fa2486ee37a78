"""How fast images in a bucket become vectors when each reply takes a while: read ahead, and when they are needed.

    python tests/benchmarks/read_ahead.py                 600 images, replies after 50 ms
    python tests/benchmarks/read_ahead.py --quick         few images, replies after 5 ms: that it runs

A server of S3's protocol runs in a process of its own. The model is tiny, so that reading is what takes time. "when
needed" is what embedding does to files on this machine: each of the threads that decode reads its image first.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image
from side_by_side import CONSOLE, alternate, header, ratios, spread
from speed_model import tiny

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from s3_server import S3Server
from vdistill.bundle.items import Row
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.index import embedding
from vdistill.index.embedding import Embedder
from vdistill.index.vector_cache import VectorCache


def pictures(count: int) -> dict[str, bytes]:
    """JPEGs of 340 px, about 60 KB each."""
    rng, found = np.random.default_rng(0), {}
    for number in range(count):
        pixels = rng.integers(0, 256, (43, 43, 3), np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).resize((340, 340), Image.Resampling.BICUBIC).save(file, "JPEG", quality=95)
        found[f"{number:05}.jpg"] = file.getvalue()
    return found


def serve(count: int, delay: float, told: multiprocessing.Queue, stop: multiprocessing.Event) -> None:
    """A bucket `shop`, until `stop`."""
    with S3Server() as server:
        server.objects.update({f"shop/{name}": data for name, data in pictures(count).items()})
        server.delay = delay
        told.put(server.env)
        stop.wait()


@contextlib.contextmanager
def bucket(count: int, delay: float) -> Iterator[dict[str, str]]:
    """The environment that leads to it."""
    fork = multiprocessing.get_context("fork")  # before there are threads
    told, stop = fork.Queue(), fork.Event()
    process = fork.Process(target=serve, args=(count, delay, told, stop), daemon=True)
    process.start()
    try:
        yield told.get()
    finally:
        stop.set()
        process.join()


def embed(root: str, names: list[str], encoder: DualEncoder, *, ahead: bool) -> None:
    """As `vdistill index` embeds what is new."""
    rows = [Row(number, name, name, "", 1, 1, "{}") for number, name in enumerate(names)]
    given = embedding.read_ahead
    if not ahead:
        embedding.read_ahead = lambda rows, source: ((row, source(row)[1]) for row in rows)
    try:
        with tempfile.TemporaryDirectory() as name, VectorCache(Path(name), "", "", encoder.dim) as cache:
            done = sum(len(part.rows) for part in Embedder(root, [encoder], cache).embedded(rows))
    finally:
        embedding.read_ahead = given
    assert done == len(names)


def measure(count: int, delay: float, rounds: int) -> None:
    """Print images per second of each arm, and how many times as fast reading ahead is."""
    with tempfile.TemporaryDirectory() as name, bucket(count, delay) as env:
        os.environ.update(env)
        folder = Path(name)
        for key, data in pictures(count).items():
            (folder / key).write_bytes(data)
        names = sorted(path.name for path in folder.glob("*.jpg"))
        encoder = DualEncoder.load(str(tiny(folder / "model")), device="cpu", precision="fp32")
        seconds = alternate(
            {
                "when needed": lambda: embed("s3://shop", names, encoder, ahead=False),
                "read ahead": lambda: embed("s3://shop", names, encoder, ahead=True),
                "a folder on this disk": lambda: embed(str(folder), names, encoder, ahead=True),
            },
            rounds,
        )
    for arm, taken in seconds.items():
        CONSOLE.print(f"{arm:>22}: {spread([count / one for one in taken], '.0f')} images/s")
    faster = ratios(seconds["when needed"], seconds["read ahead"])
    CONSOLE.print(f"read ahead is {spread(faster)} times as fast; {count} images, {delay * 1000:.0f} ms a reply")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    header("fsspec", "s3fs")
    if importlib.util.find_spec("s3fs") is None:
        CONSOLE.print("not run: s3fs is missing (vdistill[s3])")
        return
    if given.quick:
        measure(12, 0.005, 1)
    else:
        measure(600, 0.05, given.rounds)


if __name__ == "__main__":
    main()
