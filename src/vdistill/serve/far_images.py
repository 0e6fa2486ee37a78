"""An image that a caller names by its address, where the server was started to fetch them: from public addresses alone.

The address that was checked is the one that is connected to, so that a name cannot mean another machine meanwhile.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from urllib.parse import urlsplit

import httpx2

from vdistill.serve import settings
from vdistill.serve.refusals import Refused, too_large, wrong

SECONDS = 10.0
_HINT = "send the image itself: -F image=@photo.jpg"


def fetched(url: str) -> bytes:
    """The bytes at an address. Raises Refused where they cannot be had, or must not be."""
    host, port, secure = _split(url)
    number = public_address(host, port)
    address = httpx2.URL(url).copy_with(host=number)
    given_up = time.monotonic() + SECONDS
    data = bytearray()
    try:
        with (
            httpx2.Client(timeout=SECONDS / 2, follow_redirects=False, trust_env=False) as client,
            client.stream(
                "GET", address, headers={"Host": host if port in (80, 443) else f"{host}:{port}", "Accept": "image/*"},
                extensions={"sni_hostname": host} if secure else {},
            ) as answer,
        ):  # fmt: skip
            if answer.status_code != 200:
                raise wrong(f"the image cannot be fetched: status {answer.status_code}", _HINT)
            for part in answer.iter_bytes():
                data += part
                if len(data) > settings.BODY_BYTES or time.monotonic() > given_up:
                    raise too_large("the image is too large or comes too slowly", _HINT)
    except (httpx2.HTTPError, httpx2.InvalidURL, OSError) as error:
        raise wrong(f"the image cannot be fetched: {type(error).__name__}", _HINT) from error
    return bytes(data)


def public_address(host: str, port: int) -> str:
    """The number of a host. Raises Refused for one that is not public, such as a machine of this network."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        raise wrong("the image cannot be fetched: no such host", _HINT) from None
    for number in found:
        one = ipaddress.ip_address(number.partition("%")[0])
        one = getattr(one, "ipv4_mapped", None) or one
        if not one.is_global or one.is_multicast:
            raise Refused(403, "forbidden_address", "images are fetched from public addresses alone", _HINT)
    return sorted(found, key=lambda number: ":" in number)[0]


def _split(url: str) -> tuple[str, int, bool]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        raise wrong("image_url is not the address of an image", "give an address that begins with https://")
    secure = parts.scheme == "https"
    return host, port or (443 if secure else 80), secure
