"""The products of an XML feed, RSS 2.0 or Atom with Google's namespace: read as a stream, without a document type."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.parsers import expat

from vdistill.errors import VdistillError
from vdistill.inputs.tables import Line, Row

_PART = 1 << 16  # bytes
_LONGEST = 1 << 24  # characters of one product
_ITEMS = frozenset({"item", "entry"})  # of RSS and of Atom
_GOOGLE = "base.google.com/"  # in each version of its namespace
_MARKED_UP = frozenset({"title", "description", "summary", "content"})  # elements that may hold elements and are text


def xml_rows(path: Path) -> Iterator[Line]:
    """A row for each product; an element that is repeated becomes a list, and one made of others is left out.

    Raises VdistillError for what is not well-formed, and for a document type, which may define entities without end.
    """
    reader = _Reader(path)
    with path.open("rb") as file:
        try:
            while part := file.read(_PART):
                reader.parser.Parse(part)
                yield from reader.taken()
            reader.parser.Parse(b"", True)
        except expat.ExpatError as error:
            cut = error.code in _CUT_SHORT
            raise VdistillError(
                f"{path}, line {error.lineno}: not XML ({expat.ErrorString(error.code)})",
                hint="the file seems to be cut short: fetch it again" if cut else "have the feed written again",
            ) from error
    if not reader.items:
        raise VdistillError(
            f"{path} is XML, but no product feed: it has neither <item> nor <entry>",
            hint="give a feed of the Google Merchant kind: RSS 2.0 or Atom",
        )


_CUT_SHORT = {
    expat.errors.codes[text]
    for text in (expat.errors.XML_ERROR_NO_ELEMENTS, expat.errors.XML_ERROR_UNCLOSED_TOKEN,
                 expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION, expat.errors.XML_ERROR_PARTIAL_CHAR)
}  # fmt: skip


class _Reader:
    """Collects the products that the parser has come past.

    Of an element that Google's namespace has and another too (an Atom entry has an id of its own), Google's counts.
    """

    def __init__(self, path: Path) -> None:
        self.items = 0
        self._path = path
        self._lines: list[Line] = []
        self._depth = 0  # of the element, from that of the product; 0 outside of one
        self._name, self._first = ("", ""), 0
        self._texts: list[str] = []
        self._long = 0
        self._plain = True
        self._google: dict[str, list[str]] = {}
        self._others: dict[str, list[str]] = {}
        self.parser = parser = expat.ParserCreate(namespace_separator=" ")
        parser.buffer_text = True
        parser.StartDoctypeDeclHandler = self._refuse
        parser.StartElementHandler, parser.EndElementHandler = self._start, self._end
        parser.CharacterDataHandler = self._text

    def taken(self) -> list[Line]:
        """What was collected since the last call."""
        lines, self._lines = self._lines, []
        return lines

    def _refuse(self, *_: object) -> None:
        raise VdistillError(
            f"{self._path} has a document type, which a product feed does not need",
            hint="remove the line that begins with <!DOCTYPE",
        )

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        space, _, name = tag.rpartition(" ")
        if not self._depth:
            if name in _ITEMS:
                self._depth, self._long, self._first = 1, 0, self.parser.CurrentLineNumber
                self._google, self._others = {}, {}
            return
        self._depth += 1
        if self._depth == 2:
            self._name, self._plain, self._texts = (space, name), True, []
            if name == "link" and attributes.get("rel", "alternate") == "alternate":
                self._texts.append(attributes.get("href", ""))
        elif self._name[1] not in _MARKED_UP:
            self._plain = False

    def _text(self, text: str) -> None:
        if self._depth >= 2:
            self._long += len(text)
            if self._long > _LONGEST:
                raise VdistillError(
                    f"{self._path}, line {self._first}: a product of more than {_LONGEST:,} characters",
                    hint="have the feed written again",
                )
            self._texts.append(text)

    def _end(self, _: str) -> None:
        if self._depth == 2 and self._plain and (text := "".join(self._texts).strip()):
            space, name = self._name
            (self._google if _GOOGLE in space else self._others).setdefault(name, []).append(text)
        if self._depth == 1:
            self.items += 1
            found: Row = {name: _one(texts) for name, texts in {**self._others, **self._google}.items()}
            self._lines.append(Line(self._first, found))
        self._depth = max(0, self._depth - 1)


def _one(texts: list[str]) -> Any:
    return texts[0] if len(texts) == 1 else texts
