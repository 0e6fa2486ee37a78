"""What may be asked: each field says its kind and bounds, reads its value, and describes itself for OpenAPI."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from vdistill.serve.refusals import wrong
from vdistill.serve.settings import MOST_LETTERS

Kind = Literal["text", "words", "integer", "number", "boolean"]

_TYPE: dict[Kind, Any] = {"text": "string", "integer": "integer", "number": "number", "boolean": "boolean"}
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
_INTEGER = re.compile(r"[+-]?[0-9]{1,9}")
_NUMBER = re.compile(r"[+-]?([0-9]{1,18}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,3})?")


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a request.

    kind: "words" are one text or several, as the arguments of `vdistill query`.  told: its description.
    least, most: bounds of a number; of a text `most` is its length.
    """

    name: str
    kind: Kind
    told: str
    default: Any = None
    least: float | None = None
    most: float | None = None
    choices: tuple[Any, ...] = ()

    def of_texts(self, values: Sequence[str]) -> Any:
        """The value in a query string or a form. Raises Refused for one that is not of its kind."""
        if self.kind == "words":
            return self.checked(list(values))
        if len(values) > 1:
            raise wrong(f"{self.name} is given {len(values)} times", "give it once")
        return self.checked(self._converted(values[0]))

    def checked(self, value: Any) -> Any:
        """The value of a JSON document. Raises Refused for one that is not of its kind, or out of bounds."""
        if self.kind == "words":
            return self._words(value)
        if not self._is_kind(value):
            raise wrong(f"{self.name} is not {self._described()}", self.told)
        if self.choices and value not in self.choices:
            raise wrong(f"{self.name} is none of {', '.join(map(str, self.choices))}", self.told)
        if self.kind == "text":
            return _text(self.name, value)
        if (self.least is not None and value < self.least) or (self.most is not None and value > self.most):
            raise wrong(f"{self.name} is not between {self.least:g} and {self.most:g}", self.told)
        return float(value) if self.kind == "number" else value

    def schema(self) -> dict[str, Any]:
        """Its JSON schema."""
        if self.kind == "words":
            text = {"type": "string", "minLength": 1, "maxLength": MOST_LETTERS}
            return {"oneOf": [text, {"type": "array", "items": text, "minItems": 1}]}
        bounds = {"minimum": self.least, "maximum": self.most}
        found = {"type": _TYPE[self.kind], **{name: value for name, value in bounds.items() if value is not None}}
        if self.kind == "text" and not self.choices:
            found["maxLength"] = MOST_LETTERS
        if self.choices:
            found["enum"] = list(self.choices)
        return found if self.default is None else {**found, "default": self.default}

    def _converted(self, text: str) -> Any:
        if self.kind == "boolean" and text.lower() in (*_TRUE, *_FALSE):
            return text.lower() in _TRUE
        if self.kind == "integer" and _INTEGER.fullmatch(text):
            return int(text)
        if self.kind == "number" and _NUMBER.fullmatch(text):
            return float(text)
        return text

    def _is_kind(self, value: Any) -> bool:
        if self.kind in ("text", "boolean"):
            return isinstance(value, str if self.kind == "text" else bool)
        if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e18:
            return False
        return math.isfinite(value) and (self.kind == "number" or isinstance(value, int))

    def _described(self) -> str:
        return {"text": "a text", "integer": "a whole number", "number": "a number"}.get(self.kind, "true or false")

    def _words(self, value: Any) -> list[str]:
        words = [value] if isinstance(value, str) else value
        if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
            raise wrong(f"{self.name} is neither a text nor several", self.told)
        if sum(map(len, words)) > MOST_LETTERS or len(words) > MOST_LETTERS:
            raise wrong(f"{self.name} has more than {MOST_LETTERS:,} letters", "shorten it")
        return [_text(self.name, word) for word in words]


def read_texts(fields: Sequence[Field], given: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The values of a query string or a form, with defaults. Raises Refused for others."""
    known = _known(fields, given)
    return {name: field.of_texts(given[name]) if name in given else field.default for name, field in known.items()}


def read_json(fields: Sequence[Field], given: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a JSON object, with defaults; null counts as left out. Raises Refused as `read_texts` does."""
    known = _known(fields, given)
    return {
        name: field.checked(given[name]) if given.get(name) is not None else field.default
        for name, field in known.items()
    }


def _known(fields: Sequence[Field], given: Mapping[str, Any]) -> dict[str, Field]:
    known = {field.name: field for field in fields}
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(str(name)[:100], known, n=2)
            asked = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}"
            raise wrong(f"there is no field {str(name)[:100]!r}", asked)
    return known


def _text(name: str, value: str) -> str:
    if len(value) > MOST_LETTERS:
        raise wrong(f"{name} has more than {MOST_LETTERS:,} letters", "shorten it")
    if "\0" in value:
        raise wrong(f"{name} contains a NUL character", "leave it out")
    return value
