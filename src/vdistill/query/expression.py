"""A `--where` expression as its words: names are found as users mean them, and what cannot be compared is refused."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from vdistill.bundle.columns import Kind
from vdistill.errors import VdistillError

# SQLite's own lexical grammar. A character that begins nothing is a sign by itself.
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
_ENDS = ("", "(", ")", ",", "and", "or", "not", "when", "then", "where", "else")  # what may stand around a comparison
_TIME = re.compile(r"\d{4}(-\d\d(-\d\d( \d\d(:\d\d(:\d\d)?)?)?)?)?")
_DATE = re.compile(r"\d{4}(-\d\d(-\d\d.*)?)?")


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the expression: `kind` is space, text, quoted, number, name or sign, `text` as it is typed."""

    kind: str
    text: str

    @property
    def said(self) -> str:
        """The name or the text without its quotes."""
        if self.kind in ("quoted", "text"):
            inner = self.text[1:-1]
            return inner if self.text[0] == "[" else inner.replace(self.text[0] * 2, self.text[0])
        return self.text


@dataclass(frozen=True, slots=True)
class Named:
    """Which column a name of the expression means, and the name by which SQLite knows it."""

    column: str
    alias: str


def tokens(expression: str) -> list[Token]:
    """The pieces of an expression. Raises VdistillError for more than one expression, and for parameters."""
    if "\0" in expression:
        raise VdistillError("--where holds a NUL character", hint="leave it out")
    found = [Token(str(match.lastgroup), match[0]) for match in _TOKEN.finditer(expression)]
    depth = 0
    for token in found:
        if token.kind != "sign":
            continue
        depth += (token.text == "(") - (token.text == ")")
        if depth < 0 or token.text in (";", "?", ":", "@", "$"):
            raise VdistillError(
                f"--where {expression!r}: {token.text!r} does not belong there",
                hint='write one expression, e.g. --where "price < 20"',
            )
    return found


class Names:
    """The columns that an expression may name: exactly, or in other letter case where that means one column only."""

    def __init__(self, columns: Sequence[str], secret: str) -> None:
        self._groups: dict[str, list[str]] = {}
        for column in columns:
            self._groups.setdefault(_folded(column), []).append(column)
        self._secret = secret
        self._columns = list(columns)

    def named(self, name: str) -> Named | None:
        """The column that is meant, or None. Raises VdistillError where it could be several."""
        group = self._groups.get(_folded(name), [])
        if len(group) == 1:
            return Named(group[0], group[0])
        if name in group:  # SQLite cannot tell them apart
            return Named(name, f"{self._secret}_{self._columns.index(name)}")
        if not group:
            return None
        raise VdistillError(
            f"--where: {name!r} may be any of the columns {', '.join(group)}", hint="write the name exactly as it is"
        )

    def close(self, name: str) -> str:
        """A hint for a name that no column has."""
        folded = {_folded(column): column for column in self._columns}
        close = difflib.get_close_matches(_folded(name), folded, n=3)
        if close:
            return f"did you mean {' or '.join(folded[one] for one in close)}?"
        return f"the columns are: {', '.join(self._columns)}"


def _folded(name: str) -> str:
    """As SQLite compares names: only ASCII letters without their case."""
    return "".join(c.lower() if c.isascii() else c for c in name)


def resolved(pieces: Sequence[Token], names: Names) -> tuple[str, dict[str, Named]]:
    """The expression for SQLite, and the columns that it names, by alias.

    Quoted names get quotes that SQLite never takes for those of a text: in double ones a name that does not exist
    becomes a text, and `"prise" > 20` is true of everything.
    """
    sql, used = [], {}
    for token in pieces:
        named = names.named(token.said) if token.kind in ("name", "quoted") else None
        if named:
            used[named.alias] = named
        if named and named.alias != named.column:
            sql.append(f"`{named.alias}`")
        else:
            sql.append("`" + token.said.replace("`", "``") + "`" if token.kind == "quoted" else token.text)
    return "".join(sql), used


def check_comparisons(pieces: Sequence[Token], names: Names, kinds: Mapping[str, Kind]) -> None:
    """Refuse to compare a column with what none of its values can be: SQLite would, and find nothing or everything."""
    for column, sign, value in _comparisons([token for token in pieces if token.kind != "space"]):
        named = names.named(column.said)
        kind = kinds.get(named.column) if named else None
        hint = _mismatch(kind, column.text, sign, value) if kind else None
        if hint:
            raise VdistillError(f"--where: {column.text} is {_spoken(kind)}, and {value.text} is not", hint=hint)


def _comparisons(pieces: Sequence[Token]) -> Iterator[tuple[Token, str, Token]]:
    """(column, sign, value) of each comparison of a bare name with a bare number or text."""
    words = [Token("sign", ""), *_joined(pieces), Token("sign", ""), Token("sign", "")]
    for place in range(1, len(words) - 2):
        before, left, sign, right, after = (words[place - 1 + n] if place - 1 + n < len(words) else words[0]
                                            for n in range(5))  # fmt: skip
        between = sign.text.lower() == "between"
        if not (between or sign.text in (*_EQUAL, *_ORDER)) or before.text.lower() not in (*_ENDS, "between"):
            continue
        if after.text.lower() not in _ENDS:
            continue
        if left.kind in ("name", "quoted") and right.kind in ("number", "text"):
            yield left, "<" if between else sign.text, right
        elif right.kind in ("name", "quoted") and left.kind in ("number", "text") and after.text != "(":
            yield right, _FLIPPED.get(sign.text, sign.text), left


def _joined(pieces: Sequence[Token]) -> Iterator[Token]:
    """With a minus before a number as a part of it, and without the words that change no meaning here."""
    minus = False
    for place, token in enumerate(pieces):
        following = pieces[place + 1] if place + 1 < len(pieces) else Token("sign", "")
        previous = pieces[place - 1] if place else Token("sign", "")
        if token.text == "-" and following.kind == "number" and previous.kind == "sign" and previous.text != ")":
            minus = True
        elif token.text.lower() == "not" and following.text.lower() == "between":
            continue
        else:
            yield replace(token, text=f"-{token.text}") if minus else token
            minus = False


def _mismatch(kind: Kind, column: str, sign: str, value: Token) -> str | None:
    """What to write instead, where a column of this kind cannot be compared so; None where it can."""
    text = value.said.strip() if value.kind == "text" else None
    if kind in ("text", "mixed") and text is None and sign in _ORDER:
        return f"compare what is a number alone: number({column}) {sign} {value.text}"
    if kind == "boolean" and text is not None:
        return f"write {column}, NOT {column} or {column} IS NULL"
    if kind == "number" and text is not None and not re.fullmatch(r"[+-]?[0-9.]+([eE][+-]?[0-9]+)?", text):
        return f"compare it with a number; where there is none, {column} IS NULL"
    if kind == "date" and text is not None and not _DATE.fullmatch(text):
        return f"write dates as in {column} >= '2024-05-31'"
    if kind == "time" and text is not None and (not _TIME.fullmatch(text) or (sign in _EQUAL and len(text) < 19)):
        return f"write times as in {column} < '2024-05-31 18:00:00' (UTC); a day is date({column}) = '2024-05-31'"
    return None


def _spoken(kind: Kind | None) -> str:
    return {"boolean": "true or false", "number": "a number", "date": "a date", "time": "a time"}.get(
        str(kind), "text, at least in some items"
    )
