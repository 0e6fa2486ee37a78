"""What a value in a `--where` expression means beside a column of some kind, as SQLite compares the two."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime

from vdistill.databases.conditions import Compare, Condition, Field, Never, OneOf, Some, Value
from vdistill.errors import VdistillError

_FULL = {"date": len("2024-05-31"), "time": len("2024-05-31 18:00:00")}
_FILL = "0001-01-01 00:00:00"
_NUMBER = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*")


def compared(field: Field, sign: str, value: Value | None) -> Condition:
    """The comparison of a column with a literal. Raises VdistillError where databases would not do as SQLite does."""
    if value is None:
        return Never()
    if field.kind == "number":
        return _with_number(field, sign, value)
    if field.kind == "boolean":
        return _with_boolean(field, sign, value)
    if field.kind in ("date", "time"):
        return _with_date(field, sign, text_of(value))
    if field.kind == "mixed" and sign not in ("=", "!="):
        raise VdistillError("--where: numbers and texts in one column have no order in a database",
                            hint="compare only the numbers: number(column) < 20")  # fmt: skip
    return Compare(field, sign, value if field.kind == "mixed" else text_of(value))


def one_of(field: Field, values: Sequence[Value | None]) -> Condition:
    """Whether the column has one of these values. With NULL among them it is never surely none of them."""
    if None in values:
        raise VdistillError("--where: NULL in a list is not translated", hint="write OR column IS NULL")
    found = [compared(field, "=", value) for value in values]
    plain = [one.value for one in found if isinstance(one, Compare)]
    return OneOf(field, tuple(plain)) if len(plain) == len(found) and plain else Some(tuple(found))


def text_of(value: Value | None) -> str:
    """A literal as SQLite turns it into a text."""
    return str(int(value)) if isinstance(value, bool) else str(value)


def _with_number(field: Field, sign: str, value: Value) -> Condition:
    if isinstance(value, bool):
        value = int(value)
    if isinstance(value, str):
        if field.as_number or not _NUMBER.fullmatch(value):
            raise VdistillError(f"--where: a number is compared with {value!r}", hint="compare it with a number")
        value = int(value) if value.strip().lstrip("+-").isdigit() else float(value)
    return Compare(field, sign, value)


def _with_boolean(field: Field, sign: str, value: Value) -> Condition:
    if sign not in ("=", "!=") or value not in (0, 1):
        raise VdistillError("--where: true and false are compared by = and != alone, with TRUE and FALSE",
                            hint="write the column alone, or NOT column")  # fmt: skip
    return Compare(field, "=", bool(value) is (sign == "="))


def _with_date(field: Field, sign: str, text: str) -> Condition:
    """Texts are compared letter by letter, so '2024' stands before all days of that year."""
    length = _FULL[field.kind]
    full = text[:length] if len(text) >= length else text + _FILL[len(text) : length]
    try:
        date.fromisoformat(full) if field.kind == "date" else datetime.fromisoformat(full)
    except ValueError:
        raise VdistillError(f"--where: {text!r} is no day of the calendar", hint="write it as 2024-05-31") from None
    if len(text) == length:
        return Compare(field, sign, full)
    if sign in ("=", "!="):  # no value is that short, or that long
        return OneOf(field, (), negated=sign == "!=")
    if len(text) < length:
        return Compare(field, ">=" if sign[0] == ">" else "<", full)
    return Compare(field, ">" if sign[0] == ">" else "<=", full)
