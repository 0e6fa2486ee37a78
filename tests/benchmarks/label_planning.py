"""How long `label` takes from the command to its first call, and what it holds in memory by then.

    python tests/benchmarks/label_planning.py --queries 100000 --items 1000000 [--folder DIR] [--before SRC]
    python tests/benchmarks/label_planning.py --quick

A catalog of so many files (8 × 8 pixels, each with bytes of its own) with titles, and so many queries, a fifth of both
held out; the teacher does not look at the images, and stops the run with its first call. The first run reads all files
for their hashes, the others have them. `--before` measures the `src` folder of another checkout in turns with this one.
`--folder` keeps the catalog for the next time.
"""

from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from side_by_side import header, spread

CHILD = """
import gc, resource, sys, time
from pathlib import Path
began = time.monotonic()
from vdistill import cli
gc.set_threshold(getattr(cli, "COLLECTED_AFTER", 700))  # as the command does
from vdistill.errors import TeacherError
from vdistill.label.prepare import read_inputs
from vdistill.label.purse import Purse
from vdistill.label.run import LabelRun, label
from vdistill.label.settings import LabelSettings
from vdistill.label.teacher import Price
from vdistill.workspace import create

class Silent:
    name, prompt, batch_size, concurrency, looks = "silent", "1", 1, 1, False
    def ask(self, questions):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(time.monotonic() - began, time.process_time(), peak, flush=True)
        raise TeacherError("enough", hint="none")
    def price(self, question):
        return Price()
    def close(self): ...

folder = Path(sys.argv[1])
settings = LabelSettings(str(folder / "catalog"), str(folder / "queries.txt"))
workspace = create(folder / ".vdistill")
teacher = Silent()
steps = [time.monotonic()]
def say(text):
    print(f"{time.monotonic() - began:.1f} s: {text}", file=sys.stderr)
inputs = read_inputs(settings, workspace, lambda items: teacher, say)
say("read")
stage = inputs.stage(settings)
say("staged")
try:
    label(workspace, stage, LabelRun(teacher, Purse(), say))
except TeacherError:
    pass
"""


def write_shop(folder: Path, queries: int, items: int) -> None:
    """The files of the catalog, all different, in folders of a thousand, and the queries."""
    if (folder / "queries.txt").exists():
        return
    content = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(content, "PNG")
    with tempfile.TemporaryFile("w+") as titles:
        for number in range(items):
            path = folder / "catalog" / f"{number // 1000:04}" / f"{number:07}.png"
            if number % 1000 == 0:
                path.parent.mkdir(parents=True)
            path.write_bytes(content.getvalue() + number.to_bytes(4, "big"))
            titles.write(f'{{"file_name": "{number // 1000:04}/{number:07}.png", "title": "thing {number}"}}\n')
        titles.seek(0)
        (folder / "catalog" / "metadata.jsonl").write_text(titles.read())
    (folder / "queries.txt").write_text("".join(f"a gift for number {number}\n" for number in range(queries)))


def measured(folder: Path, source: Path, *, told: bool) -> tuple[float, float, float]:
    """Seconds, seconds of work, and GiB until the first call, in a process of its own."""
    for name in ("vdistill.db", "vdistill.db-wal", "vdistill.db-shm"):  # the cache of hashes stays
        (folder / ".vdistill" / name).unlink(missing_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder)], env={**os.environ, "PYTHONPATH": str(source)},
        stdout=subprocess.PIPE, stderr=None if told else subprocess.DEVNULL, text=True, check=True,
    )  # fmt: skip
    seconds, work, peak = map(float, done.stdout.split())
    return seconds, work, peak


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--queries", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--before", type=Path, help="the `src` folder of another checkout")
    parser.add_argument("--told", action="store_true", help="what the runs say, with times")
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    queries, items, rounds = (30, 100, 1) if given.quick else (given.queries, given.items, given.rounds)
    header()
    with tempfile.TemporaryDirectory() as name:
        folder = given.folder or Path(name)
        write_shop(folder, queries, items)
        arms = {"now": Path(__file__).parents[2] / "src"} | ({"before": given.before} if given.before else {})
        first = measured(folder, arms["now"], told=given.told)
        print(f"{queries:,} queries × {items:,} items, files read anew: {first[0]:.1f} s, {first[2]:.2f} GiB")
        found: dict[str, list[tuple[float, float, float]]] = {arm: [] for arm in arms}
        for _ in range(rounds):
            for arm, source in arms.items():
                found[arm].append(measured(folder, source, told=given.told))
        for arm, rows in found.items():
            seconds, work, peak = (list(column) for column in zip(*rows, strict=True))
            print(f"{arm}: first call after {spread(seconds)} s ({spread(work)} s of work), {spread(peak)} GiB")


if __name__ == "__main__":
    main()
