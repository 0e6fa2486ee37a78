"""The metadata of a catalog: rows find their images, and several rows of one image are merged, with remarks."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from vdistill.inputs.image_names import ImageNames, relative
from vdistill.inputs.item_table import PAGE, ItemTable, parts, read
from vdistill.inputs.plain_values import BYTES, plain
from vdistill.inputs.tables import Line, read_rows
from vdistill.sources import joined

NAME = "file_name"


class CatalogMetadata:
    """The rows of a catalog's metadata files by item id.

    A later row of the same image, or a later file (in the order of their paths), adds its columns and overrides
    existing values; empty cells are ignored.
    """

    def __init__(self, root: str, items: ItemTable) -> None:
        self.unused: list[tuple[str, str]] = []  # names in rows, and why no image was found for them
        self.imageless: dict[str, dict[str, Any]] = {}  # the rows of images that are absent, by the names given
        self._root, self._items = root, items
        self._names = ImageNames(root, items)
        self._known: dict[str, str | None] = {}  # of the images that these rows name, before them
        self._changed: dict[str, dict[str, Any]] = {}  # by these rows, not written yet
        self._columns: set[str] = set()
        self._counts: dict[str, _Count] = {}

    def read(self, table: Path, name: str) -> None:
        """Read one file, which the catalog has as `name`.

        Raises VdistillError for one that cannot be read or has a broken line.
        """
        folder, called = str(PurePosixPath(name).parent), table.name
        for lines in parts(read_rows(table, required=NAME), PAGE):
            self._known = self._names.look_up(folder, [str(line.row[NAME]) for line in lines])
            for line in lines:
                self._enter(line, folder, table, f"{called}, line {line.number}")
            self._items.set_metadata(self._changed.items())
            self._changed.clear()

    def _enter(self, line: Line, folder: str, table: Path, where: str) -> None:
        if line.repaired:
            self._count("half a character, replaced by U+FFFD, in {n} of metadata", "row", where)
        name = str(line.row[NAME])
        key = self._names.find(folder, name, self._known)
        written = name if key == name else relative(folder, name)
        if not isinstance(key, str):
            self._unused(written, key, where)
            if not key and self._may_be_item(written):
                cells = {name: plain(value) for name, value in line.row.items() if not isinstance(value, BYTES)}
                self.imageless.setdefault(written, {}).update(
                    (name, value) for name, value in cells.items() if name != NAME and value not in (None, "")
                )
            return
        if written != key:
            self._count(
                "{n} of metadata spelled differently than on disk, and matched", "file name",
                f"{name!r} is {key}, {where}",
            )  # fmt: skip
        self._add(key, line, table, where)

    def remarks(self) -> list[str]:
        """What the user should know, one line each."""
        columns: dict[str, list[str]] = {}
        for name in sorted(self._columns):
            columns.setdefault(name.lower(), []).append(name)
        said = [str(count) for count in self._counts.values()]
        said += [
            f"columns {' and '.join(names)} differ in letter case alone: --where takes them exactly as written"
            for names in columns.values()
            if len(names) > 1
        ]
        if "id" in columns:
            said.append(
                f"the metadata has a column {columns['id'][0]}: --where reads it, and the item's id is file_name"
            )
        return said

    def _may_be_item(self, name: str) -> bool:
        """Whether an item may have this name without an image: within the catalog, and of no file that is there.

        What is there is no image that may be read, such as a link to elsewhere.
        """
        path = PureWindowsPath(name)  # which knows slashes, backslashes and drives
        outside = bool(path.anchor) or ".." in path.parts or "\0" in name
        return not outside and ("://" in self._root or not os.path.lexists(joined(self._root, name)))

    def _add(self, key: str, line: Line, table: Path, where: str) -> None:
        known = self._row_of(key, where)
        for name, value in line.row.items():
            if name == NAME:
                continue
            if isinstance(value, BYTES):
                self._count(f"bytes in column {name!r} of {table.name}, left out of {{n}}", "row", where)
                continue
            value = None if value == "" and table.suffix == ".csv" else plain(value)
            if known.get(name) is not None and value not in (None, known[name]):
                self._count("{n} of metadata overridden by a later row", "value", f"{name} of {key}, {where}")
            if value is not None or name not in known:
                known[name] = value
                self._columns.add(name)

    def _row_of(self, key: str, where: str) -> dict[str, Any]:
        """What is known of an item, to be changed."""
        found = self._changed.get(key)
        if found is None:
            text = (self._known if key in self._known else self._items.texts_of([key]))[key]
            found = None if text is None else read(text)
        if found is not None:
            self._count("{n} for an image that has one already, merged column by column", "row", f"{key}, {where}")
        return self._changed.setdefault(key, found or {})

    def _unused(self, key: str, several: tuple[str, ...], where: str) -> None:
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

    def __str__(self) -> str:
        many = f"{self.number:,} {self.unit}{'s' if self.number > 1 else ''}"
        return f"{self.text.replace('{n}', many)} ({'the first: ' if self.number > 1 else ''}{self.first})"
