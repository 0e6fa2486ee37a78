"""What people answered, as `vdistill.db` keeps it beside the judgments: why they were asked, what they took back."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal

from vdistill.database.migrations import Statement
from vdistill.database.rejections import Rejections, stored
from vdistill.records import Answer, Judgment, Rejection

PREFIX = "human:"
_PAGE = "page:"  # prompts of the judge page, on which "none of these" is always one of the answers


# Why a question was asked. Of these only `drawn` questions, `planned` ones and repeats are a fair sample.
Reason = Literal["disputed", "drawn", "planned", "repeat"]


def may_reject(teacher: str, prompt: str) -> bool:
    """Whether this is a person who was asked on a page that takes "none of these"."""
    return teacher.startswith(PREFIX) and prompt.startswith(_PAGE)


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer of a person: the key and the prompt of its question, and what was said.

    seconds: from when all images were seen until the answer.
    """

    key: str
    prompt: str
    said: Judgment | Rejection
    reason: Reason
    seconds: float


def noted(answered: Answered) -> list[Statement]:
    """What writes all of an answer but its judgment; in the transaction that stores that."""
    key, said = answered.key, answered.said
    people = [(key, answered.reason, answered.seconds)]
    found: list[Statement] = [("INSERT INTO people VALUES (?, ?, ?) ON CONFLICT (key) DO NOTHING", people)]
    if isinstance(said, Rejection):
        found.append(stored([(key, answered.prompt, said, Answer())]))
    return found


@dataclass(frozen=True)
class People:
    """The answers of people in an open database. rows, transaction: the database's own ways to read and to write."""

    connection: sqlite3.Connection
    rows: Callable[[str, Sequence[Any]], list[sqlite3.Row]]
    transaction: Callable[[], AbstractContextManager[None]]

    def withdraw(self, key: str) -> None:
        """Take an answer of a person back: it no longer counts, and is kept among those that were withdrawn."""
        with self.transaction():
            for table in ("judgments", "rejections"):
                sql = f"SELECT * FROM {table} WHERE key = ? AND substr(teacher, 1, ?) = ?"
                for row in self.connection.execute(sql, (key, len(PREFIX), PREFIX)).fetchall():
                    content = json.dumps(dict(row))
                    self.connection.execute("INSERT INTO withdrawn VALUES (?, ?, ?)", (key, content, time.time()))
                    self.connection.execute(f"DELETE FROM {table} WHERE key = ?", (key,))
            self.connection.execute("DELETE FROM people WHERE key = ?", (key,))

    def rejections(self, teacher: str | None = None) -> list[tuple[str, Rejection]]:
        """What people called "none of these", with the keys of the questions, oldest first."""
        found = Rejections(self.rows).keyed(teacher=teacher)
        return [(key, one) for key, one in found if one.teacher.startswith(PREFIX)]

    def reasons(self) -> dict[str, Reason]:
        """Why people were asked, by the key of the question."""
        return {key: reason for key, reason in self.rows("SELECT key, reason FROM people", ())}
