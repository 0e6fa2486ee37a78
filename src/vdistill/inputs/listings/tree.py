"""The files below a folder: clutter is skipped, and real folders come before links."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vdistill.errors import VdistillError

# Thumbnails, bins and notes that systems keep beside images, in lower case; names with a leading dot are skipped too.
# Documented in docs/label.md.
# fmt: off
CLUTTER = frozenset({
    "@eadir", "#recycle", "#snapshot",  # Synology
    "@recycle", "@recently-snapshot",  # QNAP
    "__macosx", "icon\r",  # macOS, and archives made by it
    "$recycle.bin", "system volume information", "thumbs.db", "ehthumbs.db", "desktop.ini",  # Windows
    "lost+found", "lost.dir",  # ext4, Android
})
# fmt: on


@dataclass(frozen=True, slots=True)
class Refused:
    """A path that cannot be used or listed, and why."""

    path: Path
    reason: str


def files(root: Path) -> Iterator[str | Refused]:
    """Every regular file below `root`, through links too, but no folder twice: under its real path where it has one.

    They come in no particular order, and none is opened. Raises VdistillError where `root` itself cannot be listed.
    """
    seen: set[tuple[int, int]] = set()
    real, links = [root], list[Path]()
    while real or links:
        if not real:
            links.sort()
        folder = real.pop() if real else links.pop(0)
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                yield from _sorted(entries, real, links)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            if folder == root:
                raise VdistillError(f"cannot list {root}: {reason}", hint="check its permissions") from error
            yield Refused(folder, f"a folder that cannot be listed: {reason}")


def _sorted(entries: Iterator[os.DirEntry[str]], real: list[Path], links: list[Path]) -> Iterator[str | Refused]:
    """The files of one folder; its folders go to the lists."""
    for entry in entries:
        if entry.name.startswith(".") or entry.name.lower() in CLUTTER:
            continue
        if _is(entry.is_file):  # reads the disk for links only
            yield entry.path
        elif _is(entry.is_dir):
            (links if entry.is_symlink() else real).append(Path(entry.path))
        else:
            path = Path(entry.path)
            broken = entry.is_symlink() and not path.exists()
            yield Refused(path, "a link to nothing" if broken else "not a regular file")


def _is(ask: Callable[[], bool]) -> bool:
    try:
        return ask()
    except OSError:  # links in a circle
        return False
