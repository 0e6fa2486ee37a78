"""Locators: the texts that name images, made relative to a catalog, joined again, and opened."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import BinaryIO, Literal, Protocol, TypeAlias

from vdistill.sources.http import HttpFile
from vdistill.sources.local import LocalFile, NoFile

Stamp: TypeAlias = "tuple[int, int, int]"  # size, time of the last change, and whatever else changes with the content

NOTHING = "none://"  # before the id of an item that has no image

_INSIDE = re.compile(r"(tar|parquet):([^:]*):(.+)", re.DOTALL)


class Source(Protocol):
    """The bytes of one image, wherever they are."""

    def open(self, mode: Literal["rb"] = "rb") -> BinaryIO:
        """A seekable file of its bytes. Raises OSError where it cannot be read now."""

    def stamp(self) -> Stamp:
        """What changes when the bytes do, without reading them. Raises OSError where it cannot be had."""


def source_at(locator: str | Path) -> Source:
    """The image that a locator names; nothing is opened yet."""
    text = str(locator)
    if text.startswith(("http://", "https://")):
        return HttpFile(text)
    if text.startswith(NOTHING):
        return NoFile()
    return LocalFile(locator)


def absolute(root: str) -> str:
    """A catalog as every working directory finds it."""
    return root if "://" in root else str(Path(root).resolve())


def joined(root: str, path: str) -> str:
    """The locator of `path`, which is relative to the catalog `root`, or is a locator itself."""
    if inside := _INSIDE.fullmatch(path):
        kind, part, container = inside.groups()
        return f"{kind}:{part}:{joined(root, container)}"
    if "://" in path or os.path.isabs(path):  # noqa: PTH117
        return path
    return f"{root.rstrip('/')}/{path}" if "://" in root else os.path.join(root, path)  # noqa: PTH118


def relative(root: str, locator: str) -> str:
    """`locator` as `joined` takes it: relative to `root` where it lies below, with slashes on every system."""
    if inside := _INSIDE.fullmatch(locator):
        kind, part, container = inside.groups()
        return f"{kind}:{part}:{relative(root, container)}"
    start = f"{root.rstrip('/')}/" if "://" in root else os.path.join(root, "")  # noqa: PTH118
    if not locator.startswith(start):
        return locator
    path = locator[len(start) :].replace(os.sep, "/")
    return f"./{path}" if _INSIDE.fullmatch(path) else path  # a file may be called like a part of another


def shown(locator: str) -> str:
    """The locator without the query of a URL, which may hold a signature, and without who asks."""
    return re.sub(r"(?<=://)[^/@]*@", "", locator.partition("?")[0]) if "://" in locator else locator
