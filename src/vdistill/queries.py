"""Queries: from a file, or the built-in personas, each on its side of the held-out split."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

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


def load(path: Path | None, holdout: float) -> list[Query]:
    """The queries of a file (`.txt`, `.jsonl`, `.csv`, `.parquet`), or the built-in ones; repeated texts count once.

    A `split` column decides the split of its row; without one the hash of the text does.
    Raises VdistillError for a file that is missing, empty or broken.
    """
    if path is None:
        return _from_text(resources.files("vdistill").joinpath("personas.txt").read_text(encoding="utf-8"), holdout)
    if path.suffix.lower() == ".txt":
        try:
            queries = _from_text(path.read_text(encoding="utf-8-sig"), holdout)
        except (OSError, UnicodeDecodeError) as error:
            raise VdistillError(
                f"cannot read {path}: {error}", hint="give a UTF-8 text file, one query a line"
            ) from error
    else:
        queries = [_from_row(path, line.number, line.row, holdout) for line in read_rows(path, required="query")]
    if not queries:
        raise VdistillError(f"no queries in {path}", hint="write one query a line")
    first: dict[str, Query] = {}
    for query in queries:
        first.setdefault(query.text, query)
    return list(first.values())


def _from_text(text: str, holdout: float) -> list[Query]:
    lines = [line.strip() for line in text.splitlines()]
    return [
        Query(id=str(number), text=line, split=split_of("query", line, holdout))
        for number, line in enumerate(lines, start=1)
        if line and not line.startswith("#")
    ]


def _from_row(path: Path, number: int, row: dict[str, Any], holdout: float) -> Query:
    text = str(row["query"]).strip()
    given = str(row.get("split") or "").strip().lower()
    if given and given not in _SPLITS:
        raise VdistillError(f"{path}, line {number}: unknown split {given!r}", hint=f"use one of: {', '.join(_SPLITS)}")
    persona = row.get("persona")
    return Query(
        id=str(row.get("id") or row.get("qid") or row.get("query_id") or number),
        text=text,
        split=_SPLITS[given] if given else split_of("query", text, holdout),
        persona=None if persona is None else str(persona),
    )
