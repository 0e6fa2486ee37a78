"""Images from the addresses that a public set gives: many at once, each once, and none that cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from vdistill.bench.public_sets.download import Downloads, Refused, Unreachable
from vdistill.errors import ImageError, VdistillError
from vdistill.images import load
from vdistill.workspace import replacing, writing

_AT_ONCE = 16
_IN_A_ROW = 64  # so many that cannot be reached, and the network is down
_TOLD = 1000  # after so many images the user is told how far it is
_AGAIN = "run the same command again: what was fetched is kept"


def fetch_images(
    urls: Mapping[str, str], folder: Path, say: Callable[[str], None], *, public_only: bool = True
) -> tuple[dict[str, str], list[str]]:  # fmt: skip
    """Fetch what `folder` does not have yet, as `KEY.jpg`, whatever its format.

    public_only: refuse addresses within the user's own network.
    Returns the file names by key, and why others failed for good. A run that was interrupted goes on where it stopped.
    Raises VdistillError where the network failed for some, or no image could be fetched.
    """
    names: dict[str, str] = {}
    failed: list[str] = []
    unreachable: list[str] = []
    in_a_row = 0
    with closing(Downloads(public_only=public_only)) as downloads, ThreadPoolExecutor(_AT_ONCE) as executor:
        tasks = executor.map(lambda pair: _fetched(downloads, pair[0], pair[1], folder), urls.items())
        for number, (key, problem) in enumerate(zip(urls, tasks, strict=True), start=1):
            in_a_row = in_a_row + 1 if isinstance(problem, Unreachable) else 0
            if problem is None:
                names[key] = f"{key}.jpg"
            else:
                (unreachable if in_a_row else failed).append(f"{key}: {problem}")
            if in_a_row == _IN_A_ROW:
                executor.shutdown(wait=False, cancel_futures=True)
                break
            if number % _TOLD == 0:
                say(f"{number:,} of {len(urls):,} images")
    if unreachable:
        raise VdistillError(f"the network failed for {len(unreachable):,} images, {unreachable[0]}", hint=_AGAIN)
    if failed and not names:
        raise VdistillError(f"none of the {len(urls):,} images can be fetched, {failed[0]}", hint=_AGAIN)
    return names, failed


def _fetched(downloads: Downloads, key: str, url: str, folder: Path) -> str | Unreachable | None:
    """None where the image is there now, else why not."""
    path = folder / f"{key}.jpg"
    if path.is_file():
        return None
    try:
        return kept(path, downloads.content(url))
    except Refused as error:
        return str(error)
    except Unreachable as error:
        return error


def kept(path: Path, content: bytes) -> str | None:
    """Write an image; None where it can be read, else why not, and nothing is written."""
    try:
        with writing(path), replacing(path) as aside:
            aside.write_bytes(content)
            load(aside, 64)
    except ImageError as error:
        return error.message
    return None
