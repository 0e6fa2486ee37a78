"""Answers that are "none of these" and nothing else, of teachers and of people, as `vdistill.db` keeps them.

They prefer none of what was shown, so they are no judgments: whoever reads judgments need not know of them. Their keys
are those of questions all the same, so that none is asked twice.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from vdistill.database.migrations import Statement
from vdistill.records import Answer, Rejection, Split

_INSERT = """INSERT INTO rejections (key, teacher, prompt, query, split, pool, items, sha256, asked_at, tokens,
    cost_usd, coverage, thought_tokens) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING"""


def stored(rows: Iterable[tuple[str, str, Rejection, Answer]]) -> Statement:
    """What writes rejections: (key, prompt version, rejection, what it cost) each."""
    return _INSERT, [
        (key, said.teacher, prompt, said.query, said.split, said.pool, json.dumps(said.items), json.dumps(said.sha256),
         time.time(), cost.tokens, cost.cost_usd, cost.coverage, cost.thought_tokens)
        for key, prompt, said, cost in rows
    ]  # fmt: skip


@dataclass(frozen=True)
class Rejections:
    """The rejections in an open database. rows: the database's own way to read."""

    rows: Callable[[str, Sequence[Any]], list[sqlite3.Row]]

    def keyed(self, split: Split | None = None, teacher: str | None = None) -> list[tuple[str, Rejection]]:
        """Those of a side and of a teacher, with the keys of the questions, oldest first."""
        sql = """SELECT * FROM rejections WHERE (split = ? OR ? IS NULL) AND (teacher = ? OR ? IS NULL)
            ORDER BY rowid"""
        return [(row["key"], _rejection(row)) for row in self.rows(sql, (split, split, teacher, teacher))]

    def least(self, split: Split) -> dict[str, float]:
        """Of each judged query the least probability of "none of these" in an answer; 0 where it was no option."""
        sql = """SELECT query, min(coalesce(CASE WHEN accepted > 0 THEN 0.0 WHEN accepted = 0 THEN 1.0 ELSE none END,
                                           2.0)) FROM judgments WHERE split = ? GROUP BY query"""
        judged = {query: 0.0 if least > 1 else float(least) for query, least in self.rows(sql, (split,))}
        sql = "SELECT DISTINCT query FROM rejections WHERE split = ?"
        for (query,) in self.rows(sql, (split,)):
            judged.setdefault(query, 1.0)
        return judged

    def any(self) -> bool:
        """Whether any answer could be "none of these"."""
        sql = """SELECT EXISTS (SELECT 1 FROM judgments
                WHERE none IS NOT NULL OR accepted IS NOT NULL OR level IS NOT NULL)
            OR EXISTS (SELECT 1 FROM rejections)"""
        return bool(self.rows(sql, ())[0][0])

    def state(self) -> list[int]:
        """Numbers that change when a judgment, a rejection or the user's word about a query comes or goes."""
        tables = ("judgments", "rejections", "unanswered")
        return [int(n) for t in tables for n in self.rows(f"SELECT count(*), coalesce(max(rowid), 0) FROM {t}", ())[0]]

    def answers(self, keys: Sequence[str]) -> dict[str, Answer]:
        """Those among `keys`, as answers."""
        found = {}
        for start in range(0, len(keys), 500):
            part = keys[start : start + 500]
            sql = f"SELECT * FROM rejections WHERE key IN ({','.join('?' * len(part))})"
            for row in self.rows(sql, part):
                found[row["key"]] = Answer(
                    tokens=row["tokens"], cost_usd=row["cost_usd"], coverage=row["coverage"],
                    thought_tokens=row["thought_tokens"], none=1.0,
                )  # fmt: skip
        return found


def _rejection(row: sqlite3.Row) -> Rejection:
    return Rejection(
        query=row["query"],
        items=tuple(json.loads(row["items"])),
        sha256=tuple(json.loads(row["sha256"])),
        teacher=row["teacher"],
        split=row["split"],
        pool=row["pool"],
        prompt=row["prompt"],
    )
