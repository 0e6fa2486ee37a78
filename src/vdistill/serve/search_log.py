"""A log of searches, as `vdistill label --queries` reads it: a line {"query", "count", "time"} each, and no addresses.

A page that searches as one types asks for "g", "gi", "gift": what another search goes on with a moment later is left
out. The file is opened anew for each part that is written, so it may be moved away at any time.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from vdistill.errors import VdistillError

HOLD = 3.0  # seconds in which a longer search takes the place of one that it begins with
MOST_BYTES = 256 * 2**20  # of the file
_MOST_WAITING = 10_000  # searches; with more at once, some are not logged
_EACH = 1.0  # seconds between two looks at what waits


class SearchLog:
    """May be shared between threads."""

    def __init__(self, path: Path, say: Callable[[str], None], hold: float = HOLD, most: int = MOST_BYTES) -> None:
        self._path, self._say, self._hold, self._most = path, say, hold, most
        self._lock = threading.Lock()
        self._waiting: list[tuple[float, str]] = []
        self._ended = threading.Event()
        self._silent = False  # a trouble is said once
        self._writer = threading.Thread(target=self._write_on, name="search log", daemon=True)
        self._writer.start()

    @classmethod
    def at(cls, path: Path, say: Callable[[str], None]) -> SearchLog:
        """A log in this file. Raises VdistillError where it cannot be written, or would not be read as a log."""
        if path.suffix.lower() != ".jsonl":
            raise VdistillError(f"cannot log searches to {path}", hint="give a .jsonl file")
        try:
            with path.open("a", encoding="utf-8"):
                pass
        except OSError as error:
            raise VdistillError(f"cannot log searches to {path}: {error.strerror or error}",
                                hint="give a file in a folder that exists and can be written") from error  # fmt: skip
        return cls(path, say)

    def add(self, query: str) -> None:
        """A search was made."""
        text, now = " ".join(query.split()), time.monotonic()
        if not text:
            return
        with self._lock:
            for place in range(len(self._waiting) - 1, max(len(self._waiting) - 100, 0) - 1, -1):
                before = self._waiting[place][1]
                if len(before) < len(text) and text.startswith(before):
                    del self._waiting[place]
                    break
            if len(self._waiting) < _MOST_WAITING:
                self._waiting.append((now, text))

    def close(self) -> None:
        """Write what waits."""
        self._ended.set()
        self._writer.join()

    def _write_on(self) -> None:
        while not self._ended.wait(_EACH):
            self._write(time.monotonic() - self._hold)
        self._write(time.monotonic())

    def _write(self, until: float) -> None:
        with self._lock:
            ready = Counter(text for at, text in self._waiting if at <= until)
            self._waiting = [one for one in self._waiting if one[0] > until]
        if not ready:
            return
        minute = time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime())
        lines = [json.dumps({"query": text, "count": count, "time": minute}) + "\n" for text, count in ready.items()]
        try:
            if self._path.exists() and self._path.stat().st_size >= self._most:
                self._complain(f"{self._path} is full ({self._most // 2**20} MiB): searches are not logged any more")
                return
            with self._path.open("a", encoding="utf-8") as file:
                file.write("".join(lines))
            self._silent = False
        except OSError as error:
            self._complain(f"cannot log searches to {self._path}: {error.strerror or error}")

    def _complain(self, text: str) -> None:
        if not self._silent:
            self._say(text)
        self._silent = True
