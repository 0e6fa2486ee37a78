"""`--where`: an SQLite expression over the items' metadata; it can read nothing else and write nothing."""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np

from vdistill.bundle.columns import Kind, value_sql
from vdistill.bundle.items import kinds_of
from vdistill.errors import VdistillError
from vdistill.inputs.lines import well_formed
from vdistill.query.expression import Named, Names, Token, check_comparisons, resolved, tokens

SECONDS = 20.0  # of the processor; an expression that takes longer is broken off
LONGEST = 10_000_000  # bytes of any value on the way
ITEM_ID = ("id", "file_name")  # both are the item's id, unless the metadata has such a column
_OURS = frozenset({"items", "rowid", "oid", "_rowid_"})
_READABLE = frozenset({"items", "item", "json_each", "json_tree"})
_FORBIDDEN_FUNCTIONS = frozenset(
    {"load_extension", "readfile", "writefile", "edit", "zeroblob", "randomblob", "printf", "format", "fts3_tokenizer"}
)


def matching_keys(connection: sqlite3.Connection, expression: str) -> np.ndarray:
    """Keys, ascending, of the items for which `expression` is true; a column that an item lacks is NULL there.

    `connection` is to the items of an index, opened read-only. Every column of the metadata can be named, and `id` and
    `file_name`, the item's id. Values are those of the column's kind (`vdistill.bundle.columns`); `has(tags, 'x')`
    looks into lists, `number(x)` is NULL for what is none.
    Raises VdistillError for a syntax error, an unknown column (with close matches), a comparison that cannot hold
    anywhere, and anything but reading.
    """
    expression = well_formed(expression)
    kinds = kinds_of(connection)
    folded = {name.lower() for name in kinds}
    own = [name for name in ITEM_ID if name not in folded]
    secret = f"v{secrets.token_hex(8)}"  # names of ours that no expression can hold
    names = Names([*own, *kinds], secret)
    pieces = tokens(expression)
    _check_ours(pieces, names)
    check_comparisons(pieces, names, kinds)
    condition, used = resolved(pieces, names)
    sources, values = _sources(used, kinds, own)
    # The line break ends a comment in the expression; the parentheses keep it one expression.
    sql = (
        f"SELECT {secret} FROM (SELECT key AS {secret}{sources} FROM items) AS item WHERE (\n{condition}\n) ORDER BY 1"
    )
    try:
        with _reading_alone(connection):
            return np.array([row[0] for row in connection.execute(sql, values)], np.uint64)
    except sqlite3.Error as error:
        raise _explained(error, expression, names) from error


def _check_ours(pieces: list[Token], names: Names) -> None:
    """Refuse what SQLite would find of ours: the table, and the number of a row."""
    for piece in pieces:
        name = piece.said.lower()
        if piece.kind not in ("name", "quoted") or name not in _OURS or names.named(name):
            continue
        if name == "items":
            raise _only_reading()
        raise _unknown(piece.said, names)


def _sources(used: dict[str, Named], kinds: dict[str, Kind], own: list[str]) -> tuple[str, dict[str, str]]:
    """The columns that are named, as a list for SELECT, and the values bound in it."""
    sql, values = "", {}
    for number, (alias, named) in enumerate(used.items()):
        if named.column in own:
            source = "id"
        else:
            values[f"p{number}"] = named.column if _odd(named.column) else f'$."{named.column}"'
            source = value_sql(kinds[named.column], _raw(named.column, f":p{number}"))
        sql += f", {source} AS " + '"' + alias.replace('"', '""') + '"'
    return sql, values


def _odd(name: str) -> bool:
    """Whether a name cannot stand in a JSON path, where SQLite knows no escapes."""
    return not name or not name.isprintable() or '"' in name or "\\" in name


def _raw(name: str, bound: str) -> str:
    if _odd(name):
        return f"(SELECT value FROM json_each(items.metadata) WHERE json_each.key = {bound})"
    return f"json_extract(metadata, {bound})"


@contextmanager
def _reading_alone(connection: sqlite3.Connection) -> Iterator[None]:
    """Within the block the connection can read the items, for some seconds, and do nothing else."""
    give_up = time.thread_time() + SECONDS
    connection.execute("SELECT 1 FROM json_each('[]'), json_tree('[]')").close()  # made known; the guard forbids that
    functions: dict[str, tuple[int, Callable[..., Any]]] = {"has": (2, _has), "number": (1, _number)}
    for name, (count, function) in functions.items():
        connection.create_function(name, count, function, deterministic=True)
    longest = connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST) if hasattr(connection, "setlimit") else 0
    connection.set_authorizer(_authorize)
    connection.set_progress_handler(lambda: time.thread_time() > give_up, 100_000)
    try:
        yield
    finally:
        connection.set_progress_handler(None, 0)
        connection.set_authorizer(lambda *_: sqlite3.SQLITE_OK)  # None takes it off from Python 3.11 on
        if longest:
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, longest)


@lru_cache(maxsize=4096)  # few lists are many
def _has(values: Any, wanted: Any) -> bool | None:
    """Whether the list `values` (JSON) has the element `wanted`; a single value is a list of one."""
    if values is None or wanted is None:
        return None
    found: Any = values
    if isinstance(values, str) and values.startswith("["):
        try:
            found = json.loads(values)
        except ValueError:
            found = values
    return any(one == wanted or str(one) == str(wanted) for one in (found if isinstance(found, list) else [found]))


def _number(value: Any) -> float | int | None:
    """The number that a value is, or NULL."""
    if isinstance(value, int | float):
        return value
    text = str(value).strip()
    return float(text) if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", text) else None


def _authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """Reading the items is all that is allowed; the name of a function comes second."""
    if action == sqlite3.SQLITE_SELECT:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_READ and first in _READABLE:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION and str(second).lower() not in _FORBIDDEN_FUNCTIONS:
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _only_reading() -> VdistillError:
    return VdistillError("--where may only read the metadata", hint='write one expression, e.g. --where "price < 20"')


def _unknown(name: str, names: Names) -> VdistillError:
    return VdistillError(f"--where: no column {name!r} in the metadata", hint=names.close(name))


def _explained(error: sqlite3.Error, expression: str, names: Names) -> VdistillError:
    unknown = re.search(r"no such column: (?:item\.)?(.+)", str(error), re.DOTALL)
    if unknown:
        return _unknown(unknown[1], names)
    if "interrupted" in str(error):
        return VdistillError("--where takes too long", hint="simplify the expression")
    if "too big" in str(error):
        return VdistillError("--where makes a value that is too long", hint="simplify the expression")
    if "prohibited" in str(error) or "not authorized" in str(error):
        return _only_reading()
    return VdistillError(
        f"--where {expression!r}: {error}",
        hint="write an SQLite expression, e.g. --where \"price < 20 AND title LIKE '%red%'\"",
    )
