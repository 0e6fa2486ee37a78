"""The web as this process sees it: what was fetched is in the cache, what failed is not tried again."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from vdistill.sources.cache import cache_in_use, through_cache
from vdistill.sources.manners import calls, manners
from vdistill.sources.web.client import Client
from vdistill.sources.web.faults import RETRY_AFTER, Unavailable
from vdistill.sources.web.files import fetch_file
from vdistill.sources.web.images import Reply, fetch_image
from vdistill.sources.web.memory import Known, Memory, key

_MOST_FAILURES = 200_000  # that are remembered


class Web:
    """Images by their addresses; used by many threads.  obey: what hosts say to robots."""

    def __init__(self, *, obey: bool) -> None:
        cache = cache_in_use()
        self.cache, self._obey, self._lock = cache, obey, threading.Lock()
        self._memory = Memory(cache.folder if cache else None)
        self._client: Client | None = None
        self._under_way: dict[str, list[Any]] = {}  # a lock, and how many use it
        # Reasons and times by address, of this process alone: the next one tries again.
        self._failed: dict[bytes, tuple[str, float]] = {}

    def open(self, url: str) -> BinaryIO:
        """The bytes of an image. Raises Unavailable, at once where this process met a failure before."""
        with self._alone(url):
            return through_cache(url, self._version(url), lambda: self._fetched(url).data)

    def version(self, url: str) -> int:
        """Counts the images that were seen at the address; its server is asked where the last was long ago."""
        known = self._memory.known(url)
        if known is None or self._settled(url, known):
            return known.version if known else 1
        try:
            reply = self._asked(url, known.etag, known.modified)
        except Unavailable:  # the image that was there is still the best that there is
            return known.version
        if reply is None:
            self._memory.renew(url)
            return known.version
        version = self._memory.note(url, reply)
        through_cache(url, str(version), lambda: reply.data).close()
        return version

    def versions(self, urls: Sequence[str]) -> dict[str, int]:
        """The versions at those of the addresses whose servers need not be asked. urls: some thousands at most."""
        known = self._memory.known_of(urls)
        if not known:
            return dict.fromkeys(urls, 1)
        return {
            url: one.version if one else 1
            for url, one in ((url, known.get(url)) for url in urls)
            if one is None or self._settled(url, one)
        }

    def _settled(self, url: str, known: Known) -> bool:
        """Whether the server need not be asked, or could not answer a short while ago."""
        return not known.due or self._failure(url) is not None

    @contextlib.contextmanager
    def _alone(self, url: str) -> Iterator[None]:
        """No other thread is at the address: an image of many products is fetched once."""
        with self._lock:
            lock = self._under_way.setdefault(url, [threading.Lock(), 0])
            lock[1] += 1
        try:
            with lock[0]:
                yield
        finally:
            with self._lock:
                lock[1] -= 1
                if not lock[1]:
                    del self._under_way[url]

    def _version(self, url: str) -> str:
        known = self._memory.known(url)
        return str(known.version if known else 1)

    def _fetched(self, url: str) -> Reply:
        reply = self._asked(url)
        assert reply is not None  # as nothing was known
        self._memory.note(url, reply)
        return reply

    def _asked(self, url: str, etag: str = "", modified: str = "") -> Reply | None:
        if reason := self._failure(url):
            raise Unavailable(reason)
        try:
            return fetch_image(self._connected(), url, obey=self._obey, etag=etag, modified=modified)
        except Unavailable as error:
            with self._lock:
                if len(self._failed) >= _MOST_FAILURES:
                    self._failed.pop(next(iter(self._failed)))
                self._failed[key(url)] = error.reason, time.monotonic()
            raise

    def _failure(self, url: str) -> str | None:
        """Why the address failed a short while ago."""
        reason, when = self._failed.get(key(url), (None, 0.0))
        return reason if time.monotonic() - when < RETRY_AFTER else None

    def fetch_file(self, url: str, path: Path) -> None:
        """Write what an address has to `path`. Raises Unavailable, and OSError where it cannot be written."""
        fetch_file(self._connected(), url, path)

    def _connected(self) -> Client:
        """The connections of this process."""
        with self._lock:
            if self._client is None:
                self._client = Client(obey=self._obey)
            return self._client


_webs: dict[tuple[object, ...], Web] = {}
_lock = threading.Lock()


def web() -> Web:
    """The web with the cache and the manners of this process."""
    cache, obey = cache_in_use(), manners()
    wanted = (os.getpid(), cache, obey, calls())
    with _lock:
        found = _webs.get(wanted)
        if found is None:
            _webs.clear()
            found = _webs[wanted] = Web(obey=obey())
        return found
