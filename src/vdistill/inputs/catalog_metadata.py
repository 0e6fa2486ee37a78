"""The metadata of a catalog: rows find their images, several rows of one image are put together, and it is said."""

from __future__ import annotations

import json
import math
import os
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any

from vdistill.inputs.tables import Line, read_rows

NAME = "file_name"
_BYTES = (bytes, bytearray, memoryview)


class CatalogMetadata:
    """The rows of a catalog's metadata files by item id.

    A later row of the same image, or a later file (in the order of their paths), adds its columns and overrules those
    that are there; an empty cell says nothing.
    """

    def __init__(self, root: Path, files: Mapping[str, Path]) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.unused: list[tuple[str, str]] = []  # what rows name, and why no image was found for it
        self._root = root
        self._names = _Names(files)
        self._counts: dict[str, _Count] = {}

    def read(self, table: Path) -> None:
        """Read one file. Raises VdistillError for one that cannot be read or has a broken line."""
        folder = PurePosixPath(table.parent.relative_to(self._root).as_posix())
        for line in read_rows(table, required=NAME):
            where = f"{table.name}, line {line.number}"
            if line.mended:
                self._count("half a character, replaced by U+FFFD, in {n} of metadata", "row", where)
            name = str(line.row[NAME])
            key = self._names.find(folder, name, self._root)
            if isinstance(key, str):
                if self._names.respelled(folder, name, key):
                    self._count(
                        "{n} of metadata spelled otherwise than the disk does, and matched", "file name",
                        f"{name!r} is {key}, {where}",
                    )  # fmt: skip
                self._add(key, line, table, where)
            else:
                self._unused(folder, name, line, table, key)

    def remarks(self) -> list[str]:
        """What the user should know, a line each."""
        counted = [count.said for count in self._counts.values()]
        columns: dict[str, list[str]] = {}
        for name in sorted({name for row in self.rows.values() for name in row}):
            columns.setdefault(name.lower(), []).append(name)
        several = [names for names in columns.values() if len(names) > 1]
        counted += [f"columns {' and '.join(names)} differ in letter case alone: --where takes them exactly as written"
                    for names in several]  # fmt: skip
        if "id" in columns:
            counted.append(
                f"the metadata has a column {columns['id'][0]}: --where reads it, and the item's id is file_name"
            )
        return counted

    def _add(self, key: str, line: Line, table: Path, where: str) -> None:
        known = self.rows.get(key)
        if known is None:
            known = self.rows[key] = {}
        else:
            self._count(
                "{n} for an image that has one already, put together column by column", "row", f"{key}, {where}"
            )
        for name, value in line.row.items():
            if name == NAME:
                continue
            if isinstance(value, _BYTES):
                self._count(f"bytes in column {name!r} of {table.name}, left out of {{n}}", "row", where)
                continue
            plain = None if value == "" and table.suffix == ".csv" else _plain(value)
            if known.get(name) is not None and plain not in (None, known[name]):
                self._count("{n} of metadata overruled by a later row", "value", f"{name} of {key}, {where}")
            if plain is not None or name not in known:
                known[name] = plain

    def _unused(self, folder: PurePosixPath, name: str, line: Line, table: Path, several: tuple[str, ...]) -> None:
        key = _relative(folder, name)
        where = f"{table.name}, line {line.number}"
        if several:
            self.unused.append((key, f"named in {where}, but may be any of {', '.join(several)}"))
            self._count("{n} of metadata may mean several images, left out", "row", f"{key}, {where}")
        else:
            self.unused.append((key, f"named in {where}, but absent"))
            self._count("{n} of metadata name images that are absent", "row", f"{key}, {where}")

    def _count(self, text: str, unit: str, example: str) -> None:
        self._counts.setdefault(text, _Count(text, unit, example)).number += 1


@dataclass
class _Count:
    """How often something was met, and where first."""

    text: str
    unit: str
    first: str
    number: int = 0

    @property
    def said(self) -> str:
        many = f"{self.number:,} {self.unit}{'s' if self.number > 1 else ''}"
        return f"{self.text.replace('{n}', many)} ({'the first: ' if self.number > 1 else ''}{self.first})"


class _Names:
    """Finds images by the names that metadata files have for them.

    A name counts as it is; else with slashes for backslashes, then in composed form (macOS writes é as two characters),
    then without its letter case, where that leaves one image only.
    """

    def __init__(self, files: Mapping[str, Path]) -> None:
        self._files = files
        self._folded: list[tuple[Callable[[str], str], dict[str, list[str]]]] = []

    def find(self, folder: PurePosixPath, name: str, root: Path) -> str | tuple[str, ...]:
        """The id of the image, or those that it could be."""
        if (key := _relative(folder, name)) in self._files:
            return key
        name = name.strip().replace("\\", "/")
        if name.startswith(f"{root.as_posix()}/"):
            folder, name = PurePosixPath(), name.removeprefix(f"{root.as_posix()}/")
        key = _relative(folder, name)
        if key in self._files:
            return key
        for form, known in self._forms():
            found = known.get(form(key), [])
            if found:
                return found[0] if len(found) == 1 else tuple(sorted(found))
        return ()

    def respelled(self, folder: PurePosixPath, name: str, key: str) -> bool:
        """Whether the name is not what the disk says."""
        return _relative(folder, name) != key

    def _forms(self) -> list[tuple[Callable[[str], str], dict[str, list[str]]]]:
        """The images by their names in other forms; made when first needed."""
        if not self._folded:
            for form in (_composed, _caseless):
                known: dict[str, list[str]] = {}
                for key in self._files:
                    known.setdefault(form(key), []).append(key)
                self._folded.append((form, known))
        return self._folded


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _caseless(name: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _relative(folder: PurePosixPath, name: str) -> str:
    return os.path.normpath(folder / name).replace(os.sep, "/")


def _plain(value: Any) -> Any:
    """A value as JSON can hold it: decimals as numbers, dates as texts; no NaN and no infinity, which become null."""
    if isinstance(value, str | int | None):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return json.loads(json.dumps(value, default=_other), parse_constant=lambda _: None)


def _other(value: Any) -> Any:
    if isinstance(value, _BYTES):  # within a list or a struct
        return None
    if isinstance(value, Decimal):
        if not value.is_finite():
            return None
        near = int(value) if value == value.to_integral_value() and abs(value) < 2**63 else float(value)
        return near if Decimal(repr(near)) == value else str(value)
    return str(value)
