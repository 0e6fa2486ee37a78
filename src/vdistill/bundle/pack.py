"""A pack: the whole index of one model in one file, which is searched where it lies.

It is an SQLite file, that of the items, with the other files of the index behind it: SQLite reads as many pages as its
header says and no further, so nothing has to be unpacked. Each part begins at a multiple of 64 KiB, so it is mapped
into memory from there. At the end are a table of the parts (JSON) and a footer of fixed size, which says where the
table is, the version of the format, and the hash of the table and of `manifest.json`. That is one of the parts, and
has the hashes of all others.
"""

from __future__ import annotations

import hashlib
import io
import json
import mmap
import os
import struct
import weakref
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeAlias

from vdistill.errors import VdistillError

SUFFIX = ".vdx"
VERSION = 1
ALIGNMENT = 65_536  # bytes; what Windows needs for a mapping, and a multiple of every page
APPLICATION = 0x76647831  # "vdx1" in SQLite's header, so that a pack that was cut short is known as one
FOOTER = struct.Struct("<QQ32sI20s")  # offset and size of the table, hash, version, magic
MANIFEST = "manifest.json"
MAGIC = b"vdistill pack\n".ljust(20, b"\0")
REMEDY = "copy it again, or pack the index again: vdistill index --pack"
_HEADER = slice(0, 16), b"SQLite format 3\0"
_APPLICATION = slice(68, 72)
_LARGEST_TABLE = 16 * 2**20


class Size(NamedTuple):
    """What `Path.stat` tells of a part."""

    st_size: int


class Pack:
    """An open pack. The file stays open as long as this is used: a newer one may take its place meanwhile."""

    def __init__(self, path: Path, file: io.FileIO) -> None:
        """Raises VdistillError where the file is no pack, damaged, or of a newer version."""
        self.path = path
        self.file = file
        weakref.finalize(self, file.close)
        self.parts = _parts(path, file)

    @classmethod
    def open(cls, path: Path) -> Pack:
        """Open a file. Raises VdistillError as `__init__` does, and where it cannot be read."""
        try:
            file = io.FileIO(path, "rb")
        except OSError as error:
            raise VdistillError(f"cannot read the pack {path}: {error.strerror}", hint="check the path") from error
        try:
            return cls(path, file)
        except BaseException:
            file.close()
            raise

    def check_same(self) -> None:
        """Raise VdistillError where another file has taken the place of this one since it was opened."""
        try:
            same = os.path.samestat(os.fstat(self.file.fileno()), self.path.stat())
        except OSError:
            same = False
        if not same:
            raise VdistillError(f"the pack {self.path} was replaced while it was opened", hint="try again")


@dataclass(frozen=True)
class PackedPath:
    """A part of a pack, or a folder of parts; what index files need of `pathlib.Path`."""

    pack: Pack
    name: str = ""

    def __truediv__(self, name: str) -> PackedPath:
        return PackedPath(self.pack, f"{self.name}/{name}" if self.name else name)

    def __str__(self) -> str:
        return f"{self.pack.path} ({self.name})" if self.name else str(self.pack.path)

    @property
    def parent(self) -> PackedPath:
        """The folder of it."""
        return PackedPath(self.pack, self.name.rpartition("/")[0])

    @cached_property
    def span(self) -> tuple[int, int]:
        """Its first byte in the pack, and its size. Raises FileNotFoundError where there is none."""
        if self.name not in self.pack.parts:
            raise FileNotFoundError(2, "it is not in the pack", str(self))
        return self.pack.parts[self.name]

    def exists(self) -> bool:
        """Whether there is such a part."""
        return self.name in self.pack.parts

    def stat(self) -> Size:
        """Its size."""
        return Size(self.span[1])

    def open(self, mode: str = "rb") -> IO[bytes]:
        """Read it as a file."""
        return io.BufferedReader(_Window(self.pack, *self.span), 1 << 20)

    def read_bytes(self) -> bytes:
        """All of it."""
        with self.open() as file:
            return file.read()

    def read_text(self, encoding: str = "utf-8") -> str:
        """All of it, as a text."""
        return self.read_bytes().decode(encoding)

    def map(self) -> mmap.mmap:
        """It in memory, read only. Raises ValueError for an empty one."""
        start, size = self.span
        if not size:
            raise ValueError("it is empty")
        return mmap.mmap(self.pack.file.fileno(), size, access=mmap.ACCESS_READ, offset=start)


Place: TypeAlias = Path | PackedPath  # a file or folder of an index, on the disk or in a pack


def place_of(path: Path) -> Place:
    """The index at a path: a folder, or what is in a pack. Raises VdistillError for a file that is no pack."""
    return path if path.is_dir() else PackedPath(Pack.open(path))


class _Window(io.RawIOBase):
    """A part as a file; each has a position of its own, as they share one descriptor."""

    def __init__(self, pack: Pack, start: int, size: int) -> None:
        super().__init__()
        self._mapped = mmap.mmap(pack.file.fileno(), size, access=mmap.ACCESS_READ, offset=start) if size else b""
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = self._mapped[self._at : self._at + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: len(self._mapped)}[whence]
        self._at = max(0, base + offset)
        return self._at

    def close(self) -> None:
        if isinstance(self._mapped, mmap.mmap):
            self._mapped.close()
        super().close()


def _parts(path: Path, file: io.FileIO) -> dict[str, tuple[int, int]]:
    """First byte and size of each part. Raises VdistillError for what is no whole pack."""
    try:
        size, head = os.fstat(file.fileno()).st_size, file.read(100)
        file.seek(max(0, size - FOOTER.size))
        tail = file.read(FOOTER.size)
        if tail[-len(MAGIC) :] != MAGIC:
            raise _other(path, head)
        start, length, sha256, version, _ = FOOTER.unpack(tail)
        if version > VERSION:
            raise VdistillError(f"{path} was made by a newer vdistill", hint="upgrade: pip install --upgrade vdistill")
        if length > _LARGEST_TABLE or start + length + FOOTER.size != size:
            raise _damaged(path)
        file.seek(start)
        table = file.read(length)
    except OSError as error:
        raise VdistillError(f"cannot read the pack {path}: {error.strerror}", hint=REMEDY) from error
    found = _checked(path, table, start)
    if digest(_part(file, found.get(MANIFEST, (0, 0))), table) != sha256:
        raise _damaged(path)
    return found


def digest(manifest: bytes, table: bytes) -> bytes:
    """The hash in the footer."""
    return hashlib.sha256(manifest + table).digest()


def _part(file: io.FileIO, span: tuple[int, int]) -> bytes:
    file.seek(span[0])
    return file.read(min(span[1], _LARGEST_TABLE))


def _checked(path: Path, table: bytes, end: int) -> dict[str, tuple[int, int]]:
    """The table of parts, which must lie within the first `end` bytes."""
    try:
        found = {str(name): (int(start), int(size)) for name, (start, size) in json.loads(table).items()}
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise _damaged(path) from None
    if any(start % ALIGNMENT or not 0 <= start <= start + size <= end for start, size in found.values()):
        raise _damaged(path)
    return found


def _other(path: Path, head: bytes) -> VdistillError:
    place, magic = _HEADER
    if head[place] == magic and head[_APPLICATION] == APPLICATION.to_bytes(4, "big"):
        return VdistillError(f"the pack {path} is cut short", hint=REMEDY)
    return VdistillError(f"{path} is no pack", hint="give a file that `vdistill index --pack` has written")


def _damaged(path: Path) -> VdistillError:
    return VdistillError(f"the pack {path} is damaged: its content is not what was written", hint=REMEDY)
