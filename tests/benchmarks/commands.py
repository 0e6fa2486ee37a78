"""Commands of a benchmark, each in a process of its own; a failed one ends the benchmark with what it said."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "gift_shop"


def vdistill(place: Path, *words: object) -> str:
    """What a command of vdistill prints in this folder."""
    if "MADE_SHOP" in os.environ:  # a test, which only looks whether it runs
        return forked(lambda: _command(place, words))
    return run([sys.executable, "-m", "vdistill", *words], place)


def _command(place: Path, words: Sequence[object]) -> None:
    from vdistill.cli import main

    os.chdir(place)
    sys.exit(main([str(word) for word in words]))


def run(words: list[object], place: Path) -> str:
    """What a program prints in this folder."""
    done = subprocess.run(list(map(str, words)), cwd=place, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{words}: {done.stderr}")
    return done.stdout


def forked(act: Callable[[], object]) -> str:
    """What is printed by a process that has loaded what this one has: for `--quick`, where memory is not looked at."""
    with tempfile.TemporaryFile("w+") as said:

        def child() -> None:
            os.dup2(said.fileno(), 1)
            act()

        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        process.join()
        said.seek(0)
        if process.exitcode:
            sys.exit(f"a process ended with {process.exitcode}: {said.read()}")
        return said.read()
