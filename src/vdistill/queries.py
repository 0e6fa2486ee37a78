"""Queries: from a file, or the built-in personas, each on its side of the held-out split."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import Any

from vdistill import remote
from vdistill.errors import VdistillError
from vdistill.records import Query, Split
from vdistill.splits import split_of
from vdistill.tables import read_rows

_SPLITS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "heldout": "heldout",
    "held-out": "heldout",
    "test": "heldout",
    "validation": "heldout",
}

# How a description of somebody ("a 34-year-old nurse who …") becomes a search; the persona's hash picks one.
TEMPLATES = (
    "a gift for {}",
    "something for {}",
    "something that would please {}",
    "what would suit {}?",
    "a present that {} would love",
    "a birthday present for {}",
)
_NAMED = re.compile(r"([A-Z][\w.'-]*(?: [A-Z][\w.'-]*)*) is (?=an? )")  # "Mary Jones is a nurse who …"


def load(source: str | Path | None, holdout: float) -> list[Query]:
    """The queries of a file, or the built-in ones; repeated texts count once.

    source: a path or a URL that fsspec knows (`hf://datasets/…`), of a `.txt`, `.jsonl`, `.csv` or `.parquet` file.
    A row without `query` but with `persona` gives a query by template. A `split` column decides the split of its row;
    without one the hash of the text does, and that of the persona where there is one, so that no persona is on both
    sides. Raises VdistillError for a file that is missing, empty or broken.
    """
    if source is None:
        return _from_text(resources.files("vdistill").joinpath("personas.txt").read_text(encoding="utf-8"), holdout)
    with remote.local(str(source)) as path:
        return _read(path, str(source), holdout)


def unique(queries: Iterable[Query]) -> list[Query]:
    """The first query of each text."""
    first: dict[str, Query] = {}
    for query in queries:
        first.setdefault(query.text, query)
    return list(first.values())


def _read(path: Path, source: str, holdout: float) -> list[Query]:
    if path.suffix.lower() == ".txt":
        try:
            queries = _from_text(path.read_text(encoding="utf-8-sig"), holdout)
        except (OSError, UnicodeDecodeError) as error:
            raise VdistillError(
                f"cannot read {path}: {error}", hint="give a UTF-8 text file, one query a line"
            ) from error
    else:
        queries = [_from_row(path, line.number, line.row, holdout) for line in read_rows(path)]
    if not queries:
        raise VdistillError(f"no queries in {source}", hint="write one query a line")
    return unique(queries)


def _from_text(text: str, holdout: float) -> list[Query]:
    lines = [line.strip() for line in text.splitlines()]
    return [
        Query(id=str(number), text=line, split=split_of("query", line, holdout))
        for number, line in enumerate(lines, start=1)
        if line and not line.startswith("#")
    ]


def _from_row(path: Path, number: int, row: dict[str, Any], holdout: float) -> Query:
    said, persona = (str(row.get(name) or "").strip() for name in ("query", "persona"))
    if not said and not persona:
        columns = ", ".join(map(str, row))
        raise VdistillError(
            f"{path}, line {number}: no 'query'", hint=f"each row needs a query or a persona; this one has: {columns}"
        )
    text = said or from_persona(persona)
    given = str(row.get("split") or "").strip().lower()
    if given and given not in _SPLITS:
        raise VdistillError(f"{path}, line {number}: unknown split {given!r}", hint=f"use one of: {', '.join(_SPLITS)}")
    return Query(
        id=str(row.get("id") or row.get("qid") or row.get("query_id") or number),
        text=text,
        split=_SPLITS[given] if given else split_of("query", persona or text, holdout),
        persona=persona or None,
    )


def from_persona(persona: str) -> str:
    """A search for what this person would like. Of several sentences the first is taken, which says who it is."""
    template = TEMPLATES[int(hashlib.sha256(persona.encode()).hexdigest()[:8], 16) % len(TEMPLATES)]
    who = persona.split(". ")[0].strip().rstrip(".")
    words = who.split(" ", 1)
    if named := _NAMED.match(who):
        return template.format(f"{named[1]}, {who[named.end(1) + len(' is ') :]}")
    if words[0] in ("A", "An", "The", "My", "Someone", "Somebody"):
        who = who[0].lower() + who[1:]
    return template.format(who)
