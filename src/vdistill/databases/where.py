"""A `--where` expression for a database: read into a tree, or refused with the name of what cannot be translated."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from vdistill.databases.conditions import (
    Compare,
    Condition,
    Every,
    Field,
    Has,
    Like,
    Missing,
    Never,
    OneOf,
    Some,
    Value,
    leaves,
    negated,
)
from vdistill.databases.engine import Column
from vdistill.databases.literals import compared, one_of, text_of
from vdistill.errors import VdistillError
from vdistill.inputs.lines import well_formed
from vdistill.query.expression import Names, Token, check_comparisons, tokenize

_SIGNS = {"=": "=", "==": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
_ID = ("id", "file_name")  # both are the item's id, unless the metadata has such a column
_END = Token("end", "the end")
HINT = (
    "a database answers comparisons of a column with a value, AND, OR, NOT, IN, BETWEEN, LIKE, IS NULL, has() and "
    "number(); without --from all of SQLite's expressions work"
)


def condition_of(expression: str, columns: Sequence[Column], engine: str, can: Collection[str]) -> Condition:
    """The tree of an expression over these columns.

    engine: its name, for messages.  can: what it can answer beyond the rest (`Database.can`).
    Raises VdistillError for a syntax error, an unknown column (with close matches), a comparison that no item can
    fulfil, and for what is not translated, by its name.
    """
    tokens = tokenize(well_formed(expression))
    kinds = {column.name: column.kind for column in columns}
    own = [name for name in _ID if name not in {known.lower() for known in kinds}]
    names = Names([*own, *kinds], "column")
    check_comparisons(tokens, names, kinds)
    fields = {column.name: Field(column.key, column.kind) for column in columns}
    fields |= {name: Field(None, "text") for name in own}
    found = _Reader([token for token in tokens if token.kind != "space"], names, fields).expression()
    for leaf in leaves(found):
        if (needed := _needed(leaf)) and needed not in can:
            raise VdistillError(f"--where: {engine} cannot answer {_SPOKEN[needed]}",
                                hint="leave it out, or search the local index: without --from")  # fmt: skip
    return found


_SPOKEN = {"like": "LIKE", "order of texts": "< or > of texts", "number()": "number()"}


def _needed(leaf: Condition) -> str | None:
    """What an engine must be able to do for this comparison, where not every one can."""
    if isinstance(leaf, Like):
        return "like"
    if isinstance(leaf, Compare | OneOf | Missing) and leaf.field.as_number:
        return "number()"
    ordered = isinstance(leaf, Compare) and leaf.field.kind in ("text", "mixed") and leaf.sign not in ("=", "!=")
    return "order of texts" if ordered else None


class _Reader:
    """Recursive descent: OR of AND of NOT of comparisons."""

    def __init__(self, tokens: list[Token], names: Names, fields: dict[str, Field]) -> None:
        self._tokens, self._place = tokens, 0
        self._names, self._fields = names, fields

    def expression(self) -> Condition:
        found = self._any()
        if self._now.kind != "end":
            raise _untranslated(self._now)
        return found

    @property
    def _now(self) -> Token:
        return self._tokens[self._place] if self._place < len(self._tokens) else _END

    def _is(self, *words: str) -> bool:
        return self._now.kind in ("name", "sign") and self._now.text.lower() in words

    def _take(self, *words: str) -> bool:
        """Whether these words come next, which are then passed."""
        upcoming = self._tokens[self._place : self._place + len(words)]
        found = [token.text.lower() for token in upcoming if token.kind in ("name", "sign")] == [*words]
        self._place += len(words) * found
        return found

    def _need(self, word: str) -> None:
        if not self._take(word):
            raise _untranslated(self._now)

    def _next(self) -> Token:
        token = self._now
        self._place += 1
        return token

    def _any(self) -> Condition:
        parts = [self._all()]
        while self._take("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Some(tuple(parts))

    def _all(self) -> Condition:
        parts = [self._not()]
        while self._take("and"):
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def _not(self) -> Condition:
        if self._take("not"):
            return negated(self._not())
        if self._take("("):
            found = self._any()
            self._need(")")
            return found
        return self._comparison()

    def _comparison(self) -> Condition:
        token = self._now
        if token.kind in ("number", "text") or self._is("-", "null", "true", "false"):
            return self._value_first()
        if self._take("has", "("):
            return self._has()
        field = self._field()
        if self._now.text in _SIGNS:
            return compared(field, _SIGNS[self._next().text], self._value())
        if special := self._special(field):
            return special
        if self._now.kind != "end" and not self._is("and", "or", ")"):
            raise _untranslated(self._now)
        return _truth(field, token)

    def _special(self, field: Field) -> Condition | None:
        """IS NULL, IN, BETWEEN and LIKE, and each of them with NOT."""
        if self._take("is"):
            return self._is_value(field)
        if self._take("isnull") or self._take("notnull") or self._take("not", "null"):
            return Missing(field, negated=self._tokens[self._place - 1].text.lower() != "isnull")
        not_ = self._take("not")
        found = self._list(field) or self._between(field) or self._like(field)
        if not_ and found is None:
            raise _untranslated(self._now)
        return negated(found) if found and not_ else found

    def _is_value(self, field: Field) -> Condition:
        not_ = self._take("not")
        if self._take("null"):
            return Missing(field, negated=not_)
        equal = compared(field, "=", self._value())
        return Some((negated(equal), Missing(field))) if not_ else equal

    def _list(self, field: Field) -> Condition | None:
        if not self._take("in", "("):
            return None
        values = []
        while not self._take(")"):
            values.append(self._value())
            if not self._is(")"):
                self._need(",")
        return one_of(field, values)

    def _between(self, field: Field) -> Condition | None:
        if not self._take("between"):
            return None
        low = self._value()
        self._need("and")
        return Every((compared(field, ">=", low), compared(field, "<=", self._value())))

    def _like(self, field: Field) -> Condition | None:
        if not self._take("like"):
            return None
        pattern, escape = self._value(), ""
        if self._take("escape"):
            escape = text_of(self._value())
        if field.kind not in ("text",) or field.as_number:
            raise VdistillError("--where: LIKE is translated for columns of text alone", hint=HINT)
        return Never() if pattern is None else Like(field, text_of(pattern), escape)

    def _has(self) -> Condition:
        field = self._field()
        self._need(",")
        value = self._value()
        self._need(")")
        if value is None:
            return Never()
        if field.key is None or field.kind not in ("text", "mixed"):
            return compared(field, "=", value)
        return Has(field, text_of(value))

    def _value_first(self) -> Condition:
        """`20 > price`, and constants: TRUE, 0."""
        value = self._value()
        if self._now.text not in _SIGNS:
            if isinstance(value, str):
                raise _untranslated(self._now)
            return Never() if value is None else Every(()) if value else Some(())
        sign = _SIGNS[self._next().text]
        return compared(self._field(), _FLIPPED.get(sign, sign), value)

    def _field(self) -> Field:
        if self._take("number", "("):
            found = self._field()
            self._need(")")
            plain = found.kind == "number"
            return found if plain else Field(found.key, "number", as_number=True)
        token = self._next()
        named = self._names.named(token.unquoted) if token.kind in ("name", "quoted") else None
        if named is None or self._is("("):
            raise self._unknown(token)
        return self._fields[named.column]

    def _unknown(self, token: Token) -> VdistillError:
        plain = token.kind == "quoted" or (token.kind == "name" and not self._is("(", "select"))
        if plain and token.text.lower() not in _WORDS:
            return VdistillError(
                f"--where: no column {token.unquoted!r} in the metadata", hint=self._names.hint(token.unquoted)
            )
        return _untranslated(Token("name", f"{token.text}()") if self._is("(") else token)

    def _value(self) -> Value | None:
        """The value of a literal; None for NULL."""
        minus = self._take("-")
        token = self._next()
        if token.kind == "number":
            return _number(token.text, minus)
        if token.kind == "text" and not minus:
            return token.unquoted
        word = token.text.lower()
        if minus or token.kind != "name" or word not in _CONSTANTS:
            raise _untranslated(token)
        return _CONSTANTS[word]


_CONSTANTS = {"null": None, "true": True, "false": False}
_WORDS = frozenset({"case", "exists", "cast", "select", "and", "or", "in", "like", "between", "is"})


def _number(text: str, minus: bool) -> int | float:
    value = int(text) if text.isdigit() else float(text)
    return -value if minus else value


def _truth(field: Field, token: Token) -> Condition:
    """A column alone: true or false, or a number that is not 0."""
    if field.kind in ("boolean", "number"):
        return compared(field, "!=", 0)
    raise VdistillError(
        f"--where: {token.text} alone is neither true nor false", hint=f"compare it: {token.text} = 'x'"
    )


def _untranslated(token: Token) -> VdistillError:
    return VdistillError(f"--where: {token.text} is not translated for a database", hint=HINT)
