"""Jobs of batch APIs, as `vdistill.db` keeps them: what was asked in which job, and what became of it.

A job is written down before anything is sent, and each of its steps before the next one, so that whatever a killed
process was doing is known afterwards:

    planned     nothing was sent but perhaps its file: no job can have been created
    creating    the request that creates it may have arrived
    submitted   the server has it, under `job_id`
    collected   its answers are stored
    lost        it never existed, or nothing will come of it
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from vdistill.database.migrations import Statement

State = Literal["planned", "creating", "submitted", "collected", "lost"]
OPEN = ("planned", "creating", "submitted")
ANSWERED, FAILED, UNPROCESSED = "answered", "failed", "unprocessed"  # what became of a question


@dataclass(frozen=True, slots=True)
class Job:
    """One job.

    name: ours, by which the server's listing is searched.  session: of the command that asked.  place: of the server,
    or the file.  calls, estimated: how many questions, and their expected cost in US dollars.  usd: what was paid.
    since: when its state began, in seconds of the epoch.
    """

    name: str
    session: str
    teacher: str
    place: str
    state: State
    file_id: str | None
    job_id: str | None
    calls: int
    estimated: float
    usd: float
    since: float


@dataclass(frozen=True)
class BatchJobs:
    """The jobs in an open database. rows, transaction: the database's own ways to read and to write."""

    connection: sqlite3.Connection
    rows: Callable[[str, Sequence[Any]], list[sqlite3.Row]]
    transaction: Callable[[], AbstractContextManager[None]]

    def plan(self, job: Job, questions: Mapping[str, Mapping[str, Any]] = MappingProxyType({})) -> None:
        """Write down a job and its questions, JSON-able documents by key."""
        values = (job.name, job.session, job.teacher, job.place, job.state, job.file_id, job.job_id, job.calls,
                  job.estimated, job.usd, job.since)  # fmt: skip
        with self.transaction():
            self.connection.execute(f"INSERT INTO batch_jobs VALUES ({', '.join('?' * len(values))})", values)
            self.connection.executemany(
                "INSERT INTO batch_questions VALUES (?, ?, ?, NULL)",
                [(job.name, key, json.dumps(question)) for key, question in questions.items()],
            )

    def step(self, name: str, state: State, *, file_id: str | None = None, job_id: str | None = None) -> None:
        """Write down that a job came to another state; ids that are not given stay as they are."""
        sql, values = self.stepped(name, state, file_id=file_id, job_id=job_id)
        with self.transaction():
            self.connection.executemany(sql, values)

    def stepped(self, name: str, state: State, *, file_id: str | None = None, job_id: str | None = None) -> Statement:
        """The same as a statement, to be committed together with others."""
        sql = """UPDATE batch_jobs
            SET state = ?, file_id = coalesce(?, file_id), job_id = coalesce(?, job_id), since = ? WHERE name = ?"""
        return sql, [(state, file_id, job_id, time.time(), name)]

    def paid(self, name: str, calls: int, usd: float) -> Statement:
        """How many questions of a job were answered, and what that cost, to be committed together with others."""
        sql = "UPDATE batch_jobs SET estimated = estimated * ? / max(calls, 1), calls = ?, usd = ? WHERE name = ?"
        return sql, [(calls, calls, usd, name)]

    def ended(self, name: str, outcomes: Mapping[str, str]) -> Statement:
        """What became of the questions of a job, by key, to be committed together with their answers."""
        sql = "UPDATE batch_questions SET outcome = ? WHERE job = ? AND key = ?"
        return sql, [(outcome, name, key) for key, outcome in outcomes.items()]

    def open(self, teacher: str) -> list[Job]:
        """The jobs of this teacher that are not over, oldest first."""
        sql = f"SELECT * FROM batch_jobs WHERE teacher = ? AND state IN {OPEN} ORDER BY rowid"
        return [Job(**dict(row)) for row in self.rows(sql, (teacher,))]

    def of_session(self, session: str) -> list[Job]:
        """All jobs that a command has asked for, now and before."""
        return [Job(**dict(row)) for row in self.rows("SELECT * FROM batch_jobs WHERE session = ?", (session,))]

    def questions(self, name: str) -> dict[str, dict[str, Any]]:
        """The questions of a job by key."""
        found = self.rows("SELECT key, question FROM batch_questions WHERE job = ?", (name,))
        return {key: json.loads(question) for key, question in found}

    def under_way(self, keys: Sequence[str]) -> set[str]:
        """Those of `keys` that are asked in a job that is not over."""
        sql = f"""SELECT DISTINCT key FROM batch_questions JOIN batch_jobs ON job = name
            WHERE state IN {OPEN} AND key IN"""
        return {key for key, *_ in self._by_key(sql, keys, "")}

    def failures(self, session: str, keys: Sequence[str]) -> dict[str, int]:
        """How often each of `keys` failed in the jobs of a session."""
        sql = f"""SELECT key, count(*) FROM batch_questions JOIN batch_jobs ON job = name
            WHERE outcome = '{FAILED}' AND session = ? AND key IN"""
        return dict(self._by_key(sql, keys, "GROUP BY key", session))  # type: ignore[arg-type]

    def _by_key(self, sql: str, keys: Sequence[str], end: str, *values: str) -> Iterable[Sequence[Any]]:
        for start in range(0, len(keys), 500):
            part = keys[start : start + 500]
            yield from (tuple(row) for row in self.rows(f"{sql} ({','.join('?' * len(part))}) {end}", (*values, *part)))
