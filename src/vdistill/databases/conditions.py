"""A `--where` expression as a tree that each database can translate; what is not in it is refused by name.

The tree has no NOT: negation is pushed down to the comparisons. So an item passes where a comparison is true, and one
of a missing value never is, nor its opposite, as in SQL.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from vdistill.bundle.columns import Kind

Value: TypeAlias = bool | int | float | str


@dataclass(frozen=True, slots=True)
class Field:
    """What is compared: a column, or the item's id (key None).  as_number: `number(column)`."""

    key: str | None
    kind: Kind
    as_number: bool = False


@dataclass(frozen=True, slots=True)
class Compare:
    """sign: = != < <= > >=.  value: of the field's kind; dates are YYYY-MM-DD, times YYYY-MM-DD HH:MM:SS."""

    field: Field
    sign: str
    value: Value


@dataclass(frozen=True, slots=True)
class OneOf:
    """Whether the field has one of these values (there may be none), or with `negated` another one."""

    field: Field
    values: tuple[Value, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Like:
    """A pattern with % and _, which ignores the case of ASCII letters.  escape: makes them ordinary."""

    field: Field
    pattern: str
    escape: str = ""
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Missing:
    """Whether the field has no value, or with `negated` whether it has one."""

    field: Field
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Has:
    """Whether the list in a column has this entry; a single value counts as a list of one."""

    field: Field
    value: str
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Never:
    """A comparison with NULL: neither it nor its opposite is true."""


@dataclass(frozen=True, slots=True)
class Every:
    """True where all parts are, so also without parts."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """True where one part is, so never without parts."""

    parts: tuple[Condition, ...]


Condition: TypeAlias = Compare | OneOf | Like | Missing | Has | Never | Every | Some

_OPPOSITE = {"=": "!=", "!=": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}


def negated(condition: Condition) -> Condition:
    """What is true where the condition is false."""
    if isinstance(condition, Every):
        return Some(tuple(map(negated, condition.parts)))
    if isinstance(condition, Some):
        return Every(tuple(map(negated, condition.parts)))
    if isinstance(condition, Compare):
        return replace(condition, sign=_OPPOSITE[condition.sign])
    if isinstance(condition, Never):
        return condition
    return replace(condition, negated=not condition.negated)


def leaves(condition: Condition) -> list[Condition]:
    """The comparisons in it."""
    if isinstance(condition, Every | Some):
        return [leaf for part in condition.parts for leaf in leaves(part)]
    return [condition]
