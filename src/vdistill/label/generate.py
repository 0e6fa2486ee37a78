"""Queries of shoppers whom the catalog would suit, written by the teacher and kept in the workspace."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vdistill.errors import TeacherError, VdistillError
from vdistill.label.schedules.plan import generator
from vdistill.label.teacher import Teacher, Writer
from vdistill.records import Failure, Query, ShownImage
from vdistill.splits import split_of
from vdistill.tables import read_rows
from vdistill.workspace import writing

PICTURES, QUERIES = 8, 10  # that a call shows, and that it asks for
FRUITLESS = 5  # calls without a new query that end it
_SHORTEST, _LONGEST = 8, 240  # characters of a query


@dataclass
class Spent:
    """What the writing has cost."""

    calls: int = 0
    tokens: int = 0
    cost_usd: float = 0.0

    def add(self, calls: int, tokens: int, cost_usd: float) -> None:
        """Count more."""
        self.calls += calls
        self.tokens += tokens
        self.cost_usd += cost_usd


def stored(path: Path, holdout: float) -> list[Query]:
    """The queries that were written before, the oldest first."""
    if not path.is_file():
        return []
    rows = (line.row["query"] for line in read_rows(path, required="query"))
    return [_query(str(text), number, holdout) for number, text in enumerate(rows, start=1)]


def generate(
    teacher: Teacher,
    images: Sequence[ShownImage],
    count: int,
    path: Path,
    *,
    holdout: float,
    seed: int,
    max_cost: float | None,
    say: Callable[[str], None],
) -> tuple[list[Query], Spent]:
    """At least `count` queries where the teacher has so many ideas; what `path` holds is used first.

    What a call brings is in the file before the next one is made. Raises VdistillError for a teacher that cannot
    write, and TeacherError where it wrote nothing that can be used.
    """
    known = stored(path, holdout)
    spent, fruitless, reason = Spent(), 0, ""
    if len(known) < count and not isinstance(teacher, Writer):
        raise VdistillError(
            f"{teacher.name} cannot write queries", hint="use a vision-language model, or give --queries FILE"
        )
    while len(known) < count and fruitless < FRUITLESS:
        if max_cost is not None and spent.cost_usd >= max_cost:
            say(f"--max-cost is reached: {len(known)} queries instead of {count}")
            break
        rng = generator(seed, "generate", str(len(known)), str(fruitless))
        drawn = rng.choice(len(images), min(PICTURES, len(images)), replace=False)
        assert isinstance(teacher, Writer)
        said = teacher.write([images[i] for i in drawn], QUERIES)
        spent.calls += 1
        new: list[str] = []
        if isinstance(said, Failure):
            reason = said.reason
        else:
            spent.add(0, said.tokens, said.cost_usd)
            new = _usable(said.lines, {query.text for query in known})
        _append(path, new, teacher.name)
        known += [_query(text, len(known) + number, holdout) for number, text in enumerate(new, start=1)]
        fruitless = 0 if new else fruitless + 1
    if not known:
        raise TeacherError(
            f"{teacher.name} wrote no query that can be used{f': {reason}' if reason else ''}",
            hint="use a stronger model, or give --queries FILE",
        )
    if len(known) < count and fruitless:
        say(f"{teacher.name} had no more ideas: {len(known)} queries instead of {count}")
    return known[: max(count, 1)], spent


def _usable(lines: Sequence[str], known: set[str]) -> list[str]:
    """New searches among what a model wrote: without numbers, bullets and quotes, and no talk around them."""
    found: dict[str, None] = {}
    for line in lines:
        text = re.sub(r"^\s*(?:[-*•]|\(?\d+[.):])\s*", "", line).strip().strip("\"'“”*").strip()
        plain = text.isprintable() and not text.endswith(":")
        if _SHORTEST <= len(text) <= _LONGEST and len(text.split()) > 1 and plain and text not in known:
            found[text] = None
    return list(found)


def _append(path: Path, texts: Sequence[str], teacher: str) -> None:
    rows = "".join(json.dumps({"query": text, "teacher": teacher}, ensure_ascii=False) + "\n" for text in texts)
    with writing(path), path.open("a", encoding="utf-8") as file:
        file.write(rows)
        file.flush()
        os.fsync(file.fileno())


def _query(text: str, number: int, holdout: float) -> Query:
    return Query(id=f"written-{number}", text=text, split=split_of("query", text, holdout))
