"""The names of image files, and how images are found by those that metadata files have for them."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path, PurePosixPath

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".heif"}
)


class ImageNames:
    """The images of a catalog by name.

    A name is tried as it is; then with slashes for backslashes, then in composed form (macOS writes é as two
    characters), then without its letter case, where that leaves one image only.
    """

    def __init__(self, root: Path, files: Mapping[str, str]) -> None:
        self._root, self._files = root.as_posix(), files

    def find(self, folder: PurePosixPath, name: str) -> str | tuple[str, ...]:
        """The id of the image, or all that it could be; folder: that of the metadata file."""
        if (key := relative(folder, name)) in self._files:
            return key
        name = name.strip().replace("\\", "/")
        if name.startswith(f"{self._root}/"):
            folder, name = PurePosixPath(), name.removeprefix(f"{self._root}/")
        if (key := relative(folder, name)) in self._files:
            return key
        found = self._composed.get(_composed(key)) or self._caseless.get(_caseless(key)) or []
        return found[0] if len(found) == 1 else tuple(sorted(found))

    @cached_property
    def _composed(self) -> dict[str, list[str]]:
        return _by(_composed, self._files)

    @cached_property
    def _caseless(self) -> dict[str, list[str]]:
        return _by(_caseless, self._files)


def relative(folder: PurePosixPath, name: str) -> str:
    """The path of `name`, which is relative to `folder`, from the root of the catalog."""
    return os.path.normpath(os.path.join(folder, name)).replace(os.sep, "/")  # noqa: PTH118


def _by(form: Callable[[str], str], keys: Iterable[str]) -> dict[str, list[str]]:
    known: dict[str, list[str]] = {}
    for key in keys:
        known.setdefault(form(key), []).append(key)
    return known


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _caseless(name: str) -> str:
    return _composed(_composed(name).casefold())
