"""What kind of values a metadata column holds, found from all of them: `--where` compares it accordingly.

CSV has no types, and JSON files often hold numbers as texts. One cell is not enough ("01234" is a zip code, "1234" may
be one), so the whole column decides.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

Kind = Literal["boolean", "number", "date", "time", "text", "mixed"]

# What people write where there is no value; it counts as NULL in all columns but those of text.
MISSING = frozenset({"", "-", "na", "n/a", "#n/a", "nan", "null", "none"})

_DATE = r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])"
_CLOCK = r"[0-2][0-9]:[0-5][0-9](?::[0-5][0-9](?:\.[0-9]+)?)?(?:Z|[+-][0-2][0-9]:[0-5][0-9])?"
# No leading zeros and no leading plus (zip codes, telephone numbers), no more digits than an integer of SQLite holds,
# no exponent without a sign ("12E45" is an article number).
_NUMBER = r"-?(?:(?:0|[1-9][0-9]{0,17})(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-][0-9]{1,3})?"
_FORMS: dict[Kind, Callable[[str], object]] = {
    "boolean": re.compile("true|false", re.IGNORECASE).fullmatch,
    "number": re.compile(_NUMBER).fullmatch,
    "date": re.compile(_DATE).fullmatch,
    "time": re.compile(f"{_DATE}(?:[T ]{_CLOCK})?").fullmatch,
}


class ColumnKinds:
    """Collects the metadata of items, and finds what kind each column is of."""

    def __init__(self) -> None:
        self._columns: defaultdict[str, _Column] = defaultdict(_Column)

    def add(self, metadata: Mapping[str, Any]) -> None:
        """Take in the metadata of one item."""
        for name, value in metadata.items():
            self._columns[name].add(value)

    def kinds(self) -> dict[str, Kind]:
        """The kind of each column, by name."""
        return {name: self._columns[name].kind() for name in sorted(self._columns)}


class _Column:
    def __init__(self) -> None:
        self._possible: list[Kind] = list(_FORMS)
        self._texts = self._others = False

    def add(self, value: Any) -> None:
        if value is None or (isinstance(value, str) and value.strip().lower() in MISSING):
            return
        if isinstance(value, int | float):
            self._others = True
            fitting: tuple[Kind, ...] = ("boolean", "number") if isinstance(value, bool) else ("number",)
            self._possible = [kind for kind in self._possible if kind in fitting]
            return
        self._texts = True
        if self._possible:  # most columns are text, which the first value shows
            text = value.strip() if isinstance(value, str) else ""
            self._possible = [kind for kind in self._possible if _FORMS[kind](text)]

    def kind(self) -> Kind:
        if self._possible and (self._texts or self._others):
            return self._possible[0]
        return "mixed" if self._texts and self._others else "text"


def known_kind(kind: object) -> Kind:
    """A kind that a file names; one that only newer versions know counts as mixed, whose values are not converted."""
    return kind if kind in get_args(Kind) else "mixed"  # type: ignore[return-value]


def raw_sql(name: str, bound: str) -> tuple[str, str]:
    """The SQL expression of what the metadata of an item has under a name, and the value to bind as `:bound` in it."""
    if name and name.isprintable() and '"' not in name and "\\" not in name:
        return f"json_extract(metadata, :{bound})", f'$."{name}"'
    # Such a name cannot be part of a JSON path, in which SQLite has no escapes.
    return f"(SELECT value FROM json_each(items.metadata) WHERE json_each.key = :{bound})", name


def value_sql(kind: Kind, raw: str) -> str:
    """The SQL expression of a column's value, with the affinity that comparisons need; `raw` is what the JSON holds.

    Numbers have NUMERIC affinity (so that `price < '20'` works too), dates are `YYYY-MM-DD`, times
    `YYYY-MM-DD HH:MM:SS` in UTC, booleans 1 and 0. A missing value is NULL.
    """
    some = f"CASE WHEN {raw} GLOB '*[0-9]*' THEN {raw} END"  # no word for a missing value has a digit
    word = f"lower(trim({raw}))"
    return {
        "boolean": f"CASE {word} WHEN 'true' THEN 1 WHEN '1' THEN 1 WHEN 'false' THEN 0 WHEN '0' THEN 0 END",
        "number": f"CAST({some} AS NUMERIC)",
        "date": f"CAST({some} AS TEXT)",
        "time": f"CAST(datetime(trim({raw})) AS TEXT)",
        "text": f"CAST({raw} AS TEXT)",
        "mixed": raw,
    }[kind]
