"""`--where`: an SQLite expression over the items' metadata, which can read nothing else and write nothing."""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from vdistill.bundle.columns import Kind, raw_sql, value_sql
from vdistill.bundle.items import interrupted_after, kinds_of
from vdistill.errors import VdistillError
from vdistill.inputs.lines import well_formed
from vdistill.query.expression import Named, Names, Token, check_comparisons, to_sql, tokenize

_KEPT = 1000  # characters of a value whose answer `has` remembers
_ITEM_ID = ("id", "file_name")  # both are the item's id, unless the metadata has such a column
_INTERNAL = frozenset({"items", "rowid", "oid", "_rowid_"})
_READABLE = frozenset({"items", "item", "json_each", "json_tree"})
_FORBIDDEN_FUNCTIONS = frozenset(
    {"load_extension", "readfile", "writefile", "edit", "zeroblob", "randomblob", "printf", "format", "fts3_tokenizer"}
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What an expression may use.

    cpu_seconds: then it is interrupted.  wall_seconds: then too, even where few steps take long; None for never.
    value_bytes: of any value, stored or made.  pattern_bytes: of LIKE and GLOB.
    """

    cpu_seconds: float = 20.0
    wall_seconds: float | None = None
    value_bytes: int = 10_000_000
    pattern_bytes: int = 50_000


OWN = Limits()  # of somebody who asks at his own machine


def matching_keys(connection: sqlite3.Connection, expression: str, limits: Limits = OWN) -> np.ndarray:
    """Keys, ascending, of the items for which `expression` is true; a column that an item lacks is NULL there.

    `connection` is to the items of an index, opened read-only. The expression can name every column of the metadata,
    and `id` or `file_name`, the item's id. Values have the type of the column's kind (`vdistill.bundle.columns`);
    `has(tags, 'x')` searches lists, `number(x)` is NULL for a value that is not a number.
    Raises VdistillError for a syntax error, an unknown column (with close matches), a comparison that no item can
    fulfil, and anything but reading.
    """
    expression = well_formed(expression)
    kinds = kinds_of(connection)
    folded = {name.lower() for name in kinds}
    own = [name for name in _ITEM_ID if name not in folded]
    prefix = f"v{secrets.token_hex(8)}"  # of internal names, which no expression can guess
    names = Names([*own, *kinds], prefix)
    tokens = tokenize(expression)
    _check_internal(tokens, names)
    check_comparisons(tokens, names, kinds)
    condition, used = to_sql(tokens, names)
    sources, values = _sources(used, kinds, own)
    # The line break ends a comment in the expression; the parentheses keep it one expression.
    sql = (
        f"SELECT {prefix} FROM (SELECT key AS {prefix}{sources} FROM items) AS item WHERE (\n{condition}\n) ORDER BY 1"
    )
    try:
        with _read_only(connection, limits), interrupted_after(connection, limits.wall_seconds):
            return np.array([row[0] for row in connection.execute(sql, values)], np.uint64)
    except sqlite3.Error as error:
        raise _explained(error, expression, names) from error
    except MemoryError as error:
        raise VdistillError("--where needs too much memory", hint="simplify the expression") from error


def _check_internal(tokens: list[Token], names: Names) -> None:
    """Refuse names that no column has but SQLite would find: the table, and the number of a row."""
    for token in tokens:
        name = token.unquoted.lower()
        if token.kind in ("name", "quoted") and name in _INTERNAL and not names.named(name):
            raise _only_reading() if name == "items" else _unknown(token.unquoted, names)


def _sources(used: dict[str, Named], kinds: dict[str, Kind], own: list[str]) -> tuple[str, dict[str, str]]:
    """The named columns as a list for SELECT, and the values to bind in it."""
    sql, values = "", {}
    for number, (alias, named) in enumerate(used.items()):
        if named.column in own:
            source = "id"
        else:
            raw, values[f"p{number}"] = raw_sql(named.column, f"p{number}")
            source = value_sql(kinds[named.column], raw)
        sql += f", {source} AS " + '"' + alias.replace('"', '""') + '"'
    return sql, values


@contextmanager
def _read_only(connection: sqlite3.Connection, limits: Limits) -> Iterator[None]:
    """Within the block the connection can read the items, for a limited time, and do nothing else."""
    give_up = time.thread_time() + limits.cpu_seconds
    connection.execute("SELECT 1 FROM json_each('[]'), json_tree('[]')").close()  # loads them, which is forbidden below
    connection.create_function("has", 2, _has, deterministic=True)
    connection.create_function("number", 1, _number, deterministic=True)
    before = _set_lengths(connection, (limits.value_bytes, limits.pattern_bytes))
    connection.set_authorizer(_authorize)
    connection.set_progress_handler(lambda: time.thread_time() > give_up, 100_000)
    try:
        yield
    finally:
        connection.set_progress_handler(None, 0)
        connection.set_authorizer(lambda *_: sqlite3.SQLITE_OK)  # None takes it off from Python 3.11 on
        _set_lengths(connection, before)


def _set_lengths(connection: sqlite3.Connection, lengths: Sequence[int]) -> list[int]:
    """Set the most bytes of a value and of a pattern, and return what they were; nothing before Python 3.11."""
    if sys.version_info < (3, 11):
        return []
    kinds = (sqlite3.SQLITE_LIMIT_LENGTH, sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH)
    return [connection.setlimit(kind, length) for kind, length in zip(kinds, lengths, strict=True)]


def _has(values: Any, wanted: Any) -> bool | None:
    """Whether the list `values` (JSON) contains `wanted`; a single value counts as a list of one."""
    long = any(isinstance(one, str | bytes) and len(one) > _KEPT for one in (values, wanted))
    return _contains(values, wanted) if long else _contains_or_known(values, wanted)


def _contains(values: Any, wanted: Any) -> bool | None:
    if values is None or wanted is None:
        return None
    found: Any = values
    if isinstance(values, str) and values.startswith("["):
        try:
            found = json.loads(values)
        except ValueError:
            found = values
    return any(one == wanted or str(one) == str(wanted) for one in (found if isinstance(found, list) else [found]))


_contains_or_known = lru_cache(maxsize=4096)(_contains)  # many items have the same list


def _number(value: Any) -> float | int | None:
    """The value as a number, or NULL."""
    if isinstance(value, int | float):
        return value
    text = str(value).strip()
    return float(text) if re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?", text) else None


def _authorize(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """Allow reading the items, and nothing else; `second` is the name of a function."""
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
    return VdistillError(f"--where: no column {name!r} in the metadata", hint=names.hint(name))


def _explained(error: sqlite3.Error, expression: str, names: Names) -> VdistillError:
    message = str(error)
    if unknown := re.search(r"no such column: (?:item\.)?(.+)", message, re.DOTALL):
        return _unknown(unknown[1], names)
    if "interrupted" in message:
        return VdistillError("--where takes too long", hint="simplify the expression")
    if "too big" in message:
        return VdistillError("--where makes a value that is too long", hint="simplify the expression")
    if "prohibited" in message or "not authorized" in message:
        return _only_reading()
    return VdistillError(
        f"--where {expression!r}: {message}",
        hint="write an SQLite expression, e.g. --where \"price < 20 AND title LIKE '%red%'\"",
    )
