"""What an index costs again when 1 % of its pictures changed, and how much memory large catalogs take.

    python tests/benchmarks/reindex.py                         10,000 photographs, whole processes
    python tests/benchmarks/reindex.py --memory 10000 100000   small pictures: the peak memory of indexing them
    python tests/benchmarks/reindex.py --quick                 100 small pictures and a tiny model

ViT-B/32 size with random weights. The pictures of `--memory` are noise of 32 × 32 px, a thousand
different ones over and over.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from commands import forked, run
from PIL import Image
from side_by_side import header
from speed_model import backbone, catalog

from vdistill import cli

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))


def index(home: Path, model: Path, run: Callable[[list[object], Path], str] = run) -> tuple[dict[str, object], float]:
    """Run `vdistill index` in `home`; its report and the seconds of the whole process."""
    command = [sys.executable, "-m", "vdistill", "index", "catalog", "--model", "backbone", "--backbone", model]
    started = time.perf_counter()
    said = run([*command, "--json"], home)
    return json.loads(said), time.perf_counter() - started


def at_once(command: list[object], home: Path) -> str:
    """The same without starting Python."""

    def act() -> None:
        os.chdir(home)
        sys.exit(cli.main([str(word) for word in command[3:]]))

    return forked(act)


def changes(home: Path, model: Path, images: list[Path], index: Callable = index) -> None:
    """Index everything, then nothing, then 1 % anew.  images: all that are in `home / "catalog"`."""
    count = len(images)
    _, full = index(home, model)
    print(f"{count:,} pictures: {full:.1f} s, {count / full:.1f} a second with starting and exporting")
    _, nothing = index(home, model)
    print(f"nothing changed: {nothing:.2f} s, {nothing / full:.1%}")
    for path in images[::100]:
        with path.open("ab") as file:
            file.write(b"changed")
    report, again = index(home, model)
    print(
        f"{report['updated']} changed: {again:.2f} s, {again / full:.1%} ({report['seconds']} s of it after starting)"
    )


def memory(home: Path, model: Path, counts: list[int]) -> None:
    """Peak memory of indexing so many small pictures."""
    for count in counts:
        place = home / str(count)
        small_pictures(place / "catalog", count)
        _, seconds = index(place, model)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024  # of the largest child so far
        print(f"{count:,} small pictures: {seconds:.0f} s, peak memory {peak:,.0f} MiB", flush=True)
        shutil.rmtree(place)


def small_pictures(folder: Path, count: int) -> list[Path]:
    """Pictures of noise, a thousand different ones over and over."""
    noise = np.random.default_rng(0).integers(0, 256, (1000, 32, 32, 3), dtype=np.uint8)
    paths = [folder / f"{number // 1000:04}" / f"{number:07}.png" for number in range(count)]
    for number, path in enumerate(paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise[number % 1000]).save(path, compress_level=0)
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--memory", type=int, nargs="*")
    parser.add_argument("--model", type=Path, default=Path(tempfile.gettempdir()) / "vit-b-32")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    header()
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        if options.quick:
            from models import clip

            changes(home, clip(home / "model"), small_pictures(home / "catalog", 100), partial(index, run=at_once))
            return
        model = backbone(options.model)
        if options.memory:
            memory(home, model, options.memory)
        else:
            changes(home, model, sorted(catalog(home / "catalog", options.pictures).rglob("*.jpg")))


if __name__ == "__main__":
    main()
