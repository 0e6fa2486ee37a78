"""How long a training of a large catalog takes to begin, and what it holds in memory by then.

    python tests/benchmarks/distill_scale.py --items 100000 --calls 40000

A catalog of so many files (8 × 8 pixels, each with bytes of its own) with titles, a tenth held out; calls of eight
images by soft answers, a tenth of them held out, stored as `label` stores them: each training query has five calls in
pools of 64 images, and the calls of training together show `--shown` images. The model is a CLIP with one block of
width 16, so that what is measured is all but its forward passes, whose number is that of the images shown. The clock
runs from the command to its first step, memory is counted beyond what the process had with the model loaded. The first
run reads all files once for their hashes, the second one has them.
"""

from __future__ import annotations

import argparse
import io
import json
import runpy
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from commands import forked
from PIL import Image
from side_by_side import header

from vdistill.database import Database
from vdistill.images import file_sha256
from vdistill.inputs.split import split_of
from vdistill.records import Answer, Judgment, Query
from vdistill.workspace import create

HOLDOUT, SHOWN, POOL = 0.1, 8, 64

FIRST_STEP = """
import gc, resource, sys, time
from pathlib import Path
began = time.monotonic()
from vdistill.cli import COLLECTED_AFTER
gc.set_threshold(COLLECTED_AFTER)  # as the command does
from vdistill.distill import loop
from vdistill.distill.job import Where
from vdistill.distill.run import distill
from vdistill.distill.settings import DistillSettings
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.workspace import at

def status(name):
    return next(int(line.split()[1]) / 1024**2 for line in open("/proc/self/status") if line.startswith(name))

DualEncoder.load(sys.argv[2], device="cpu", precision="fp32")
loaded = status("VmRSS")

def first(self, *_):
    print(f"{time.monotonic() - began:.1f} s ({time.process_time():.1f} s of work) to the first step, "
          f"{status('VmHWM') - loaded:.2f} GiB beyond the model, "
          f"{len(self.data.tower):,} images and {len(self.data.calls.query):,} calls train", flush=True)
    raise SystemExit

loop.Loop.epoch = loop.Loop.attempt = first
distill(at(Path(sys.argv[1])), Where(sys.argv[2], "cpu", "fp32"), DistillSettings(rank=4, epochs=1), fresh=True,
        say=lambda text: print(text, flush=True), advance=lambda _: None)
"""


def at_once(script: Path, places: list[str]) -> None:
    """What a process of its own does."""
    sys.argv[1:] = places
    runpy.run_path(str(script))


def write_catalog(folder: Path, count: int) -> list[str]:
    """Files that are all different, in folders of a thousand."""
    content = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(content, "PNG")
    names = [f"{number // 1000:04}/{number:07}.png" for number in range(count)]
    for number, name in enumerate(names):
        path = folder / name
        if number % 1000 == 0:
            path.parent.mkdir(parents=True)
        path.write_bytes(content.getvalue() + number.to_bytes(4, "big"))
    rows = (json.dumps({"file_name": name, "title": f"thing {number}"}) for number, name in enumerate(names))
    (folder / "metadata.jsonl").write_text("\n".join(rows))
    return names


def judge(database: Database, catalog: Path, names: list[str], calls: int, shown: int) -> None:
    rng = np.random.default_rng(0)
    hashes = {name: file_sha256(catalog / name) for name in names}
    side_of = {name: split_of("item", hashes[name], HOLDOUT) for name in names}
    sides = {side: [name for name in names if side_of[name] == side] for side in ("train", "heldout")}
    sides["train"] = [sides["train"][number] for number in rng.permutation(len(sides["train"]))[:shown]]
    queries = [f"query {number}" for number in range(max(calls // 5, 100))]
    of_side = {side: [text for text in queries if split_of("query", text, HOLDOUT) == side] for side in sides}
    database.add_queries(Query(text, text, side) for side, texts in of_side.items() for text in texts)
    rows: list[tuple[str, str, Judgment]] = []
    for number in range(calls):
        side = "heldout" if number % 10 == 0 else "train"
        pools = -(-len(sides[side]) // POOL)
        pool = int(rng.integers(pools))
        members = sides[side][pool * POOL : (pool + 1) * POOL]
        items = tuple(members[place] for place in rng.permutation(len(members))[:SHOWN])
        answer = Answer(probabilities=tuple(rng.dirichlet(np.ones(len(items))).tolist()))
        query = of_side[side][int(rng.integers(len(of_side[side])))]
        one = Judgment(query, items, tuple(hashes[item] for item in items), "best", answer, "simulated", side, pool)
        rows.append((f"key {number}", "1", one))
    database.add_judgments(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--calls", type=int, default=40_000)
    parser.add_argument("--shown", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="where the workspace is, or is made; a temporary folder otherwise")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.items, arguments.calls, arguments.shown = 1_000, 400, 500
    header("transformers", "peft")
    sys.path.insert(0, str(Path(__file__).parents[1] / "support"))
    with tempfile.TemporaryDirectory() as name:
        home = arguments.folder or Path(name)
        if not (home / "made").exists():
            make(home, arguments.items, arguments.calls, arguments.shown)
        print(f"{arguments.items:,} items, {arguments.calls:,} calls", flush=True)
        script, places = home / "first_step.py", [str(home / ".vdistill"), str(home / "clip")]
        script.write_text(FIRST_STEP)
        for _ in range(2):
            began = time.monotonic()
            if arguments.quick:
                print(forked(partial(at_once, script, places)), end="")
            else:
                subprocess.run([sys.executable, script, *places], check=True)
            print(f"{time.monotonic() - began:.1f} s in all", flush=True)


def make(home: Path, items: int, calls: int, shown: int) -> None:
    """A catalog, a model and a workspace with judgments."""
    import models

    models.TOWER.update(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=1)
    models.VISION.update(models.TOWER)
    home.mkdir(exist_ok=True)
    model = models.clip(home / "clip")
    names = write_catalog(home / "catalog", items)
    workspace = create(home / ".vdistill")
    with Database.open(workspace.database) as database:
        for setting, value in {"catalog": str(home / "catalog"), "holdout": HOLDOUT, "backbone": str(model)}.items():
            database.remember(setting, value)
        judge(database, home / "catalog", names, calls, shown)
    (home / "made").touch()


if __name__ == "__main__":
    main()
