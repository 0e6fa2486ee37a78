"""A file that the user names by its address, such as a feed: of any size, straight to the disk."""

from __future__ import annotations

from pathlib import Path

import httpx2

from vdistill.sources.web import faults
from vdistill.sources.web.client import Client, WrongStatus
from vdistill.sources.web.faults import Unavailable


def fetch_file(client: Client, url: str, path: Path) -> None:
    """Write what the address has to `path`. Who names an address himself is no robot, so robots.txt does not count.

    Raises Unavailable, and OSError where it cannot be written.
    """

    def read(answer: httpx2.Response, redirected: bool) -> None:
        if answer.status_code != 200:
            raise WrongStatus(answer.status_code)
        with path.open("wb") as file:
            for part in answer.iter_bytes():
                file.write(part)
        with path.open("rb") as file:
            if file.read(512).lstrip().lower().startswith((b"<!doctype html", b"<html")):
                raise Unavailable(faults.REDIRECTED_TO_PAGE if redirected else faults.PAGE)

    client.get(url, read, {"Accept": "*/*", "Accept-Encoding": "gzip, identity"}, robots=False)
