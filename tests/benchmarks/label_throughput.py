"""Calls a second against a server that answers after 200 ms: 8 pictures a call, 32 at once, every answer stored.

    python tests/benchmarks/label_throughput.py

The ideal is 160 calls a second. The server runs in a process of its own, on the same cores.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from slow_chat_server import DELAY

from vdistill.database import Database
from vdistill.images import file_sha256
from vdistill.label.asking import Asker
from vdistill.label.purse import Purse
from vdistill.label.questions import Asked
from vdistill.label.teachers.openai_api import OpenAITeacher
from vdistill.label.teachers.options import TeacherOptions
from vdistill.records import Question, ShownImage

AT_ONCE, IMAGES, CALLS, RUNS = 32, 8, 1600, 5


def images(folder: Path) -> list[ShownImage]:
    rng = np.random.default_rng(0)
    found = []
    for number in range(64):
        path = folder / f"{number}.jpg"
        small = Image.fromarray(rng.integers(0, 255, (14, 14, 3), dtype=np.uint8))
        small.resize((224, 224), Image.Resampling.BICUBIC).save(path, quality=90)
        found.append(ShownImage(path.name, path, file_sha256(path)))
    return found


def main() -> None:
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("slow_chat_server.py"))], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    url = f"http://127.0.0.1:{int(server.stdout.readline())}"
    ideal = AT_ONCE / DELAY
    rates = []
    with tempfile.TemporaryDirectory() as name:
        shown = images(Path(name))
        rng = np.random.default_rng(0)
        for run in range(RUNS):
            chosen = [rng.choice(64, IMAGES, replace=False) for _ in range(CALLS)]
            asked = [
                Asked(Question(f"query {number // 40}", tuple(shown[i] for i in rows)), "train")
                for number, rows in enumerate(chosen)
            ]
            teacher = OpenAITeacher("model", TeacherOptions(endpoint=url, concurrency=AT_ONCE), say=print)
            with Database.open(Path(name) / f"{run}.db") as database:
                asker = Asker(teacher, database, Purse(CALLS), AT_ONCE, lambda _: None)
                started = time.monotonic()
                asker.ask(asked)
                rates.append(CALLS / (time.monotonic() - started))
            assert asker.tally.judgments == CALLS
            print(f"run {run + 1}: {rates[-1]:.1f} calls/s, {rates[-1] / ideal:.1%} of the ideal {ideal:.0f}")
    server.kill()
    print(
        f"median {np.median(rates):.1f} calls/s = {np.median(rates) / ideal:.1%}, {min(rates):.1f} to {max(rates):.1f}"
    )


if __name__ == "__main__":
    main()
