"""Other wordings of training queries, as `vdistill.db` keeps them: they share the query's judgments."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from vdistill.records import Rewording

USER = ""  # who wrote what the user's file holds


@dataclass(frozen=True)
class Paraphrases:
    """The paraphrases in an open database. rows, transaction: the database's own ways to read and to write."""

    connection: sqlite3.Connection
    rows: Callable[[str, Sequence[Any]], list[sqlite3.Row]]
    transaction: Callable[[], AbstractContextManager[None]]

    def by_query(self) -> dict[str, list[str]]:
        """The other wordings of each query that has some, in the order they came."""
        found: dict[str, list[str]] = {}
        for query, text in self.rows("SELECT query, text FROM paraphrases ORDER BY rowid", ()):
            found.setdefault(query, []).append(text)
        return found

    def given(self) -> dict[str, list[str]]:
        """Those of them that the user gave."""
        found: dict[str, list[str]] = {}
        for query, text in self.rows("SELECT query, text FROM paraphrases WHERE teacher = ? ORDER BY rowid", (USER,)):
            found.setdefault(query, []).append(text)
        return found

    def asked_for(self) -> dict[str, int]:
        """How many paraphrases of each query were asked for, or given by the user."""
        sql = """SELECT query, sum(count) FROM (
            SELECT query, asked_for AS count FROM rewordings
            UNION ALL SELECT query, 1 FROM paraphrases WHERE teacher = '') GROUP BY query"""
        return {query: count for query, count in self.rows(sql, ())}

    def give(self, given: Mapping[str, Sequence[str]]) -> None:
        """Commit the user's own paraphrases of these queries, instead of those that the user gave before."""
        with self.transaction():
            for query, texts in given.items():
                self.connection.execute("DELETE FROM paraphrases WHERE query = ? AND teacher = ?", (query, USER))
                self._add(query, texts, USER)

    def add(self, query: str, texts: Sequence[str], call: Rewording) -> None:
        """Commit what a call brought, and that it was made: it is not made again, however little it brought."""
        with self.transaction():
            self.connection.execute(
                "INSERT INTO rewordings VALUES (?, ?, ?, ?, ?, ?, ?)",
                (query, call.teacher, call.prompt, call.asked_for, call.tokens, call.cost_usd, time.time()),
            )
            self._add(query, texts, call.teacher)

    def _add(self, query: str, texts: Sequence[str], teacher: str) -> None:
        self.connection.executemany(
            "INSERT INTO paraphrases VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            [(query, text, teacher) for text in texts],
        )
