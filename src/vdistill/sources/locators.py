"""Locators: the texts that name images, made relative to a catalog, joined again, and opened."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import BinaryIO, Literal, Protocol
from urllib.parse import unquote

from vdistill.sources.local import LocalFile, NoFile
from vdistill.sources.stamps import Stamp

WEB = ("http://", "https://")
NOTHING = "none://"  # before the id of an item that has no image

_TAR = re.compile(r"tar:(\d+)\+(\d+):(.+)", re.DOTALL)
_PARQUET = re.compile(r"parquet:(\d+)\+(\d+)\+([^:]+):(.+)", re.DOTALL)
_INSIDE = re.compile(r"(tar|parquet):([^:]*):(.+)", re.DOTALL)


class Source(Protocol):
    """The bytes of one image, wherever they are."""

    def open(self, mode: Literal["rb"] = "rb") -> BinaryIO:
        """A seekable file of its bytes. Raises OSError where it cannot be read now."""

    def stamp(self) -> Stamp:
        """What changes when the bytes do, without reading them. Raises OSError where it cannot be had."""


def source_at(locator: str | Path, stamp: Stamp | None = None) -> Source:
    """The image that a locator names; nothing is opened yet.

    stamp: as a listing gave it: what is elsewhere then need not be asked again whether the cache still holds for it.
    """
    if isinstance(locator, str) and ":" in locator:
        if locator.startswith(NOTHING):
            return NoFile()
        if is_remote(locator) or _inside(locator):
            return _elsewhere(locator, stamp)
    return LocalFile(locator)


def _elsewhere(locator: str, stamp: Stamp | None) -> Source:
    """An image that is no file of this machine. Imports are here: `vdistill query` needs none of them."""
    from vdistill.sources.http import HttpFile
    from vdistill.sources.parquet_cells import ParquetCell
    from vdistill.sources.remote import RemoteFile
    from vdistill.sources.tar_part import TarPart

    if found := _TAR.fullmatch(locator):
        return TarPart(found[3], int(found[1]), int(found[2]), stamp)
    if found := _PARQUET.fullmatch(locator):
        return ParquetCell(found[4], int(found[1]), int(found[2]), unquote(found[3]), stamp)
    if locator.startswith(WEB):
        return HttpFile(locator)
    return RemoteFile(locator, stamp) if is_remote(locator) else LocalFile(locator)


def is_remote(locator: str | Path) -> bool:
    """Whether its bytes come from elsewhere."""
    return isinstance(locator, str) and "://" in locator


def order(locator: str) -> str:
    """Sorts locators as they are best read: the parts of a container one after the other.

    Those of the web are equal: in the order of their ids the hosts are mixed, and the items as in a folder.
    """
    if ":" not in locator:
        return locator
    if locator.startswith(WEB):
        return ""
    if not (inside := _inside(locator)):
        return locator
    return "\0".join([inside[2], *(number.zfill(15) for number in inside[1].split("+"))])


def absolute(root: str) -> str:
    """A catalog as every working directory finds it."""
    return root if "://" in root else str(Path(root).resolve())


def joined(root: str, path: str) -> str:
    """The locator of `path`, which is relative to the catalog `root`, or is a locator itself."""
    if inside := _inside(path):
        kind, part, container = inside
        return f"{kind}:{part}:{joined(root, container)}"
    if "://" in path or os.path.isabs(path):  # noqa: PTH117
        return path
    return f"{root.rstrip('/')}/{path}" if "://" in root else os.path.join(root, path)  # noqa: PTH118


def relative(root: str, locator: str) -> str:
    """`locator` as `joined` takes it: relative to `root` where it lies below, with slashes on every system."""
    if inside := _inside(locator):
        kind, part, container = inside
        return f"{kind}:{part}:{relative(root, container)}"
    start = f"{root.rstrip('/')}/" if "://" in root else os.path.join(root, "")  # noqa: PTH118
    if not locator.startswith(start):
        return locator
    path = locator[len(start) :].replace(os.sep, "/")
    return escaped(path)


def escaped(path: str) -> str:
    """A relative path as `joined` takes it: a file may be called like a part of another."""
    return f"./{path}" if _inside(path) else path


def _inside(locator: str) -> tuple[str, ...] | None:
    """Kind, part and container of a part of another file; None for a file."""
    if not locator.startswith(("tar:", "parquet:")):  # much faster than the expression, which few locators need
        return None
    found = _INSIDE.fullmatch(locator)
    return found.groups() if found else None
