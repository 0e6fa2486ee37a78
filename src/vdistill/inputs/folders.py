"""The files below a folder: what programs leave lying about is passed over, and real folders come before links."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vdistill.errors import VdistillError

# Thumbnails, bins and notes that systems keep beside images (letter case aside); names with a leading dot are passed
# over too. Documented in docs/label.md.
LITTER = frozenset(
    {
        "@eadir",  # Synology
        "#recycle",
        "#snapshot",
        "@recycle",  # QNAP
        "@recently-snapshot",
        "__macosx",  # archives made by macOS
        "$recycle.bin",  # Windows
        "system volume information",
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "lost+found",  # ext4
        "lost.dir",  # Android
        "icon\r",  # macOS
    }
)


@dataclass(frozen=True, slots=True)
class Listing:
    """files: in no particular order.  refused: paths that cannot be used or listed, and why."""

    files: list[Path] = field(default_factory=list)
    refused: list[tuple[Path, str]] = field(default_factory=list)


def listing(root: Path) -> Listing:
    """Every regular file below `root`, through links too, but no folder twice: under its real place where it has one.

    Nothing is opened. Raises VdistillError where `root` itself cannot be listed.
    """
    found = Listing()
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
                _sort(entries, found, real, links)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            if folder == root:
                raise VdistillError(f"cannot list {root}: {reason}", hint="check its permissions") from error
            found.refused.append((folder, f"a folder that cannot be listed: {reason}"))
    return found


def _sort(entries: Iterator[os.DirEntry[str]], found: Listing, real: list[Path], links: list[Path]) -> None:
    for entry in entries:
        if entry.name.startswith(".") or entry.name.lower() in LITTER:
            continue
        path = Path(entry.path)
        if _is(entry.is_dir):
            (links if entry.is_symlink() else real).append(path)
        elif _is(entry.is_file):  # asks the disk for links alone
            found.files.append(path)
        else:
            found.refused.append((path, "a link to nothing" if entry.is_symlink() and not path.exists() else _ODD))


_ODD = "not a regular file"


def _is(ask: object) -> bool:
    try:
        return bool(ask())  # type: ignore[operator]
    except OSError:  # a link in a circle
        return False
