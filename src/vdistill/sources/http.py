"""An image at an address of the web."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO, Literal

from vdistill.sources.stamps import Stamp

_WEB = ("http://", "https://")
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

        return _stamp(self.url, web().version(self.url))


def known_stamps(files: Iterable[str | Path]) -> dict[str, Stamp]:
    """The stamps of those addresses of the web whose servers need not be asked, nearly all, looked up together.

    files: some thousands at most, of any kind.
    """
    urls = [file for file in files if isinstance(file, str) and file.startswith(_WEB)]
    if not urls:
        return {}
    from vdistill.sources.web import web

    return {url: _stamp(url, version) for url, version in web().versions(urls).items()}


def _stamp(url: str, version: int) -> Stamp:
    number = int.from_bytes(hashlib.sha256(url.encode("utf-8", "surrogateescape")).digest()[:8], "big")
    return 0, number % _LARGEST, version
