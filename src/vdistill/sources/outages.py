"""Whether a file system still answers: after many reads in a row that failed it is left alone for a while."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_GONE_AFTER = 32  # reads in a row, after all attempts
_REST = 60.0  # s, after which it is asked again


class Outages:
    """Counts the reads of one file system that failed; used by many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failed, self._until, self._reason = 0, 0.0, ""

    def noted(self, read: Callable[[], T]) -> T:
        """What `read` gives. Raises its OSError, and another at once while the file system is left alone."""
        if time.monotonic() < self._until:
            raise OSError(errno.EIO, f"not read, since others of its place failed: {self._reason}")
        try:
            found = read()
        except (FileNotFoundError, PermissionError):  # it answers
            self._failed = 0
            raise
        except OSError as error:
            with self._lock:
                self._failed += 1
                if self._failed >= _GONE_AFTER:
                    self._until, self._reason = time.monotonic() + _REST, error.strerror or str(error)
            raise
        self._failed = 0
        return found
