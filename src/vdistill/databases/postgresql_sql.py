"""Conditions and texts in PostgreSQL's own language; all values are bound, all names quoted."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from vdistill.bundle.columns import Kind
from vdistill.bundle.vectors import unit
from vdistill.databases.conditions import Compare, Condition, Every, Field, Has, Like, Missing, OneOf, Some, Value

if TYPE_CHECKING:
    from psycopg.sql import Composable

TYPES: dict[Kind, str] = {
    "boolean": "boolean", "number": "numeric", "date": "date", "time": "timestamp",
    "text": 'text COLLATE "C"', "mixed": "jsonb",
}  # fmt: skip
_NUMBER = r"^\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?\s*$"
_LONGEST, _MOST, _LAST = 500, 20_000, 16_383  # bytes of a lexeme, tokens of a text, the last place that is counted


def bound(kind: Kind, value: Value) -> Any:
    """A value for a column of this kind, as psycopg binds it."""
    if kind == "mixed":
        from psycopg.types.json import Jsonb

        return Jsonb(value)
    return value if kind == "boolean" else str(value)


def cast(kind: Kind) -> Composable:
    """The placeholder for such a value."""
    from psycopg.sql import SQL

    return SQL(f"%s::{TYPES[kind].partition(' ')[0]}")


def condition_sql(condition: Condition) -> tuple[Composable, list[Any]]:
    """A condition as an SQL expression, and the values to bind in it."""
    from psycopg.sql import SQL

    if isinstance(condition, Every | Some):
        return _joined(condition)
    if isinstance(condition, Compare):
        sql = SQL("{} {} {}").format(_field(condition.field), SQL(_SIGNS[condition.sign]), cast(condition.field.kind))
        return sql, [bound(condition.field.kind, condition.value)]
    if isinstance(condition, OneOf):
        return _one_of(condition)
    if isinstance(condition, Missing):
        return SQL("{} IS {}NULL").format(_field(condition.field), SQL("NOT " if condition.negated else "")), []
    if isinstance(condition, Like):
        sql = SQL("{} {}ILIKE %s ESCAPE %s").format(_field(condition.field), SQL("NOT " if condition.negated else ""))
        return sql, [condition.pattern, condition.escape]
    return _has(condition) if isinstance(condition, Has) else (SQL("FALSE"), [])


_SIGNS = {"=": "=", "!=": "<>", "<": "<", "<=": "<=", ">": ">", ">=": ">="}


def _field(field: Field) -> Composable:
    from psycopg.sql import SQL, Identifier, Literal

    column = Identifier("id" if field.key is None else field.key)
    if not field.as_number:
        return column
    text = SQL("({}#>>'{{}}')").format(SQL("to_jsonb({})").format(column))
    return SQL("CASE WHEN {} ~ {} THEN {}::numeric END").format(text, Literal(_NUMBER), text)


def _joined(condition: Every | Some) -> tuple[Composable, list[Any]]:
    from psycopg.sql import SQL

    every = isinstance(condition, Every)
    if not condition.parts:
        return SQL("TRUE" if every else "FALSE"), []
    parts = [condition_sql(part) for part in condition.parts]
    sql = SQL(" AND " if every else " OR ").join([part for part, _ in parts])
    return SQL("({})").format(sql), [value for _, values in parts for value in values]


def _one_of(condition: OneOf) -> tuple[Composable, list[Any]]:
    from psycopg.sql import SQL

    field = _field(condition.field)
    if not condition.values:
        return (SQL("{} IS NOT NULL").format(field) if condition.negated else SQL("FALSE")), []
    places = SQL(", ").join([cast(condition.field.kind)] * len(condition.values))
    sql = SQL("{} {}IN ({})").format(field, SQL("NOT " if condition.negated else ""), places)
    return sql, [bound(condition.field.kind, value) for value in condition.values]


def _has(condition: Has) -> tuple[Composable, list[Any]]:
    from psycopg.sql import SQL, Literal

    column, key = _field(condition.field), Literal(condition.field.key)
    alone = SQL("to_jsonb({})#>>'{{}}'").format(column)
    found = SQL("CASE WHEN lists ? {} THEN lists->{} ? %s ELSE {} = %s END").format(key, key, alone)
    return (SQL("NOT ({})") if condition.negated else SQL("({})")).format(found), [condition.value, condition.value]


def halfvec(vector: np.ndarray) -> str:
    """A vector as pgvector reads it; five digits are all that f16 has."""
    return f"[{','.join([f'{value:.5g}' for value in vector.tolist()])}]"


def exact_vector(vector: np.ndarray) -> str:
    """A query's vector in float32, to the last digit."""
    return f"[{','.join([f'{value:.9g}' for value in vector.tolist()])}]"


def sent_vectors(sent: Sequence[bytes], dim: int) -> np.ndarray:
    """(n, dim) unit vectors, float32, by `halfvec_send`: 4 bytes, then numbers of 2, high byte first."""
    found = np.frombuffer(b"".join(one[4:] for one in sent), ">f2")
    return unit(found.reshape(len(sent), dim).astype(np.float32))


def tsvector(words: Sequence[str]) -> str:
    """Tokens as PostgreSQL's text search stores them."""
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, word in enumerate(_short(words[:_MOST]), start=1):
        if len(places[word]) < 255:
            places[word].append(min(place, _LAST))
    return " ".join(f"{_quoted(word)}:{','.join(map(str, found))}" for word, found in places.items())


def tsquery(words: Sequence[str]) -> str:
    """What finds texts with any of the tokens."""
    return " | ".join(_quoted(word) for word in dict.fromkeys(_short(words)))


def _short(words: Iterable[str]) -> list[str]:
    return [word for word in words if len(word.encode()) <= _LONGEST]


def _quoted(word: str) -> str:
    return "'" + word.replace("\\", "\\\\").replace("'", "''") + "'"
