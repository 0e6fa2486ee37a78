"""An image at an address of the web."""

from __future__ import annotations

import hashlib
from typing import BinaryIO, Literal

_LARGEST = 10**18  # of a stamp's time, which stays in the past: caches do not keep what changed a moment ago


class HttpFile:
    """An image that a web server has; it is fetched once, and kept in the cache."""

    __slots__ = ("url",)

    def __init__(self, url: str) -> None:
        self.url = url

    def open(self, mode: Literal["rb"] = "rb") -> BinaryIO:
        """Its bytes. Raises OSError, whose `strerror` says why they cannot be had."""
        from vdistill.sources.web import web

        return web().open(self.url)

    def stamp(self) -> tuple[int, int, int]:
        """Made of the address, and of how often another image was found there: mostly nobody is asked for it.

        A shop that changes a picture changes its address. Where it does not, the server is asked again from time to
        time (see `vdistill.sources.web.memory`), and says whether there is another.
        """
        from vdistill.sources.web import web

        number = int.from_bytes(hashlib.sha256(self.url.encode("utf-8", "surrogateescape")).digest()[:8], "big")
        return 0, number % _LARGEST, web().version(self.url)
