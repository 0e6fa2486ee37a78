"""What a large catalog costs before anything is embedded: the time and memory of listing it and of planning its index.

    python tests/benchmarks/catalog_size.py [--kind tsv] [--items 1000000] [--at PATH] [--quick]

Images are tiny: the name, the status and the row of metadata of each cost what those of a photograph do. With
PYTHONPATH=CHECKOUT/src the code of another checkout is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from side_by_side import header

PER_FOLDER = 10_000
PER_FILE, PER_GROUP = 250_000, 1_000  # rows of Parquet
TEXT = "A vase of clay, thrown by hand, glazed in the colour of the sea. " * 3


def folder(at: Path, count: int) -> None:
    """A catalog of `count` images, each with its own bytes, and their metadata."""
    at.mkdir()
    with (at / "metadata.jsonl").open("w", encoding="utf-8") as rows:
        for number in range(count):
            name = f"{number // PER_FOLDER:04}/{number:08}.jpg"
            if number % PER_FOLDER == 0:
                (at / name).parent.mkdir()
            with open(at / name, "wb") as file:  # noqa: PTH123
                file.write(b"%d" % number)
            row = {"file_name": name, "title": f"Thing {number}", "price": number % 97, "group": f"g{number // 3}"}
            rows.write(json.dumps(row) + "\n")


def tsv(at: Path, count: int) -> None:
    """A feed of `count` products, a line each."""
    with at.open("w", encoding="utf-8") as file:
        file.write("id\ttitle\tdescription\timage_link\tprice\n")
        for number in range(count):
            file.write(f"{number}\tVase {number}\t{TEXT}\t{_link(number)}\t{number % 90}.50 EUR\n")


def jsonl(at: Path, count: int) -> None:
    """The same feed, a JSON object a line."""
    with at.open("w", encoding="utf-8") as file:
        for number in range(count):
            row = {"id": str(number), "title": f"Vase {number}", "description": TEXT, "image_link": _link(number),
                   "price": f"{number % 90}.50 EUR"}  # fmt: skip
            file.write(json.dumps(row) + "\n")


def xml(at: Path, count: int) -> None:
    """The same feed as RSS."""
    with at.open("w", encoding="utf-8") as file:
        file.write('<rss version="2.0" xmlns:g="http://base.google.com/ns/1.0"><channel>')
        for number in range(count):
            file.write(f"<item><g:id>{number}</g:id><title>Vase {number}</title><description>{TEXT}</description>"
                       f"<g:image_link>{_link(number)}</g:image_link>"
                       f"<g:price>{number % 90}.50 EUR</g:price></item>\n")  # fmt: skip
        file.write("</channel></rss>")


def parquet(at: Path, count: int) -> None:
    """A folder of Parquet files whose rows hold their images."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    at.mkdir()
    for start in range(0, count, PER_FILE):
        numbers = range(start, min(start + PER_FILE, count))
        images, titles = [b"%d" % number for number in numbers], [f"Thing {number}" for number in numbers]
        table = pa.table({"image": images, "title": titles})
        pq.write_table(table, at / f"{start // PER_FILE:04}.parquet", row_group_size=PER_GROUP)


def _link(number: int) -> str:
    return f"https://cdn.example/{number}.jpg"


MAKERS: dict[str, Callable[[Path, int], None]] = {one.__name__: one for one in (folder, tsv, jsonl, xml, parquet)}


def measure(at: Path) -> None:
    """Print, as JSON, what listing and planning took in this process."""
    from vdistill.index.plan import Plan
    from vdistill.inputs.catalog import scan

    before = peak()
    started = clocks()
    catalog = scan(at)
    listed = clocks()
    after = peak()
    with tempfile.TemporaryDirectory() as aside, Plan(Path(aside) / "items.db", None, 0) as plan:
        plan.enter(catalog, reuse=False)
        count = plan.count_fresh()
    planned = clocks()
    print(json.dumps({
        "items": count, "scan": [end - start for start, end in zip(started, listed, strict=True)],
        "plan": [end - start for start, end in zip(listed, planned, strict=True)],
        "import_mib": before, "scan_mib": after, "plan_mib": peak(),
    }))  # fmt: skip


def clocks() -> tuple[float, float]:
    """The time, and that of the processor which this process took, in seconds."""
    return time.monotonic(), time.process_time()


def peak() -> float:
    """The most memory that this process has held, in MiB; `getrusage` counts what the one that started it had."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=MAKERS, action="append", help="all, without it")
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--at", type=Path, help="a folder where the catalogs are, or are made; else a temporary one")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        measure(given.child)
        return
    header()
    for kind in given.kind or MAKERS:
        with tempfile.TemporaryDirectory() as aside:
            at = (given.at or Path(aside)) / (kind if kind in ("folder", "parquet") else f"feed.{kind}")
            if not at.exists():
                at.parent.mkdir(exist_ok=True)
                MAKERS[kind](at, 2_000 if given.quick else given.items)
            report(kind, at)


def report(kind: str, at: Path) -> None:
    """Print what a process of its own took for one catalog."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", str(at)], stdout=subprocess.PIPE, check=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    found = json.loads(done.stdout)
    scan, plan = ("{:.1f} s ({:.1f} s of CPU)".format(*found[part]) for part in ("scan", "plan"))
    print(
        f"{kind}, {found['items']:,} items: scan {scan}, plan {plan}; memory in all: "
        f"{found['import_mib']:.0f} MiB once imported, {found['scan_mib']:.0f} MiB after the scan, "
        f"{found['plan_mib']:.0f} MiB after the plan"
    )


if __name__ == "__main__":
    main()
