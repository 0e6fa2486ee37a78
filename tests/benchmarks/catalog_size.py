"""What a large catalog costs before anything is embedded: the time and memory of listing it and of planning its index.

    python tests/benchmarks/catalog_size.py [--items 1000000] [--folder FOLDER] [--quick]

Each file is tiny: its name, its status and its row of metadata cost what those of a photograph do.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from side_by_side import header

PER_FOLDER = 10_000


def make(folder: Path, count: int) -> None:
    """A catalog of `count` images, each with its own bytes, and their metadata."""
    with (folder / "metadata.jsonl").open("w", encoding="utf-8") as rows:
        for number in range(count):
            name = f"{number // PER_FOLDER:04}/{number:08}.jpg"
            if number % PER_FOLDER == 0:
                (folder / name).parent.mkdir()
            with open(folder / name, "wb") as file:  # noqa: PTH123
                file.write(b"%d" % number)
            row = {"file_name": name, "title": f"Thing {number}", "price": number % 97, "group": f"g{number // 3}"}
            rows.write(json.dumps(row) + "\n")


def measure(folder: Path) -> None:
    """Print, as JSON, what listing and planning took in this process."""
    from vdistill.index.plan import Plan
    from vdistill.inputs.catalog import scan

    before = peak()
    started = time.monotonic()
    catalog = scan(folder)
    listed = time.monotonic()
    after = peak()
    with tempfile.TemporaryDirectory() as aside, Plan(Path(aside) / "items.db", None, 0) as plan:
        plan.enter(catalog, reuse=False)
        count = plan.count_fresh()
    print(json.dumps({
        "items": count, "scan": listed - started, "plan": time.monotonic() - listed,
        "import_mib": before, "scan_mib": after, "plan_mib": peak(),
    }))  # fmt: skip


def peak() -> float:
    """The most memory that this process has held, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where the catalog is, or is made; a temporary folder otherwise")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        measure(given.child)
        return
    header()
    with tempfile.TemporaryDirectory() as aside:
        folder = given.folder or Path(aside)
        if not folder.is_dir() or not any(folder.iterdir()):
            folder.mkdir(exist_ok=True)
            make(folder, 2_000 if given.quick else given.items)
        done = subprocess.run(
            [sys.executable, __file__, "--child", str(folder)], capture_output=True, check=True, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    found = json.loads(done.stdout)
    print(f"{found['items']:,} items: scan {found['scan']:.1f} s, plan {found['plan']:.1f} s")
    print(
        f"memory in all: {found['import_mib']:.0f} MiB once imported, {found['scan_mib']:.0f} MiB after the scan, "
        f"{found['plan_mib']:.0f} MiB after the plan"
    )


if __name__ == "__main__":
    main()
