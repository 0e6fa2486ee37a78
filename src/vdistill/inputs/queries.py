"""Queries: from a file, or the built-in personas, each on its side of the held-out split."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from vdistill.errors import VdistillError
from vdistill.inputs import query_log, urls
from vdistill.inputs.lines import read_lines, well_formed
from vdistill.inputs.query_log import IDS, Log, Logged
from vdistill.inputs.sides import Sides, plain
from vdistill.inputs.tables import TABLES, read_rows
from vdistill.records import Query, Split

_SPLITS: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("heldout", "held-out", "test", "validation"), "heldout"),
}

_ANSWERED = {
    **dict.fromkeys(("", "true", "1", "yes", "1.0"), True),
    **dict.fromkeys(("false", "0", "no", "0.0"), False),
}

# How the description of a person ("a 34-year-old nurse who …") becomes a query; the persona's hash picks one.
TEMPLATES = (
    "a gift for {}",
    "something for {}",
    "something that would please {}",
    "what would suit {}?",
    "a present that {} would love",
    "a birthday present for {}",
)
_NAMED = re.compile(r"([A-Z][\w.'-]*(?: [A-Z][\w.'-]*)*) is (?=an? )")  # "Mary Jones is a nurse who …"


def load(source: str | Path | None, sides: Sides | float) -> list[Query]:
    """The queries of a file, or the built-in ones; repeated texts count once.

    source: a path or a URL that fsspec knows (`hf://datasets/…`), of a `.txt`, `.jsonl`, `.csv` or `.parquet` file.
    Each line of a text file is a query, whatever it begins with.
    sides: of the workspace; a number is the share to hold out where there is none.
    A column `paraphrases` has other wordings of a training query; `answered` is false where nothing in the catalog
    answers a query, which then is asked of no teacher.
    A row without `query` but with `persona` becomes a query by template. A query that the workspace knows keeps its
    side. Otherwise a `split` column decides, and without one the hash of the persona or, where there is none, of the
    text; so no persona is on both sides. Raises VdistillError for a file that is missing, empty or broken.
    """
    known = sides if isinstance(sides, Sides) else Sides(sides)
    if source is None:
        built_in = resources.files("vdistill.inputs").joinpath("personas.txt").read_text(encoding="utf-8")
        lines = enumerate(built_in.split("\n"), start=1)
        return _from_lines(((n, line) for n, line in lines if line and line[0] != "#"), known)
    return asked(str(source), known).queries


@dataclass(frozen=True)
class Asked:
    """The queries of a file; those of a search log are the most frequent first.  log: None for a list of queries."""

    queries: list[Query]
    log: Log | None = None


def asked(source: str, sides: Sides) -> Asked:
    """The queries of a file, which may be a search log. Raises VdistillError as `load` does."""
    with urls.local(source) as path:
        log = query_log.read(path)
        if log is None:
            return Asked(_read(path, source, sides))
        found = [_logged(path, query, sides) for query in log.queries]
        return Asked(agreed(unique(found)), log)


def _logged(path: Path, query: Logged, sides: Sides) -> Query:
    side = _side(path, query.line, query.split)
    return Query(str(query.line), query.text, sides.of_query(query.text, said=side), said=side)


def unique(queries: Iterable[Query]) -> list[Query]:
    """The first query of each text."""
    first: dict[str, Query] = {}
    for query in queries:
        first.setdefault(query.text, query)
    return list(first.values())


def agreed(queries: Iterable[Query]) -> list[Query]:
    """The same, but with queries that differ only in letter case, spaces and the like on the side of the first."""
    first: dict[str, Split] = {}
    sides = ((query, first.setdefault(plain(query.text), query.split)) for query in queries)
    return [query if query.split == side else replace(query, split=side) for query, side in sides]


def _read(path: Path, source: str, sides: Sides) -> list[Query]:
    if path.suffix.lower() == ".txt":
        queries = _from_lines(read_lines(path, "query"), sides)
    else:
        queries = [_from_row(path, line.number, line.row, sides) for line in read_rows(path)]
    if not queries:
        raise VdistillError(f"no queries in {source}", hint="write one query per line")
    return agreed(unique(queries))


def texts(source: str) -> Iterator[str]:
    """The texts of a file of queries, read as `load` does, or of standard input for "-"; repeated ones too.

    Raises VdistillError as `load` does.
    """
    path, sides = Path(source), Sides(0.0)
    if path.suffix.lower() in TABLES:
        return (_from_row(path, line.number, line.row, sides).text for line in read_rows(path))
    return (line for _, line in read_lines(source, "query"))


def _from_lines(lines: Iterable[tuple[int, str]], sides: Sides) -> list[Query]:
    return [Query(id=str(number), text=line, split=sides.of_query(line)) for number, line in lines]


def _from_row(path: Path, number: int, row: dict[str, Any], sides: Sides) -> Query:
    said, persona = (str(row.get(name) or "").strip() for name in ("query", "persona"))
    if not said and not persona:
        columns = ", ".join(map(str, row))
        raise VdistillError(
            f"{path}, line {number}: no 'query'", hint=f"each row needs a query or a persona; this one has: {columns}"
        )
    text = said or from_persona(persona)
    given = str(row.get("split") or "").strip().lower()
    side = _side(path, number, given)
    split = sides.of_query(text, persona or None, side)
    others = _paraphrases(path, number, row.get("paraphrases"))
    answered = _answered(path, number, row.get("answered"))
    return Query(_id(row) or str(number), text, split, persona or None, side, others, answered)


def _answered(path: Path, number: int, given: Any) -> bool:
    """What a row says about whether anything answers it; it does where nothing is said."""
    said = _ANSWERED.get(str("" if given is None else given).strip().lower())
    if said is None:
        raise VdistillError(f"{path}, line {number}: answered is {given!r}", hint="write true or false")
    return said


def _side(path: Path, number: int, given: str) -> Split | None:
    """The side that a row names, in lower case."""
    if given and given not in _SPLITS:
        raise VdistillError(f"{path}, line {number}: unknown split {given!r}", hint=f"use one of: {', '.join(_SPLITS)}")
    return _SPLITS.get(given)


def _paraphrases(path: Path, number: int, found: Any) -> tuple[str, ...]:
    """The other wordings in a row: a list of texts, or one text with "|" between them."""
    texts = found.split("|") if isinstance(found, str) else [] if found is None else found
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise VdistillError(
            f"{path}, line {number}: paraphrases are not texts: {found!r}",
            hint='give a list, ["…", "…"], or in a CSV file one text with | between the wordings',
        )
    return tuple(dict.fromkeys(well_formed(text.strip()) for text in texts if text.strip()))


def _id(row: dict[str, Any]) -> str:
    """The row's own id: any value, 0 too. 2.0, as tables with gaps have it, is 2."""
    found = next((row[name] for name in IDS if row.get(name) not in (None, "")), "")
    return str(int(found) if isinstance(found, float) and found.is_integer() else found).strip()


def from_persona(persona: str) -> str:
    """A query for what this person would like. Of several sentences only the first is used, which says who it is."""
    template = TEMPLATES[int(hashlib.sha256(persona.encode()).hexdigest()[:8], 16) % len(TEMPLATES)]
    who = persona.split(". ")[0].strip().rstrip(".")
    words = who.split(" ", 1)
    if named := _NAMED.match(who):
        return template.format(f"{named[1]}, {who[named.end(1) + len(' is ') :]}")
    if words[0] in ("A", "An", "The", "My", "Someone", "Somebody"):
        who = who[0].lower() + who[1:]
    return template.format(who)
