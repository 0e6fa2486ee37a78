"""A file of this machine."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO, Literal


class LocalFile:
    """An image file on a disk of this machine."""

    __slots__ = ("path",)

    def __init__(self, path: Path | str) -> None:
        self.path = path

    def open(self, mode: Literal["rb"] = "rb") -> BinaryIO:
        """The open file. Raises OSError where it cannot be read, or is no regular file."""
        self.stamp()
        return open(self.path, mode)  # noqa: PTH123

    def stamp(self) -> tuple[int, int, int]:
        """Size, modification and change time: programs can restore the former two (`exiftool -P`).

        On Windows the last is the time of creation. Raises OSError where it cannot be had, or is no regular file.
        """
        status = os.stat(self.path)  # noqa: PTH116
        if not stat.S_ISREG(status.st_mode):  # to open a named pipe may wait for ever
            raise OSError(errno.EINVAL, "not a regular file")
        return status.st_size, status.st_mtime_ns, status.st_ctime_ns


class NoFile:
    """An item without an image."""

    __slots__ = ()

    def open(self, mode: Literal["rb"] = "rb") -> BinaryIO:
        """Raises OSError."""
        raise OSError(errno.ENOENT, "it has no image")

    def stamp(self) -> tuple[int, int, int]:
        """Raises OSError."""
        raise OSError(errno.ENOENT, "it has no image")
