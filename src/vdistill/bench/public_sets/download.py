"""One file from an address that a data set gives: bounded in size and time, and from public hosts alone.

Nobody vouches for such addresses, so none may reach into the user's own network, by a redirect either.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from typing import TYPE_CHECKING

from vdistill.errors import first_line

if TYPE_CHECKING:
    import httpx2

_WAIT = 20.0  # seconds, for a part of an answer
_LONGEST = 120.0  # seconds, for all of it
_TRIES = 3
_HOPS = 5
_LARGEST = 32 << 20  # bytes
_BUSY = (408, 429)


class Unreachable(Exception):
    """The network failed, or the server: a later try may succeed."""


class Refused(Exception):
    """There is nothing to be had at the address."""


class Downloads:
    """What is fetched over one pool of connections; usable from several threads.

    public_only: refuse hosts that have private addresses.
    """

    def __init__(self, *, public_only: bool = True) -> None:
        import httpx2

        self._public_only = public_only
        self._client = httpx2.Client(timeout=_WAIT)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def content(self, url: str) -> bytes:
        """What the address gives; tried again where it cannot be reached. Raises Unreachable and Refused."""
        for left in reversed(range(_TRIES)):
            try:
                return self._content(url)
            except Unreachable:
                if not left:
                    raise
        raise AssertionError

    def _content(self, url: str) -> bytes:
        import httpx2

        deadline = time.monotonic() + _LONGEST
        try:
            for _ in range(_HOPS):
                address = httpx2.URL(url)
                self._check(address)
                with self._client.stream("GET", address) as answer:
                    if answer.next_request is None:
                        return _body(answer, deadline)
                    url = str(answer.next_request.url)
        except httpx2.TransportError as error:
            raise Unreachable(first_line(error)) from error
        except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
            raise Refused(first_line(error)) from error
        raise Refused("too many redirects")

    def _check(self, url: httpx2.URL) -> None:
        """Raises Refused for an address that may not be asked."""
        if url.scheme not in ("http", "https"):
            raise Refused(f"{url.scheme or 'nothing'}: is not fetched, only http: and https:")
        if self._public_only and not _public(url.host):
            raise Refused(f"{url.host} is a private address")


def _body(answer: httpx2.Response, deadline: float) -> bytes:
    if answer.status_code >= 500 or answer.status_code in _BUSY:
        raise Unreachable(f"the server answers {answer.status_code}")
    if answer.status_code != 200:
        raise Refused(f"the server answers {answer.status_code}")
    content = bytearray()
    for part in answer.iter_bytes():
        content += part
        if len(content) > _LARGEST:
            raise Refused(f"more than {_LARGEST >> 20} MiB")
        if time.monotonic() > deadline:
            raise Unreachable(f"not complete after {_LONGEST:.0f} s")
    return bytes(content)


def _public(host: str) -> bool:
    """Whether all addresses of a host are public. One that cannot be looked up here is left to the client, or proxy."""
    try:
        found = {str(one[4][0]).partition("%")[0] for one in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return True
    return all(ipaddress.ip_address(one).is_global for one in found)
