"""A `--where` expression as tokens: names are matched to columns, and comparisons that cannot hold are refused."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from vdistill.bundle.columns import Kind
from vdistill.errors import VdistillError

# SQLite's own lexical grammar. Any other character is a sign by itself.
_TOKEN = re.compile(
    r"""(?P<space>[ \t\n\f\r]+|--[^\n]*|/\*.*?(?:\*/|$))
      | (?P<text>'(?:[^']|'')*')
      | (?P<quoted>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])
      | (?P<number>(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)
      | (?P<name>[A-Za-z_\x80-\U0010FFFF][A-Za-z0-9_$\x80-\U0010FFFF]*)
      | (?P<sign><=|>=|<>|!=|==|\|\||.)""",
    re.VERBOSE | re.DOTALL,
)
_EQUAL, _ORDER = ("=", "==", "!=", "<>"), ("<", ">", "<=", ">=")
_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
_AROUND = ("", "(", ")", ",", "and", "or", "not", "when", "then", "where", "else")  # what may surround a comparison
_TIME = re.compile(r"\d{4}(-\d\d(-\d\d( \d\d(:\d\d(:\d\d)?)?)?)?)?")
_DATE = re.compile(r"\d{4}(-\d\d(-\d\d.*)?)?")


@dataclass(frozen=True, slots=True)
class Token:
    """Part of an expression.  kind: space, text, quoted, number, name or sign.  text: as it was typed."""

    kind: str
    text: str

    @property
    def unquoted(self) -> str:
        """The name or the text without its quotes."""
        if self.kind in ("quoted", "text"):
            inner = self.text[1:-1]
            return inner if self.text[0] == "[" else inner.replace(self.text[0] * 2, self.text[0])
        return self.text


_END = Token("sign", "")  # before the first and after the last token


@dataclass(frozen=True, slots=True)
class Named:
    """The column that a name in the expression means, and its name in the SQL."""

    column: str
    alias: str


def tokenize(expression: str) -> list[Token]:
    """The tokens of an expression. Raises VdistillError for more than one expression, and for parameters."""
    if "\0" in expression:
        raise VdistillError("--where contains a NUL character", hint="leave it out")
    found = [Token(str(match.lastgroup), match[0]) for match in _TOKEN.finditer(expression)]
    depth = 0
    for token in found:
        if token.kind != "sign":
            continue
        depth += (token.text == "(") - (token.text == ")")
        if depth < 0 or token.text in (";", "?", ":", "@", "$"):
            raise VdistillError(
                f"--where {expression!r}: unexpected {token.text!r}",
                hint='write one expression, e.g. --where "price < 20"',
            )
    return found


class Names:
    """The columns that an expression may name: exactly, or in another letter case where that means one column only."""

    def __init__(self, columns: Sequence[str], prefix: str) -> None:
        self._groups: dict[str, list[str]] = {}
        for column in columns:
            self._groups.setdefault(_folded(column), []).append(column)
        self._prefix = prefix
        self._columns = list(columns)

    def named(self, name: str) -> Named | None:
        """The column that a name means, or None. Raises VdistillError where it could be several."""
        group = self._groups.get(_folded(name), [])
        if len(group) == 1:
            return Named(group[0], group[0])
        if name in group:  # SQLite cannot tell them apart
            return Named(name, f"{self._prefix}_{self._columns.index(name)}")
        if not group:
            return None
        raise VdistillError(
            f"--where: {name!r} may be any of the columns {', '.join(group)}", hint="write the name in its own case"
        )

    def hint(self, name: str) -> str:
        """What to suggest for a name that no column has."""
        folded = {_folded(column): column for column in self._columns}
        close = difflib.get_close_matches(_folded(name), folded, n=3)
        if close:
            return f"did you mean {' or '.join(folded[one] for one in close)}?"
        return f"the columns are: {', '.join(self._columns)}"


def _folded(name: str) -> str:
    """A name as SQLite compares it: ignoring the case of ASCII letters alone."""
    return "".join(c.lower() if c.isascii() else c for c in name)


def to_sql(tokens: Sequence[Token], names: Names) -> tuple[str, dict[str, Named]]:
    """The expression for SQLite, and the columns that it names, by alias.

    Quoted names get backquotes: in double quotes SQLite reads a name that does not exist as a text, and
    `"prise" > 20` is true for every item.
    """
    sql, used = [], {}
    for token in tokens:
        named = names.named(token.unquoted) if token.kind in ("name", "quoted") else None
        if named:
            used[named.alias] = named
        if named and named.alias != named.column:
            sql.append(f"`{named.alias}`")
        else:
            sql.append("`" + token.unquoted.replace("`", "``") + "`" if token.kind == "quoted" else token.text)
    return "".join(sql), used


def check_comparisons(tokens: Sequence[Token], names: Names, kinds: Mapping[str, Kind]) -> None:
    """Raise VdistillError where a column is compared with what none of its values can equal.

    SQLite would compare them, and find nothing or everything.
    """
    for column, sign, value in _comparisons([token for token in tokens if token.kind != "space"]):
        named = names.named(column.unquoted)
        kind = kinds.get(named.column) if named else None
        hint = _mismatch(kind, column.text, sign, value) if kind else None
        if hint:
            raise VdistillError(f"--where: {column.text} is {_described(kind)}, and {value.text} is not", hint=hint)


def _comparisons(tokens: Sequence[Token]) -> Iterator[tuple[Token, str, Token]]:
    """(column, sign, value) of each comparison of a bare name with a bare number or text."""
    padded = [_END, *_joined(tokens), _END, _END, _END]
    for before, left, sign, right, after in zip(padded, padded[1:], padded[2:], padded[3:], padded[4:], strict=False):
        between = sign.text.lower() == "between"
        if not (between or sign.text in (*_EQUAL, *_ORDER)) or before.text.lower() not in (*_AROUND, "between"):
            continue
        if after.text.lower() not in _AROUND:
            continue
        if left.kind in ("name", "quoted") and right.kind in ("number", "text"):
            yield left, "<" if between else sign.text, right
        elif right.kind in ("name", "quoted") and left.kind in ("number", "text") and after.text != "(":
            yield right, _FLIPPED.get(sign.text, sign.text), left


def _joined(tokens: Sequence[Token]) -> Iterator[Token]:
    """The tokens with a minus as part of its number, and without the NOT of NOT BETWEEN."""
    minus = False
    for previous, token, following in zip([_END, *tokens], tokens, [*tokens[1:], _END], strict=False):
        if token.text == "-" and following.kind == "number" and previous.kind == "sign" and previous.text != ")":
            minus = True
        elif token.text.lower() != "not" or following.text.lower() != "between":
            yield replace(token, text=f"-{token.text}") if minus else token
            minus = False


def _mismatch(kind: Kind, column: str, sign: str, value: Token) -> str | None:
    """What to write instead, where a column of this kind cannot be compared with the value; None where it can."""
    text = value.unquoted.strip() if value.kind == "text" else None
    if kind in ("text", "mixed") and text is None and sign in _ORDER:
        return f"compare only the numbers: number({column}) {sign} {value.text}"
    if kind == "boolean" and text is not None:
        return f"write {column}, NOT {column} or {column} IS NULL"
    if kind == "number" and text is not None and not re.fullmatch(r"[+-]?[0-9.]+([eE][+-]?[0-9]+)?", text):
        return f"compare it with a number; for items without one, {column} IS NULL"
    if kind == "date" and text is not None and not _DATE.fullmatch(text):
        return f"write dates as in {column} >= '2024-05-31'"
    if kind == "time" and text is not None and (not _TIME.fullmatch(text) or (sign in _EQUAL and len(text) < 19)):
        return f"write times as in {column} < '2024-05-31 18:00:00' (UTC); a day is date({column}) = '2024-05-31'"
    return None


def _described(kind: Kind | None) -> str:
    return {"boolean": "true or false", "number": "a number", "date": "a date", "time": "a time"}.get(
        str(kind), "text, at least in some items"
    )
