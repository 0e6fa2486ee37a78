"""What a teacher tells the user once a run, though many calls, from several threads, would have it to tell."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Notices:
    """Passes the first text of each kind on to `say`."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """Nothing was said yet."""
        self._say = say
        self._said: set[str] = set()
        self._lock = threading.Lock()

    def once(self, kind: str, text: str) -> None:
        """Say it, if nothing of its kind was said before."""
        with self._lock:
            if kind in self._said:
                return
            self._said.add(kind)
        self._say(text)
