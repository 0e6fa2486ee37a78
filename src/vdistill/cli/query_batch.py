"""`vdistill query --batch`: one query per line in, JSON Lines out, as they come."""

import time
from typing import TYPE_CHECKING

from vdistill.cli import console

if TYPE_CHECKING:
    from vdistill.cli.session import Session
    from vdistill.query.search import Searcher, SearchOptions


def answer(searcher: "Searcher", source: str, k: int, options: "SearchOptions", session: "Session") -> None:
    """Print one document per query of `source`, the same as the query alone would get."""
    from vdistill.inputs.queries import texts  # only here, so that the other commands start without it

    long = 0
    for text in texts(source):
        started = time.perf_counter()
        hits = searcher.hits(searcher.encode([text])[0], k, options, text)
        took = round((time.perf_counter() - started) * 1000, 2)
        console.document(console.hits_document(searcher.model, text, hits, took), line=True)
        long += bool(searcher.truncated([text]))
    if long:
        session.say(f"{long} queries are longer than the model reads; their ends were left out")
