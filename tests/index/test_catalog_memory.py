"""A catalog of four times as many items is listed, and its index planned, in as much memory."""

import subprocess
import sys

import pytest

MOST = 15  # MiB

PROGRAM = """
import sys
from pathlib import Path
from vdistill.index.plan import Plan
from vdistill.inputs.catalog import scan

catalog = scan(sys.argv[1])
with Plan(Path(f"{sys.argv[1]}.db"), None, 0) as plan:
    assert plan.enter(catalog, reuse=False) == []
    count = plan.count_fresh()
status = Path("/proc/self/status").read_text()  # `getrusage` counts what the process of the tests had, too
print(count, int(status.split("VmHWM:")[1].split()[0]) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak of memory from /proc")
def test_the_memory_of_a_scan_and_a_plan_does_not_grow_with_the_catalog(tmp_path):
    small, large = (peak_of(feed_of(count, tmp_path / f"{count}.tsv"), count) for count in (50_000, 200_000))
    assert large - small < MOST, f"{small} MiB, then {large}"


def peak_of(feed, count):
    """The most memory, in MiB, of a process that lists the feed and plans its index."""
    said = subprocess.check_output([sys.executable, "-c", PROGRAM, feed], text=True)
    planned, peak = map(int, said.split())
    assert planned == count
    return peak


def feed_of(count, path):
    """A feed whose smaller size is beyond what SQLite keeps in memory; it is the kind that is made most quickly."""
    text = "Thrown by hand. " * 20
    with path.open("w", encoding="utf-8") as file:
        file.write("id\tdescription\timage_link\n")
        file.writelines(f"{number}\t{text}\thttps://cdn.example/{number}.jpg\n" for number in range(count))
    return path
