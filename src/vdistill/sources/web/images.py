"""One image from its address: refused early where it is too large, no image, or not for AI."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2

from vdistill.sources.web import faults
from vdistill.sources.web.client import WHOLE, Client, WrongStatus
from vdistill.sources.web.faults import PassingFault, Unavailable
from vdistill.sources.web.robots import forbids_ai

_LARGEST = faults.MEGABYTES * 10**6  # bytes
_TEXTS = ("text/", "application/json", "application/xml")
_PAGES = ("text/html", "application/xhtml+xml")


@dataclass(frozen=True, slots=True)
class Reply:
    """An image, and what its server says for the next time.  max_age: s, that it stays the same; None: not said."""

    data: bytes
    etag: str = ""
    modified: str = ""
    max_age: float | None = None


def fetch_image(client: Client, url: str, *, obey: bool, etag: str = "", modified: str = "") -> Reply | None:
    """The image; None where it is still that of `etag` or `modified`.

    obey: what the host says to robots. Raises Unavailable.
    """
    headers = {"If-None-Match": etag} if etag else {"If-Modified-Since": modified} if modified else {}

    def read(answer: httpx2.Response, redirected: bool) -> Reply | None:
        if obey and forbids_ai(answer.headers.get_list("x-robots-tag")):
            raise Unavailable(faults.NO_AI)
        if answer.status_code == 304 and headers:
            return None
        if answer.status_code != 200:
            raise WrongStatus(answer.status_code)
        said = answer.headers
        return Reply(_body(answer, redirected), said.get("etag", ""), said.get("last-modified", ""), _max_age(said))

    return client.get(url, read, headers, robots=obey)


def _body(answer: httpx2.Response, redirected: bool) -> bytes:
    length = answer.headers.get("content-length", "")
    if length.isdigit() and int(length) > _LARGEST:
        raise Unavailable(faults.TOO_LARGE)
    declared = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    deadline, content = time.monotonic() + WHOLE, bytearray()
    for part in answer.iter_bytes():
        content += part
        if len(content) > _LARGEST:
            raise Unavailable(faults.TOO_LARGE)
        if time.monotonic() > deadline:
            raise PassingFault(faults.SLOW, most=2)
    start = bytes(content[:512]).lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html")) or (declared in _PAGES and start.startswith(b"<")):
        raise Unavailable(faults.REDIRECTED_TO_PAGE if redirected else faults.PAGE)
    if declared.startswith(_TEXTS) and start.isascii() and b"\0" not in start:
        raise Unavailable(faults.TEXT)  # an error that says that it is none; it must not be kept as the image
    return bytes(content)


def _max_age(headers: Mapping[str, str]) -> float | None:
    said = headers.get("cache-control", "").lower()
    found = re.search(r"max-age=(\d{1,12})", said)
    return float("inf") if "immutable" in said else float(found[1]) if found else None
