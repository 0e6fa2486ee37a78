"""The web as this process sees it: what was fetched is in the cache, what failed is not tried again."""

from __future__ import annotations

import os
import threading
from typing import BinaryIO

from vdistill.sources.cache import cache_in_use, through_cache
from vdistill.sources.web.client import Client
from vdistill.sources.web.faults import Unavailable
from vdistill.sources.web.images import Reply, fetch_image
from vdistill.sources.web.memory import Memory, key

_MOST_FAILURES = 200_000  # that are remembered


class Web:
    """Images by their addresses; used by many threads.  obey: what hosts say to robots."""

    def __init__(self, *, obey: bool) -> None:
        cache = cache_in_use()
        self.cache, self._obey, self._lock = cache, obey, threading.Lock()
        self._memory = Memory(cache.folder if cache else None)
        self._client: Client | None = None
        self._failed: dict[bytes, str] = {}  # reasons by address, of this process alone: the next one tries again

    def open(self, url: str) -> BinaryIO:
        """The bytes of an image. Raises Unavailable, at once where this process met a failure before."""
        return through_cache(url, self._version(url), lambda: self._fetched(url).data)

    def warm(self, url: str) -> None:
        """Have the bytes in the cache. Raises Unavailable."""
        if self.cache is None or not self.cache.has(url, self._version(url)):
            self.open(url).close()

    def version(self, url: str) -> int:
        """Counts the images that were seen at the address; its server is asked where the last was long ago."""
        known = self._memory.known(url)
        if known is None or not known.due or key(url) in self._failed:
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

    def due(self, url: str) -> bool:
        """Whether `version` would ask the server."""
        known = self._memory.known(url)
        return known is not None and known.due

    def _version(self, url: str) -> str:
        known = self._memory.known(url)
        return str(known.version if known else 1)

    def _fetched(self, url: str) -> Reply:
        reply = self._asked(url)
        assert reply is not None  # as nothing was known
        self._memory.note(url, reply)
        return reply

    def _asked(self, url: str, etag: str = "", modified: str = "") -> Reply | None:
        if reason := self._failed.get(key(url)):
            raise Unavailable(reason)
        try:
            return fetch_image(self.client(), url, obey=self._obey, etag=etag, modified=modified)
        except Unavailable as error:
            with self._lock:
                if len(self._failed) >= _MOST_FAILURES:
                    self._failed.pop(next(iter(self._failed)))
                self._failed[key(url)] = error.reason
            raise

    def client(self) -> Client:
        """The connections of this process."""
        with self._lock:
            if self._client is None:
                self._client = Client(obey=self._obey)
            return self._client


_obey = [True]
_webs: dict[tuple[object, ...], Web] = {}
_lock = threading.Lock()


def obey_robots(obey: bool) -> None:
    """Whether this process does what hosts say to robots."""
    _obey[0] = obey


def web() -> Web:
    """The web with the cache and the manners of this process."""
    cache = cache_in_use()
    wanted = (os.getpid(), cache.folder if cache else None, _obey[0])
    with _lock:
        found = _webs.get(wanted)
        if found is None or found.cache is not cache:
            _webs.clear()
            found = _webs[wanted] = Web(obey=_obey[0])
        return found
