"""The command line as a person or a script uses it, and a small labelled shop to use it on."""

import csv
import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from drawings import draw_catalog

COLOURS = ("red", "green", "blue", "yellow")
QUERIES = [
    f"{phrase} {colour}"
    for colour in COLOURS
    for phrase in ("something", "a present in", "for a lover of", "she adores", "my kitchen wants", "a touch of")
]


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


def vdistill(*arguments, cwd, stdin="", env=None) -> Done:
    """Call the program as the shell would: its arguments, its folder, its environment, its streams, its exit code.

    In this process, because loading torch takes longer than most of what is tested.
    """
    from vdistill.cli import main
    from vdistill.sources.manners import obey_robots

    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(cwd)
        patch.setattr(sys, "stdin", io.StringIO(stdin))
        for name, value in {"HF_HUB_OFFLINE": "1", **(env or {})}.items():
            patch.setenv(name, value)
        code = main([str(argument) for argument in arguments])
        obey_robots(lambda: True)  # as it is in the next process
    return Done(code, out.getvalue(), err.getvalue())


def vdistill_process(*arguments, cwd, timeout=120, prefix=()) -> Done:
    """The same in a process of its own, started by the command `prefix`."""
    found = subprocess.run(
        [*prefix, sys.executable, "-m", "vdistill", *map(str, arguments)], cwd=cwd, capture_output=True, text=True,
        timeout=timeout, check=False, env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )  # fmt: skip
    return Done(found.returncode, found.stdout, found.stderr)


def write_scores(folder: Path, items: list[str]) -> None:
    """A table teacher that likes the colour that the query names."""
    with (folder / "scores.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["query", "item", "score"])
        for query in QUERIES:
            for place, item in enumerate(items):
                rows.writerow([query, item, 4.0 * (item.split("_")[0] in query) + 0.1 * (place % 7)])
    (folder / "queries.txt").write_text("\n".join(QUERIES) + "\n")


def sides_of(home: Path, holdout: float, folder: str = ".vdistill", catalog: str | Path | None = None):
    """The side of each item of the catalog, by id, as the workspace has it or, without one, as it would be.

    catalog: `home/catalog` where it is not said.
    """
    from vdistill.database import Database
    from vdistill.inputs.catalog import scan
    from vdistill.inputs.hashes import Hashes
    from vdistill.inputs.sides import Sides

    items = scan(catalog or home / "catalog").items
    with Hashes.open(None) as hashes:
        contents = hashes.of(items)
    path = home / folder / "vdistill.db"
    if not path.is_file():
        return Sides(holdout).of_items(items, contents).split
    with Database.open(path) as database:
        return Sides.read(database, holdout).of_items(items, contents).split


def errors(done: Done) -> tuple[str, str]:
    """The `error:` and the `hint:` line of a failed command; there is one of each and no traceback."""
    lines = done.err.strip().splitlines()
    assert "Traceback" not in done.err, done.err
    error = [line for line in lines if line.startswith("error: ")]
    hint = [line for line in lines if line.startswith("hint: ")]
    assert len(error) == len(hint) == 1, done.err
    assert done.out == ""
    return error[0], hint[0]


def index_drawn(home, backbone):
    """Draw a catalog in the folder `home` and index it by the backbone; returns `home`."""
    (home / "catalog").mkdir()
    draw_catalog(home / "catalog")
    done = vdistill("index", "catalog", "--model", "backbone", "--backbone", backbone, cwd=home)
    assert done.code == 0, done.err
    return home
