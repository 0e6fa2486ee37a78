"""`vdistill query --batch`: lines in, JSON Lines out, as they come."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from vdistill.cli import console
from vdistill.errors import VdistillError

if TYPE_CHECKING:
    from vdistill.cli.session import Session
    from vdistill.query.search import Searcher, Wish


def answer(searcher: "Searcher", source: str, k: int, wish: "Wish", session: "Session") -> None:
    """One document a line of `source`, each the same as the query alone would get."""
    long = 0
    for text in _lines(source):
        started = time.perf_counter()
        hits = searcher.hits(searcher.encode([text])[0], k, wish, text)
        took = round((time.perf_counter() - started) * 1000, 2)
        console.document(console.hits_document(searcher.model, text, hits, took), line=True)
        long += bool(searcher.truncated([text]))
    if long:
        session.say(f"{long} queries are longer than the model reads; their ends were left out")


def _lines(source: str) -> Iterator[str]:
    """The queries of a file; empty lines are passed over."""
    try:
        file = sys.stdin if source == "-" else Path(source).open(encoding="utf-8-sig")  # noqa: SIM115
    except OSError as error:
        raise VdistillError(
            f"cannot read {source}: {error.strerror}", hint="give a file with one query a line"
        ) from error
    with file:
        try:
            for line in file:
                if line.strip():
                    yield line.strip()
        except UnicodeDecodeError as error:
            raise VdistillError(f"{source} is not UTF-8: {error}", hint="save it as UTF-8") from error
