"""The schema of `vdistill.db`, as the steps that lead from each version to the next."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from vdistill.errors import VdistillError

Statement: TypeAlias = tuple[str, Sequence[Sequence[Any]]]  # SQL, and the values of each row

# One script a version; a database is brought up to the last one when it is opened. Never edit one that was released.
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
        """
        CREATE TABLE queries (
            text TEXT PRIMARY KEY, id TEXT NOT NULL, persona TEXT,
            split TEXT NOT NULL CHECK (split IN ('train', 'heldout'))
        ) STRICT
        """,
        """
        CREATE TABLE judgments (
            key TEXT PRIMARY KEY,          -- hash of (teacher, prompt, query, ordered image hashes, ask, sampling)
            teacher TEXT NOT NULL, prompt TEXT NOT NULL, query TEXT NOT NULL,
            split TEXT NOT NULL CHECK (split IN ('train', 'heldout')),
            pool INTEGER,
            ask TEXT NOT NULL CHECK (ask IN ('best', 'rank')),
            items TEXT NOT NULL,           -- JSON: item ids in the order shown
            sha256 TEXT NOT NULL,          -- JSON: their content hashes
            probabilities TEXT,            -- JSON, by slot, for ask = 'best'
            ranking TEXT,                  -- JSON, slots, best first, for ask = 'rank'
            tokens INTEGER NOT NULL, cost_usd REAL NOT NULL, asked_at REAL NOT NULL,
            CHECK ((probabilities IS NULL) <> (ranking IS NULL))
        ) STRICT
        """,
        "CREATE INDEX judgments_by_split ON judgments (split, query)",
        """
        CREATE TABLE failures (
            key TEXT NOT NULL, teacher TEXT NOT NULL, query TEXT NOT NULL, reason TEXT NOT NULL, asked_at REAL NOT NULL
        ) STRICT
        """,
    ),
    (
        """
        CREATE TABLE sides (               -- of what was judged, or was about to be
            kind TEXT NOT NULL CHECK (kind IN ('content', 'group', 'id')), key TEXT NOT NULL,
            split TEXT NOT NULL CHECK (split IN ('train', 'heldout')),
            PRIMARY KEY (kind, key)
        ) STRICT, WITHOUT ROWID
        """,
        # Content that was judged on both sides (copies) is held out from now on, never used for training.
        """
        INSERT INTO sides SELECT 'content', value, min(split) FROM judgments, json_each(judgments.sha256)
            WHERE value <> '' GROUP BY value
        """,
        "INSERT INTO sides SELECT 'id', value, min(split) FROM judgments, json_each(judgments.items) GROUP BY value",
        "INSERT INTO settings SELECT 'split_version', '1' WHERE EXISTS (SELECT 1 FROM judgments)",
    ),
    (
        """
        CREATE TABLE paraphrases (         -- other wordings of training queries; they share the query's judgments
            query TEXT NOT NULL, text TEXT NOT NULL,
            teacher TEXT NOT NULL,         -- who wrote it, '' for the user
            PRIMARY KEY (query, text)
        ) STRICT
        """,
        """
        CREATE TABLE rewordings (          -- calls that asked for paraphrases, whatever they brought
            query TEXT NOT NULL, teacher TEXT NOT NULL, prompt TEXT NOT NULL, asked_for INTEGER NOT NULL,
            tokens INTEGER NOT NULL, cost_usd REAL NOT NULL, asked_at REAL NOT NULL
        ) STRICT
        """,
        "CREATE INDEX rewordings_by_query ON rewordings (query)",
    ),
    (
        "ALTER TABLE judgments ADD COLUMN coverage REAL",  # of the option letters' probability; NULL where unknown
        "ALTER TABLE judgments ADD COLUMN thought_tokens INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE judgments ADD COLUMN level REAL",  # of scores of single images; NULL for comparisons
        """
        CREATE TABLE batch_jobs (
            name TEXT PRIMARY KEY, session TEXT NOT NULL, teacher TEXT NOT NULL, place TEXT NOT NULL,
            state TEXT NOT NULL CHECK (state IN ('planned', 'creating', 'submitted', 'collected', 'lost')),
            file_id TEXT, job_id TEXT,     -- the server's
            calls INTEGER NOT NULL, estimated REAL NOT NULL, usd REAL NOT NULL, since REAL NOT NULL
        ) STRICT
        """,
        """
        CREATE TABLE batch_questions (
            job TEXT NOT NULL, key TEXT NOT NULL, question TEXT NOT NULL,  -- JSON
            outcome TEXT,                  -- 'answered', 'failed' or 'unprocessed'; NULL while the job is open
            PRIMARY KEY (job, key)
        ) STRICT, WITHOUT ROWID
        """,
        "CREATE INDEX batch_questions_by_key ON batch_questions (key)",
    ),
    (
        """
        CREATE TABLE people (              -- of the answers of people on the judge page, judgments and rejections
            key TEXT PRIMARY KEY,
            reason TEXT NOT NULL CHECK (reason IN ('disputed', 'drawn', 'planned', 'repeat')),  -- why it was asked
            seconds REAL NOT NULL
        ) STRICT
        """,
        """
        CREATE TABLE rejections (          -- "none of these": kept, but no preference among what was shown
            key TEXT PRIMARY KEY, teacher TEXT NOT NULL, prompt TEXT NOT NULL, query TEXT NOT NULL,
            split TEXT NOT NULL CHECK (split IN ('train', 'heldout')), pool INTEGER,
            items TEXT NOT NULL, sha256 TEXT NOT NULL, asked_at REAL NOT NULL
        ) STRICT
        """,
        # The row of a judgment or a rejection, as JSON, that a person took back.
        "CREATE TABLE withdrawn (key TEXT NOT NULL, answer TEXT NOT NULL, withdrawn_at REAL NOT NULL) STRICT",
    ),
    (
        "ALTER TABLE judgments ADD COLUMN none REAL",  # the probability of "none of these"; NULL where it was no option
        "ALTER TABLE judgments ADD COLUMN accepted INTEGER",  # of a ranking: images before it; NULL where it was none
        "ALTER TABLE rejections ADD COLUMN tokens INTEGER NOT NULL DEFAULT 0",  # those of teachers are paid for
        "ALTER TABLE rejections ADD COLUMN cost_usd REAL NOT NULL DEFAULT 0",
        "ALTER TABLE rejections ADD COLUMN coverage REAL",
        "ALTER TABLE rejections ADD COLUMN thought_tokens INTEGER NOT NULL DEFAULT 0",
        "CREATE TABLE unanswered (query TEXT PRIMARY KEY) STRICT",  # queries that, says the user, nothing answers
    ),
)


def is_current(connection: sqlite3.Connection) -> bool:
    """Whether an open database has the latest schema."""
    return _version(connection) == len(MIGRATIONS)


def migrate(path: Path, connection: sqlite3.Connection) -> None:
    """Bring the schema up to date, in one transaction. Raises VdistillError for a file of a newer vdistill."""
    if is_current(connection):
        return
    connection.execute("BEGIN EXCLUSIVE")  # of two processes that open an old database, one migrates and one waits
    try:
        version = _version(connection)
        if version > len(MIGRATIONS):
            raise VdistillError(
                f"{path} has schema version {version}, this vdistill knows versions up to {len(MIGRATIONS)}",
                hint="upgrade vdistill: pip install --upgrade vdistill",
            )
        if 0 < version < len(MIGRATIONS):
            _keep_copy(path, version)
        for statements in MIGRATIONS[version:]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _keep_copy(path: Path, version: int) -> None:
    """Judgments were paid for: they are copied before an upgrade touches them."""
    copy_path = path.with_name(f"{path.name}.v{version}.bak")
    with contextlib.closing(sqlite3.connect(path)) as source, contextlib.closing(sqlite3.connect(copy_path)) as copy:
        source.backup(copy)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
