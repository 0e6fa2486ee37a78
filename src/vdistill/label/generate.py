"""Queries that suit the catalog, written by the teacher and kept in the workspace."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vdistill.errors import TeacherError, VdistillError
from vdistill.inputs.sides import Sides, plain
from vdistill.inputs.tables import read_rows
from vdistill.label.purse import Purse
from vdistill.label.schedules.plan import generator
from vdistill.label.stage import SIDES
from vdistill.label.teacher import Teacher, Writer
from vdistill.label.written_lines import searches
from vdistill.records import Failure, Query, Question, ShownImage, Split
from vdistill.workspace import writing as writes

IMAGES, QUERIES = 8, 10  # how many a call shows and asks for
SHARE = 0.5  # of the caps, which writing may spend
FRUITLESS = 5  # calls without a new query after which a side is given up


@dataclass(frozen=True)
class Writing:
    """Who writes queries, about which images.

    images: by side; a call shows images of one side, and its queries are on that side, since they are much alike.
    sides: of the workspace, with what was judged before.  purse: at most `SHARE` of its caps goes into writing.
    """

    teacher: Teacher
    images: Mapping[Split, Sequence[ShownImage]]
    sides: Sides
    seed: int
    purse: Purse
    say: Callable[[str], None]


def stored(path: Path, sides: Sides) -> list[Query]:
    """The queries that were written before, the oldest first, on the side of their images."""
    rows = [line.row for line in read_rows(path, required="query")] if path.is_file() else []
    return [
        _query(str(row["query"]), number, said if (said := row.get("split")) in SIDES else None, sides)
        for number, row in enumerate(rows, start=1)
    ]


def generate(writing: Writing, count: int, path: Path) -> list[Query]:
    """`count` queries, or as many as the teacher has ideas for; those in the file `path` are used first.

    What a call brings is in the file before the next one is made. Raises VdistillError for a teacher that cannot
    write, and TeacherError where nothing it wrote can be used.
    """
    known, teacher, say = stored(path, writing.sides), writing.teacher, writing.say
    wanted, reason = shares(count, writing), ""
    fruitless: Counter[Split] = Counter()
    while (split := _next(wanted, known, fruitless)) is not None:
        if not isinstance(teacher, Writer):
            raise VdistillError(
                f"{teacher.name} cannot write queries", hint="use a vision-language model, or give --queries FILE"
            )
        shown = _drawn(writing, split, len(known), fruitless.total())
        estimate = teacher.price(Question("", tuple(shown))).usd or 0.0
        if not writing.purse.affords(1, estimate, SHARE):
            say(f"half of the caps is spent on writing: {len(known)} queries instead of {count}")
            reason = reason or "half of --budget or --max-cost is too little for a call"
            break
        said = teacher.write(shown, QUERIES)
        writing.purse.pay(said.tokens, said.cost_usd, None if isinstance(said, Failure) else estimate)
        reason = said.reason if isinstance(said, Failure) else reason
        lines = () if isinstance(said, Failure) else said.lines
        new = searches(lines, {plain(query.text) for query in known})
        _append(path, new, teacher.name, split)
        known += [_query(text, len(known) + number, split, writing.sides) for number, text in enumerate(new, start=1)]
        fruitless[split] = 0 if new else fruitless[split] + 1
    if not known:
        raise TeacherError(
            f"{teacher.name} wrote no query that can be used{f': {reason}' if reason else ''}",
            hint="use a stronger model, or give --queries FILE",
        )
    chosen = first(known, wanted)
    if len(chosen) < count and max(fruitless.values(), default=0) >= FRUITLESS:
        say(f"{teacher.name} had no more ideas: {len(chosen)} queries instead of {count}")
    return chosen


def shares(count: int, writing: Writing) -> dict[Split, int]:
    """How many of `count` queries go to each side that has images: the held-out share, and some to both."""
    train, held_out = ("train" in writing.images, "heldout" in writing.images and writing.sides.holdout > 0)
    if not (train and held_out):
        return {"heldout" if held_out else "train": count}
    held = min(max(round(count * writing.sides.holdout), 1), max(count - 1, 0))
    return {"train": count - held, "heldout": held}


def first(known: Sequence[Query], wanted: Mapping[Split, int]) -> list[Query]:
    """The oldest of each side, as many as are wanted."""
    seen: Counter[Split] = Counter()
    chosen = []
    for query in known:
        seen[query.split] += 1
        if seen[query.split] <= wanted.get(query.split, 0):
            chosen.append(query)
    return chosen


def _next(wanted: Mapping[Split, int], known: Sequence[Query], fruitless: Mapping[Split, int]) -> Split | None:
    """The side that has least of what it wants, and was not given up; None where there is none."""
    have = Counter(query.split for query in known)
    lacking = [side for side, count in wanted.items() if have[side] < count and fruitless.get(side, 0) < FRUITLESS]
    return min(lacking, key=lambda side: have[side] / wanted[side], default=None)


def _drawn(writing: Writing, split: Split, *names: int) -> list[ShownImage]:
    images = writing.images[split]
    rng = generator(writing.seed, "generate", split, *map(str, names))
    return [images[i] for i in rng.choice(len(images), min(IMAGES, len(images)), replace=False)]


def _append(path: Path, texts: Sequence[str], teacher: str, split: Split) -> None:
    facts = [{"query": text, "teacher": teacher, "split": split} for text in texts]
    rows = "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in facts)
    with writes(path), path.open("a", encoding="utf-8") as file:
        file.write(rows)
        file.flush()
        os.fsync(file.fileno())


def _query(text: str, number: int, said: Split | None, sides: Sides) -> Query:
    return Query(id=f"written-{number}", text=text, split=sides.of_query(text, said=said))
