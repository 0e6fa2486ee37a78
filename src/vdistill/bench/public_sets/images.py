"""Images from the addresses that a public set gives: many at once, each once, and none that cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from vdistill.errors import ImageError, first_line
from vdistill.images import load
from vdistill.workspace import write_file

_AT_ONCE = 16
_WAIT = 20.0  # seconds
_TRIES = 3
_LARGEST = 32 << 20  # bytes
_TOLD = 1000  # after so many images the user is told how far it is


def fetch_images(
    urls: Mapping[str, str], folder: Path, say: Callable[[str], None]
) -> tuple[dict[str, str], list[str]]:  # fmt: skip
    """Fetch what `folder` does not have yet, as `KEY.jpg`, whatever its format.

    Returns the file names by key, and why others failed. A run that was interrupted goes on where it stopped.
    """
    import httpx2

    names: dict[str, str] = {}
    failed: list[str] = []
    with httpx2.Client(follow_redirects=True, timeout=_WAIT) as client, ThreadPoolExecutor(_AT_ONCE) as executor:
        tasks = executor.map(lambda pair: _fetched(client, pair[0], pair[1], folder), urls.items())
        for number, (key, problem) in enumerate(zip(urls, tasks, strict=True), start=1):
            if problem is None:
                names[key] = f"{key}.jpg"
            else:
                failed.append(f"{key}: {problem}")
            if number % _TOLD == 0:
                say(f"{number:,} of {len(urls):,} images")
    return names, failed


def _fetched(client: Any, key: str, url: str, folder: Path) -> str | None:
    """None where the image is there now, else why not."""
    path = folder / f"{key}.jpg"
    if path.is_file():
        return None
    try:
        return kept(path, _content(client, url))
    except _errors() as error:
        return first_line(error)


def kept(path: Path, content: bytes) -> str | None:
    """Write an image; None where it can be read, else why not, and it is removed."""
    write_file(path, content)
    try:
        load(path, 64)
    except ImageError as error:
        path.unlink(missing_ok=True)
        return error.message
    return None


def _content(client: Any, url: str) -> bytes:
    """What the address gives; tried again where the server is busy or cannot be reached."""
    import httpx2

    for left in reversed(range(_TRIES)):
        try:
            answer = client.get(url)
            if answer.status_code < 500 or not left:
                break
        except httpx2.TransportError:
            if not left:
                raise
    answer.raise_for_status()
    if len(answer.content) > _LARGEST:
        raise ValueError(f"{len(answer.content):,} bytes")
    return bytes(answer.content)


def _errors() -> tuple[type[Exception], ...]:
    import httpx2

    return httpx2.HTTPError, httpx2.InvalidURL, ValueError
