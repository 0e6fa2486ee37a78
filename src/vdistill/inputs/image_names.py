"""The names of image files, and how images are found by those that metadata files have for them."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Container, Sequence
from pathlib import Path

from vdistill.inputs.item_table import ItemTable

_TOP = "."


class ImageNames:
    """The images of a catalog by name.

    A name is tried as it is; then with slashes for backslashes, then in composed form (macOS writes é as two
    characters), then without its letter case, where that leaves one image only.
    """

    def __init__(self, root: str, items: ItemTable) -> None:
        self._root, self._items = root if "://" in root else Path(root).as_posix(), items

    def look_up(self, folder: str, names: Sequence[str]) -> dict[str, str | None]:
        """The images that are called exactly so, as `ItemTable.texts_of` gives them. names: at most `PART`."""
        found = self._items.texts_of(names) if folder == _TOP else {}
        return found | self._items.texts_of([relative(folder, name) for name in names if name not in found])

    def find(self, folder: str, name: str, there: Container[str]) -> str | tuple[str, ...]:
        """The id of the image, or all that it could be; folder: that of the metadata file, "." for the root.

        there: what `look_up` gave for this name and others.
        """
        if folder == _TOP and name in there:
            return name
        if (key := relative(folder, name)) in there:
            return key
        name = name.strip().replace("\\", "/")
        if name.startswith(f"{self._root}/"):
            folder, name = _TOP, name.removeprefix(f"{self._root}/")
        if self._items.has(key := relative(folder, name)):
            return key
        found = self._items.written_as(_composed, key) or self._items.written_as(_caseless, key)
        return found[0] if len(found) == 1 else tuple(found)


def relative(folder: str, name: str) -> str:
    """The path of `name`, which is relative to `folder`, from the root of the catalog."""
    return os.path.normpath(os.path.join(folder, name)).replace(os.sep, "/")  # noqa: PTH118


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _caseless(name: str) -> str:
    return _composed(_composed(name).casefold())
