"""Queries that nothing in the catalog answers, by the word of their file: known without a call."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from vdistill.errors import VdistillError
from vdistill.records import Query


def apart(asked: Sequence[Query], say: Callable[[str], None]) -> tuple[list[Query], tuple[Query, ...]]:
    """The queries that are asked, and those that nothing answers. Raises VdistillError where only these are left."""
    unanswered = tuple(query for query in asked if not query.answered)
    if unanswered:
        say(f"{len(unanswered):,} queries are not asked: nothing in the catalog answers them, says their file")
        if len(unanswered) == len(asked):
            raise VdistillError("no query is left to ask", hint="give queries that the catalog answers, too")
    return [query for query in asked if query.answered], unanswered
