"""The texts that metadata has about items, field by field: what may go into an item's vector beside its image."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from html.parser import HTMLParser
from typing import Any

from vdistill.errors import VdistillError
from vdistill.inputs.item_keys import GROUP_COLUMNS
from vdistill.records import Item, title_column

IMAGE, AUTO = "image", "auto"
MOST_FIELDS = 6  # that `auto` takes: of more columns those with most text
_UNREAD = frozenset({"script", "style"})  # elements whose content is not text
_CODE = re.compile(r"\S*\d\S*|\w+://\S+")
_WORDS = 0.5  # of the letters, digits and signs of a column of words at least so many are letters


def parse(text: str) -> tuple[str, ...] | None:
    """The columns that `image,COLUMN,…` names beside the image; None for `auto`.

    Raises VdistillError where the image is missing, or a name is empty or twice there.
    """
    names = [name.strip() for name in text.split(",")]
    if names == [AUTO]:
        return None
    if names[0] != IMAGE or not all(names) or len({*names}) < len(names):
        raise VdistillError(
            f"--fields {text}: the image comes first, then columns of the metadata, each once",
            hint=f"for example --fields {IMAGE},title,description; or {AUTO}, or {IMAGE} alone",
        )
    return tuple(names[1:])


def require(text: str, items: Collection[Item]) -> None:
    """Raise VdistillError for what `parse` refuses, and for a field in which no item has text."""
    for name in parse(text) or ():
        if not any(text_of(name, item.metadata.get(name)) for item in items):
            known = sorted({name for item in items for name, value in item.metadata.items() if text_of(name, value)})
            close = difflib.get_close_matches(name, known, n=1)
            raise VdistillError(
                f"no item has text in a column {name!r}",
                hint=(f"did you mean {close[0]}? " if close else "")
                + (f"the metadata has: {', '.join(known)}" if known else "the metadata holds no text"),
            )


def text_columns(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The columns that hold words about items, in the order in which they occur: neither groups, numbers nor codes.

    A code is a single word with digits, or a link.
    """
    names = dict.fromkeys(name for row in rows for name in row if name.lower() not in {*GROUP_COLUMNS, "id"})
    return tuple(name for name in names if _holds_words([row[name] for row in rows if row.get(name) is not None]))


def automatic(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The columns that `auto` takes, in their order: the one of the title, and those with most text."""
    columns = text_columns(rows)
    size = {name: sum(len(text_of(name, row.get(name))) for row in rows) for name in columns}
    titles = {title_column(row) for row in rows}
    kept = sorted(columns, key=lambda name: (name not in titles, -size[name]))[:MOST_FIELDS]
    return tuple(name for name in columns if name in kept)


def texts_of(metadata: Mapping[str, Any], fields: Sequence[str]) -> tuple[str, ...]:
    """The text of each field, empty where the item has none."""
    return tuple(text_of(name, metadata.get(name)) for name in fields)


def text_of(name: str, value: Any) -> str:
    """The text of one cell: without HTML; a list's entries joined by commas; a number after its column's name."""
    if isinstance(value, str):
        return " ".join(_plain(value).split())
    if isinstance(value, bool):
        return name if value else ""
    if isinstance(value, int | float):
        return f"{name} {value:,.15g}"
    if isinstance(value, list):
        return ", ".join(text for entry in value if isinstance(entry, str) and (text := text_of(name, entry)))
    return ""


def kinds(fields: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What is made of fields that are not plain text, one remark each."""
    for name in fields:
        found = [value for row in rows if (value := row.get(name)) is not None and not isinstance(value, str)]
        if any(isinstance(value, list) for value in found):
            yield f"field {name}: the texts of a list are joined by commas"
        if any(isinstance(value, int | float) for value in found):
            yield f"field {name}: numbers are read as {text_of(name, next(_numbers(found)))!r}"
        if any(isinstance(value, dict) for value in found):
            yield f"field {name}: objects are left out, since they are no text"


def _numbers(values: Iterable[Any]) -> Iterator[Any]:
    return (value for value in values if isinstance(value, int | float))


def _holds_words(values: Sequence[Any]) -> bool:
    texts = [text for value in values if isinstance(value, str | list) and (text := text_of("", value))]
    if not texts:
        return False
    signs = [sum(not letter.isspace() for letter in text) for text in texts]
    letters = [sum(letter.isalpha() for letter in text) for text in texts]
    codes = {text for text in texts if _CODE.fullmatch(text)}
    return sum(letters) >= _WORDS * sum(signs) and len(codes) <= len(texts) / 2


def _plain(text: str) -> str:
    """The text without tags, comments and character references; unchanged where it has none."""
    if "&" not in text and not re.search(r"<[a-zA-Z/!]", text):
        return text
    reader = _Text()
    reader.feed(text)
    reader.close()
    return "".join(reader.parts)


class _Text(HTMLParser):
    """Collects what a browser would show; each tag ends a word."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unread = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._unread += tag in _UNREAD
        self.parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        self._unread -= tag in _UNREAD and self._unread > 0
        self.parts.append(" ")

    def handle_data(self, data: str) -> None:
        if not self._unread:
            self.parts.append(data)
