"""`vdistill.db`: settings, queries, sides and judgments in one SQLite file. Judgments are appended, never changed."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from vdistill.database.batch_jobs import BatchJobs
from vdistill.database.lessons import Lessons
from vdistill.database.migrations import Statement, migrate
from vdistill.database.opening import connect_to_read, translated
from vdistill.database.paraphrases import Paraphrases
from vdistill.database.people import Answered, People, noted
from vdistill.database.rejections import Rejections
from vdistill.database.rows import answer_of, judgment_of, row_of
from vdistill.records import Answer, Judgment, Query, Question, Split
from vdistill.workspace import Workspace

_RECENT = 1000  # answers that the pace is estimated from
_SIDE = """INSERT INTO sides VALUES (?, ?, ?)
    ON CONFLICT (kind, key) DO UPDATE SET split = excluded.split WHERE kind = 'id'"""
_PAUSE = 120.0  # seconds; a longer gap between two answers is a pause, not work


class Database:
    """An open `vdistill.db`. Not shared between threads."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection = connection
        connection.row_factory = sqlite3.Row

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path, *, write: bool = True) -> Iterator[Database]:
        """Open (or create) the database and bring its schema up to date.

        Without `write` it may lie on a read-only disk.
        Raises VdistillError where the file is damaged, unwritable or made by a newer vdistill.
        """
        reading = None if write else connect_to_read(path)
        if reading is not None:
            with contextlib.closing(reading):
                yield cls(path, reading)
            return
        with translated(path):
            connection = sqlite3.connect(path, timeout=30, isolation_level=None)
        try:
            with translated(path):
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                migrate(path, connection)
            yield cls(path, connection)
        finally:
            connection.close()

    @classmethod
    @contextlib.contextmanager
    def existing(cls, workspace: Workspace | None) -> Iterator[Database | None]:
        """The database of a workspace to read from, or None where there is none yet."""
        if workspace is None or not workspace.database.is_file():
            yield None
            return
        with cls.open(workspace.database, write=False) as database:
            yield database

    def setting(self, name: str) -> Any | None:
        """The remembered value of a setting, or None."""
        rows = self._all("SELECT value FROM settings WHERE name = ?", (name,))
        return json.loads(rows[0][0]) if rows else None

    def settings(self, prefix: str) -> dict[str, Any]:
        """The settings whose names begin with `prefix`."""
        rows = self._all(
            "SELECT name, value FROM settings WHERE substr(name, 1, ?) = ? ORDER BY name", (len(prefix), prefix)
        )
        return {name: json.loads(value) for name, value in rows}

    def remember(self, name: str, value: Any) -> None:
        """Remember a JSON-able value under `name`."""
        self._run("INSERT OR REPLACE INTO settings VALUES (?, ?)", (name, json.dumps(value)))

    def add_queries(self, queries: Iterable[Query]) -> None:
        """Register queries. One that is known keeps the split it was first given: its judgments depend on it."""
        rows = [(query.text, query.id, query.persona, query.split) for query in queries]
        with self._transaction():
            self._connection.executemany(
                "INSERT INTO queries VALUES (?, ?, ?, ?) "
                "ON CONFLICT (text) DO UPDATE SET id = excluded.id, persona = excluded.persona",
                rows,
            )

    def queries(self, split: Split | None = None) -> list[Query]:
        """The registered queries, in the order they came."""
        sql = "SELECT id, text, split, persona FROM queries WHERE split = :split OR :split IS NULL ORDER BY rowid"
        return [Query(**row) for row in self._all(sql, {"split": split})]

    def add_item_sides(self, rows: Iterable[tuple[str, str, Split]]) -> None:
        """Register sides: (kind, key, split) each, as of `inputs.sides.ItemSides.rows`.

        A content or a group that is known keeps its side: judgments depend on it. An id has the side of what it names.
        """
        with self._transaction():
            self._connection.executemany(_SIDE, rows)

    def item_sides(self) -> dict[tuple[Any, str], Split]:
        """The registered sides by (kind, key)."""
        return {(kind, key): split for kind, key, split in self._all("SELECT kind, key, split FROM sides", ())}

    def forget_sides(self) -> None:
        """Forget the sides of queries and items. Only while nothing was judged by them."""
        with self._transaction():
            self._connection.execute("DELETE FROM queries")
            self._connection.execute("DELETE FROM sides")

    def add_judgments(
        self,
        rows: Sequence[tuple[str, str, Judgment]],
        failures: Sequence[tuple[str, str, Question, str]] = (),
        sides: Iterable[tuple[str, str, Split]] = (),
        also: Iterable[Statement] = (),
    ) -> None:
        """Commit answers: (key, prompt version, judgment) each. A key that is there already is left as it is.

        failures: calls that brought no answer, (key, teacher, question, reason) each.  sides: as for `add_item_sides`.
        also: of `batch_jobs` and `people`, committed with them.
        Raises VdistillError, and commits none of them, for a row that breaks the schema: nothing is lost silently.
        """
        now = time.time()
        failed = [(key, teacher, question.query, reason, now) for key, teacher, question, reason in failures]
        with self._transaction():
            self._connection.executemany(_SIDE, sides)
            self._connection.executemany("INSERT INTO failures VALUES (?, ?, ?, ?, ?)", failed)
            self._connection.executemany(
                f"INSERT INTO judgments VALUES ({', '.join('?' * 19)}) ON CONFLICT (key) DO NOTHING",
                [row_of(key, prompt, judgment, now) for key, prompt, judgment in rows],
            )
            for sql, values in also:
                self._connection.executemany(sql, values)

    def answers(self, keys: Sequence[str]) -> dict[str, Answer]:
        """The stored answers among `keys`, "none of these" included."""
        columns = "key, probabilities, ranking, tokens, cost_usd, coverage, thought_tokens, level, none, accepted"
        found = {row["key"]: answer_of(row) for row in self._by_key(columns, keys)}
        return found if len(found) == len(keys) else found | self.rejections.answers(keys)

    def answered(self, keys: Sequence[str]) -> set[str]:
        """Those of `keys` that have an answer; much faster than to read it."""
        found = {row["key"] for row in self._by_key("key", keys)}
        return found if len(found) == len(keys) else found | self.rejections.answers(keys).keys()

    def _by_key(self, columns: str, keys: Sequence[str]) -> Iterator[sqlite3.Row]:
        for start in range(0, len(keys), 500):
            part = keys[start : start + 500]
            marks = ",".join("?" * len(part))
            yield from self._all(f"SELECT {columns} FROM judgments WHERE key IN ({marks})", part)

    def judgments(self, split: Split | None = None, teacher: str | None = None) -> list[Judgment]:
        """The stored judgments, oldest first."""
        return [judgment for _, judgment in self.keyed_judgments(split, teacher)]

    def keyed_judgments(self, split: Split | None = None, teacher: str | None = None) -> list[tuple[str, Judgment]]:
        """The stored judgments with the keys of their questions, oldest first."""
        sql = """SELECT * FROM judgments
            WHERE (split = :split OR :split IS NULL) AND (teacher = :teacher OR :teacher IS NULL) ORDER BY rowid"""
        values = {"split": split, "teacher": teacher}
        with translated(self.path):  # row by row: the table may be too large to hold twice
            return [(row["key"], judgment_of(row)) for row in self._connection.execute(sql, values)]

    def judgments_on(self, queries: Iterable[str]) -> list[tuple[str, Judgment]]:
        """The stored judgments on some queries, with their keys, oldest first."""
        texts, found = list(dict.fromkeys(queries)), []
        for start in range(0, len(texts), 500):
            part = texts[start : start + 500]
            marks = ",".join("?" * len(part))
            sql = f"SELECT rowid, * FROM judgments WHERE split IN ('train', 'heldout') AND query IN ({marks})"
            found += [(row["rowid"], row["key"], judgment_of(row)) for row in self._all(sql, part)]
        return [(key, judgment) for _, key, judgment in sorted(found, key=lambda row: int(row[0]))]

    def call_unanswered(self, queries: Iterable[str], others: Iterable[str] = ()) -> None:
        """Remember queries that nothing in the catalog answers, by the word of the user; `others` are answered."""
        with self._transaction():
            rows = [(query,) for query in queries]
            self._connection.executemany("INSERT INTO unanswered VALUES (?) ON CONFLICT DO NOTHING", rows)
            self._connection.executemany("DELETE FROM unanswered WHERE query = ?", [(query,) for query in others])

    def unanswered(self) -> list[str]:
        """These queries."""
        return [row[0] for row in self._all("SELECT query FROM unanswered ORDER BY rowid", ())]

    def teachers(self) -> list[str]:
        """Everyone who gave a stored judgment, by name."""
        return [row[0] for row in self._all("SELECT DISTINCT teacher FROM judgments ORDER BY teacher", ())]

    def pace(self, teacher: str) -> float | None:
        """Seconds between recent answers of this teacher, without pauses; None before there are any."""
        rows = self._all(
            "SELECT asked_at FROM judgments WHERE teacher = ? ORDER BY rowid DESC LIMIT ?", (teacher, _RECENT)
        )
        gaps = [later[0] - earlier[0] for later, earlier in pairwise(rows)]
        working = [gap for gap in gaps if 0 <= gap < _PAUSE]
        return sum(working) / len(working) if working else None

    def used(self, teacher: str, prompt: str) -> list[tuple[int, int, float, float]]:
        """What recent answers took: (images shown, answers, mean tokens, mean tokens of thought) each.

        Answers whose tokens were not counted are left out.
        """
        sql = """SELECT json_array_length(items), count(*), avg(tokens), avg(thought_tokens) FROM (
            SELECT items, tokens, thought_tokens FROM judgments WHERE teacher = ? AND prompt = ? AND tokens > 0
            ORDER BY rowid DESC LIMIT ?) GROUP BY 1"""
        return [tuple(row) for row in self._all(sql, (teacher, prompt, _RECENT))]

    @property
    def lessons(self) -> Lessons:
        """The judgments that taught a student."""
        return Lessons(self._all)

    @property
    def paraphrases(self) -> Paraphrases:
        """The other wordings of queries."""
        return Paraphrases(self._connection, self._all, self._transaction)

    @property
    def rejections(self) -> Rejections:
        """The answers that are "none of these" and nothing else."""
        return Rejections(self._all)

    @property
    def batch_jobs(self) -> BatchJobs:
        """The jobs of batch APIs."""
        return BatchJobs(self._connection, self._all, self._transaction)

    def add_answer(self, answered: Answered, sides: Iterable[tuple[str, str, Split]] = ()) -> None:
        """Commit what a person answered. sides: as for `add_item_sides`."""
        said = answered.said
        rows = [(answered.key, answered.prompt, said)] if isinstance(said, Judgment) else []
        self.add_judgments(rows, (), sides, noted(answered))

    @property
    def people(self) -> People:
        """What people answered beside judgments."""
        return People(self._connection, self._all, self._transaction)

    def count_of(self, teacher: str) -> int:
        """How many judgments of a teacher are stored."""
        return int(self._all("SELECT count(*) FROM judgments WHERE teacher = ?", (teacher,))[0][0])

    def judgment_count(self) -> int:
        """How many judgments are stored."""
        return int(self._all("SELECT count(*) FROM judgments", ())[0][0])

    def _all(self, sql: str, values: Sequence[Any] | Mapping[str, Any]) -> list[sqlite3.Row]:
        with translated(self.path):
            return self._connection.execute(sql, values).fetchall()

    def _run(self, sql: str, values: Sequence[Any]) -> None:
        with translated(self.path):
            self._connection.execute(sql, values)

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with translated(self.path):
            self._roll_back()  # of one that an interrupt left open
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
