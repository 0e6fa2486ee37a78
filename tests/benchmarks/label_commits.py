"""Answers a second that end in the store, from teachers that take no time: a commit each, or what is in together.

    python tests/benchmarks/label_commits.py [--folder DIR] [--quick]

Before, each answer was committed as it came, those that had come meanwhile one after the other; now all that are in are
committed at once. In both, an answer counts as under way until it is committed. The teachers: one in this process that
answers at once, a server on loopback that does (8 pictures of 32 px a call), and a table, which is asked in batches of
64 and so commits as often as before. `--folder` is where the databases are: what a commit takes depends on the disk.
"""

from __future__ import annotations

import argparse
import functools
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image
from side_by_side import alternate, header, show

from vdistill.database import Database
from vdistill.images import file_sha256
from vdistill.label import asking
from vdistill.label.asking import Asker
from vdistill.label.in_threads import InThreads
from vdistill.label.purse import Purse
from vdistill.label.questions import Asked
from vdistill.label.teacher import Price, Teacher
from vdistill.label.teachers.openai_api import OpenAITeacher
from vdistill.label.teachers.options import TeacherOptions
from vdistill.label.teachers.table import TableTeacher
from vdistill.records import Answer, Question, ShownImage

IMAGES, POOL = 8, 64


class Instant:
    """Answers at once."""

    name, prompt, batch_size, looks = "instant", "1", 1, False

    def __init__(self, concurrency: int) -> None:
        self.concurrency = concurrency

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        return [Answer((0.3, *[0.1] * (IMAGES - 1))) for _ in questions]

    def price(self, question: Question) -> Price:
        return Price()

    def close(self) -> None: ...


def shown_images(folder: Path) -> list[ShownImage]:
    rng = np.random.default_rng(0)
    found = []
    for number in range(POOL):
        path = folder / f"{number}.png"
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(path)
        found.append(ShownImage(path.name, path, file_sha256(path)))
    return found


def questions(shown: Sequence[ShownImage], calls: int) -> list[Asked]:
    rng = np.random.default_rng(0)
    return [
        Asked(Question(f"query {n // 40}", tuple(shown[i] for i in rng.choice(POOL, IMAGES, replace=False))), "train")
        for n in range(calls)
    ]


def label(folder: Path, make: Callable[[], Teacher], asked: Sequence[Asked], most: int) -> None:
    """Ask all in a new database; up to `most` answers are committed together."""
    asking.InThreads = functools.partial(InThreads, most=most)
    teacher = make()
    with Database.open(folder / f"{next(NUMBERS)}.db") as database:
        asker = Asker(teacher, database, Purse(), teacher.concurrency, lambda _: None)
        asker.ask_each((asker.key(one.question), one) for one in asked)
        assert database.judgment_count() == asker.tally.judgments == len(asked)
    teacher.close()


NUMBERS = count()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    rounds, calls = (1, 60) if given.quick else (5, 2000)
    header()
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("slow_chat_server.py")), "0"], stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    url = f"http://127.0.0.1:{int(server.stdout.readline())}"
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        shown = shown_images(folder)
        asked = questions(shown, calls)
        rows = [f"query {n},{one.item_id},{n % 7}" for n in range(calls // 40 + 1) for one in shown]
        (folder / "scores.csv").write_text("\n".join(["query,item,score", *rows]))
        teachers: dict[str, Callable[[], Teacher]] = {
            "in this process, 8 at once": lambda: Instant(8),
            "in this process, 32 at once": lambda: Instant(32),
            "a server, 8 at once": lambda: OpenAITeacher("m", TeacherOptions(endpoint=url, concurrency=8), say=print),
            "a server, 32 at once": lambda: OpenAITeacher("m", TeacherOptions(endpoint=url, concurrency=32), say=print),
            "a table": lambda: TableTeacher(folder / "scores.csv"),
        }
        for title, make in teachers.items():
            arms = {
                "one by one": lambda make=make: label(folder, make, asked, 1),
                "together": lambda make=make: label(folder, make, asked, 1024),
            }
            show(title, alternate(arms, rounds), calls, "answers")
    server.kill()


if __name__ == "__main__":
    main()
