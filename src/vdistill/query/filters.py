"""`--where`: an SQLite expression over the items' metadata; it can read nothing else and write nothing."""

from __future__ import annotations

import difflib
import re
import sqlite3
import time

import numpy as np

from vdistill.errors import VdistillError

SECONDS = 20.0  # an expression that takes longer is broken off
_ALLOWED = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE})
_FORBIDDEN_FUNCTIONS = frozenset({"load_extension", "readfile", "writefile", "edit", "zeroblob", "randomblob"})


def matching_keys(connection: sqlite3.Connection, expression: str) -> np.ndarray:
    """Keys, ascending, of the items for which `expression` is true; a column that an item lacks is NULL there.

    `connection` is to the items of an index, opened read-only. Every key of the metadata is a column, and so is `id`.
    Raises VdistillError for a syntax error, an unknown column (with close matches) and anything but reading.
    """
    columns = _columns(connection)
    sources = ", ".join(f"json_extract(metadata, '$.\"{_escaped(name)}\"') AS {_quoted(name)}" for name in columns)
    table = f"SELECT key AS _key, id{', ' if sources else ''}{sources} FROM items"
    # The line break ends a comment in the expression; the parentheses keep it one expression.
    query = f"SELECT _key FROM ({table}) AS item WHERE (\n{expression}\n) ORDER BY _key"
    give_up = time.monotonic() + SECONDS
    connection.set_authorizer(_authorize)
    connection.set_progress_handler(lambda: time.monotonic() > give_up, 100_000)
    try:
        return np.array([row[0] for row in connection.execute(query)], np.uint64)
    except sqlite3.Error as error:
        raise _explained(error, expression, ["id", *columns]) from error
    finally:
        connection.set_progress_handler(None, 0)
        connection.set_authorizer(lambda *_: sqlite3.SQLITE_OK)  # None takes it off from Python 3.11 on


def _columns(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute("SELECT name FROM columns")
    return sorted(str(row[0]) for row in rows if '"' not in str(row[0]) and str(row[0]).lower() != "id")


def _escaped(name: str) -> str:
    return name.replace("'", "''")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """Reading the items is all that is allowed; the name of a function comes second."""
    if action in _ALLOWED:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_READ and first in ("items", "item", "json_each"):
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION and str(second).lower() not in _FORBIDDEN_FUNCTIONS:
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _explained(error: sqlite3.Error, expression: str, columns: list[str]) -> VdistillError:
    unknown = re.search(r"no such column: (.+)", str(error))
    if unknown:
        close = difflib.get_close_matches(unknown[1], columns, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"the columns are: {', '.join(columns)}"
        return VdistillError(f"--where: no column {unknown[1]!r} in the metadata", hint=hint)
    if "interrupted" in str(error):
        return VdistillError("--where takes too long", hint="simplify the expression")
    if "prohibited" in str(error) or "not authorized" in str(error):
        return VdistillError("--where may only read the items", hint='write one expression, e.g. --where "price < 20"')
    return VdistillError(
        f"--where {expression!r}: {error}",
        hint="write an SQLite expression, e.g. --where \"price < 20 AND title LIKE '%red%'\"",
    )
