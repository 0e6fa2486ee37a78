"""Commands of a benchmark, each in a process of its own; a failed one ends the benchmark with what it said."""

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "gift_shop"


def vdistill(place: Path, *words: object) -> str:
    """What a command of vdistill prints in this folder."""
    return run([sys.executable, "-m", "vdistill", *words], place)


def run(words: list[object], place: Path) -> str:
    """What a program prints in this folder."""
    done = subprocess.run(list(map(str, words)), cwd=place, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{words}: {done.stderr}")
    return done.stdout
