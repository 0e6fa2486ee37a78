"""What a pack costs beside the folder it was made from: to write, to search cold, to serve, in time and memory.

    python tests/benchmarks/pack.py                        a million items
    python tests/benchmarks/pack.py --folder /tmp/x        keeps the workspace there, for another run
    python tests/benchmarks/pack.py --quick

The workspace is that of `serve_load.py`. Each query is a process of its own; folder and pack take turns.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

from commands import vdistill
from serve_load import made, memory, texts
from side_by_side import CONSOLE, alternate, header, show

from vdistill.bundle import manifest
from vdistill.bundle.pack_writer import write_pack
from vdistill.bundle.store import Store

PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
"""


def cold(home: Path, pack: Path, rounds: int) -> None:
    """Whole processes, and their peak memory, pages of mapped files included."""
    index, asked = home / ".vdistill" / "index", texts(0)
    places = {"the folder": index, "the pack": pack}
    vdistill(home, "query", next(asked), "--index", index, "--json")
    vdistill(home, "query", next(asked), "--index", pack, "--json")  # both are in the system's cache now
    arms = {name: lambda place=place: vdistill(home, "query", next(asked), "--index", place, "--json")
            for name, place in places.items()}  # fmt: skip
    show("cold query, whole processes", alternate(arms, rounds))
    for name, place in places.items():
        command = [sys.executable, "-m", "vdistill", "query", next(asked), "--index", str(place), "--json"]
        peak = subprocess.run(
            [sys.executable, "-c", PEAK, *command], cwd=home, capture_output=True, text=True, check=True
        )
        CONSOLE.print(f"{name}: peak {float(peak.stdout.split()[-1]):,.0f} MiB")


def served(home: Path, place: Path) -> None:
    """How long a server takes to start, which reads a pack in full, and what it then holds."""
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "vdistill", "serve", str(place), "--port", "0"], cwd=home,
                               text=True, stderr=subprocess.PIPE)  # fmt: skip
    assert process.stderr
    for line in process.stderr:
        if re.search(r"serving http", line):
            break
    seconds = time.perf_counter() - started
    held = memory(process.pid)
    process.terminate()
    process.wait(60)
    CONSOLE.print(f"serving {place.name} after {seconds:.1f} s: {held['VmRSS']:,.0f} MiB, {held['RssAnon']:,.0f} of "
                  "them not files")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--model", type=Path, default=Path(tempfile.gettempdir()) / "vit-b-32")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.rounds = 2
    header("numkong")
    with nullcontext(options.folder) if options.folder else tempfile.TemporaryDirectory() as name:
        home = Path(name)
        home.mkdir(parents=True, exist_ok=True)
        made(home, options)
        index, pack = home / ".vdistill" / "index", home / "shop.vdx"
        model = max(manifest.read(index))
        store = Store.open(index, model)
        size = sum(file.bytes for file in store.entry.files)
        report = write_pack(store, model, pack)
        store.close()
        CONSOLE.print(f"{report.items:,} items: packed in {report.seconds:.1f} s, {report.bytes:,} bytes, "
                      f"{report.bytes - size:+,} beside the index's files")  # fmt: skip
        cold(home, pack, options.rounds)
        for place in (index, pack):
            served(home, place)


if __name__ == "__main__":
    main()
