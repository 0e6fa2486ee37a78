"""A member of a tar: bytes from an offset on, of a file here or elsewhere."""

from __future__ import annotations

import errno
import io
from pathlib import Path
from typing import BinaryIO, Literal

from vdistill.sources.cache import cache_in_use, through_cache
from vdistill.sources.local import LocalFile
from vdistill.sources.remote import read_bytes, remote_stamp
from vdistill.sources.stamps import Stamp, version_of

_HEADER = 512  # bytes of a header, which lies before the data


class TarPart:
    """`size` bytes at `offset` of the tar `file`, a path or a URL.  stamp: of the tar, as a listing gave it."""

    __slots__ = ("_file", "_offset", "_size", "_stamp")

    def __init__(self, file: str, offset: int, size: int, stamp: Stamp | None = None) -> None:
        self._file, self._offset, self._size, self._stamp = file, offset, size, stamp

    def open(self, mode: Literal["rb"] = "rb") -> BinaryIO:
        """Its bytes in memory. Raises OSError where they cannot be read now, or are of no such member any more."""
        if "://" not in self._file or cache_in_use() is None:
            return io.BytesIO(self._read())
        return through_cache(f"tar:{self._offset}+{self._size}:{self._file}", version_of(self.stamp()), self._read)

    def stamp(self) -> Stamp:
        """The stamp of the tar. Raises OSError."""
        return self._stamp or (remote_stamp(self._file) if "://" in self._file else LocalFile(self._file).stamp())

    def _read(self) -> bytes:
        """The member's bytes, after its header, which tells whether this is still a member of that size."""
        import tarfile

        start, end = self._offset - _HEADER, self._offset + self._size
        if "://" in self._file:
            read = read_bytes(self._file, start, end)
        else:
            with Path(self._file).open("rb") as file:
                file.seek(start)
                read = file.read(end - start)
        try:
            header = tarfile.TarInfo.frombuf(read[:_HEADER], "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            header = None
        if header is None or header.size != self._size or len(read) != end - start:
            raise OSError(errno.EIO, "the tar has changed since it was listed")
        return read[_HEADER:]
