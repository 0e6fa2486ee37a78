"""The command line as a person or a script uses it, and a small labelled shop to use it on."""

import csv
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

COLOURS = ("red", "green", "blue", "yellow")
QUERIES = [
    f"{wish} {colour}"
    for colour in COLOURS
    for wish in ("something", "a present in", "for a lover of", "she adores", "my kitchen wants", "a touch of")
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


def vdistill(*arguments, cwd, stdin="", env=None, timeout=300) -> Done:
    """Run the real program in a process of its own, as on a machine without network."""
    found = subprocess.run(
        [sys.executable, "-m", "vdistill", *map(str, arguments)],
        cwd=cwd, input=stdin, capture_output=True, text=True, timeout=timeout, check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1", **(env or {})},
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


def errors(done: Done) -> tuple[str, str]:
    """The `error:` and the `hint:` line of a failed command; there is one of each and no traceback."""
    lines = done.err.strip().splitlines()
    assert "Traceback" not in done.err, done.err
    error = [line for line in lines if line.startswith("error: ")]
    hint = [line for line in lines if line.startswith("hint: ")]
    assert len(error) == len(hint) == 1, done.err
    assert done.out == ""
    return error[0], hint[0]
