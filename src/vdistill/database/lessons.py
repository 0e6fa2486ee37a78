"""The judgments that a student may have been taught by, read a few queries at a time: there may be very many."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vdistill.database.rows import judgment_of
from vdistill.records import Judgment

_PART = 500  # queries in one statement


@dataclass(frozen=True, slots=True)
class Lesson:
    """A judgment of the training side.  number: grows with each stored judgment.  asked_at: UNIX time in seconds."""

    number: int
    judgment: Judgment
    asked_at: float


@dataclass(frozen=True)
class Lessons:
    """The training judgments in an open database. rows: the database's own way to read."""

    rows: Callable[[str, Sequence[Any]], list[sqlite3.Row]]

    def counts(self) -> dict[str, int]:
        """How many judgments each training query has; those without any are absent."""
        sql = "SELECT query, count(*) FROM judgments WHERE split = 'train' GROUP BY query ORDER BY query"
        return {query: count for query, count in self.rows(sql, ())}

    def any_until(self, until: float) -> bool:
        """Whether any was stored up to this UNIX time."""
        return bool(self.rows("SELECT 1 FROM judgments WHERE split = 'train' AND asked_at <= ? LIMIT 1", (until,)))

    def on(self, queries: Sequence[str], until: float) -> list[Lesson]:
        """The judgments on some queries that were stored up to this UNIX time, oldest first."""
        found: list[Lesson] = []
        for start in range(0, len(queries), _PART):
            part = queries[start : start + _PART]
            sql = f"""SELECT rowid, * FROM judgments
                WHERE split = 'train' AND query IN ({", ".join("?" * len(part))}) AND asked_at <= ?"""
            found += [Lesson(row["rowid"], judgment_of(row), row["asked_at"]) for row in self.rows(sql, [*part, until])]
        return sorted(found, key=lambda lesson: lesson.number)
