"""A folder of images, by the Hugging Face ImageFolder convention: ids are paths, rows are in `metadata.*` files."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from vdistill.errors import VdistillError
from vdistill.inputs.listings import tree
from vdistill.inputs.listings.listed import METADATA_FILES, Entry, Found, Listing, MetadataFile, Skipped
from vdistill.inputs.listings.shard import Shard, is_shard
from vdistill.inputs.listings.shards import images_or_shards
from vdistill.sources import escaped
from vdistill.sources.suffixes import IMAGE_SUFFIXES


def listing(root: str) -> Listing:
    """The images below a folder. Raises VdistillError where it is missing, or cannot be listed."""
    folder = Path(root)
    if not folder.is_dir():
        raise VdistillError(f"no catalog folder {root}", hint=_close_folder(folder))
    folder = folder.resolve()
    empty = VdistillError(
        f"no images in {folder}",
        hint=f"put some there; files ending in {' '.join(sorted(IMAGE_SUFFIXES))} are searched for recursively, "
        "else .tar or .parquet files",
    )
    return Listing(str(folder), images_or_shards(str(folder), _found(folder)), empty)


def plain_ids(root: Path) -> Iterator[str]:
    """The ids of the images whose locators are their ids, which nearly all are. root: resolved, and a folder."""
    return (one.id for one in _found(root) if isinstance(one, Entry) and one.file is None)


def _found(root: Path) -> Iterator[Found | Shard]:
    # Texts, not Paths: to make a million of those takes seconds, and half a gigabyte.
    start = len(os.path.join(root, ""))  # noqa: PTH118
    for one in tree.files(root):
        if isinstance(one, str):
            if found := _entry(one, one[start:].replace(os.sep, "/")):
                yield found
        elif (
            one.path.suffix.lower() in IMAGE_SUFFIXES or one.path.name in METADATA_FILES or "folder" in one.reason
        ):  # fmt: skip
            yield Skipped(_shown(one.path.relative_to(root).as_posix()), one.reason)


def _entry(file: str, key: str) -> Found | Shard | None:
    name = key.rpartition("/")[2]
    _, dot, suffix = name.rpartition(".")
    if dot + suffix.lower() not in IMAGE_SUFFIXES:
        if name in METADATA_FILES:
            return MetadataFile(key, file)
        return Shard(_shown(key), file) if is_shard(name) else None
    if not key.isascii() and key != (shown := _shown(key)):
        return Skipped(shown, "file name is not valid UTF-8")
    return Entry(key, None if (path := escaped(key)) == key else path)


def _shown(name: str) -> str:
    """The name with U+FFFD for bytes that are not UTF-8."""
    return os.fsencode(name).decode("utf-8", "replace")


def _close_folder(root: Path) -> str:
    if address := re.fullmatch(r"([a-z0-9]{2,}):/(.+)", root.as_posix()):
        return f"did you mean {address[1]}://{address[2]}?"
    neighbours = [entry.name for entry in root.parent.iterdir() if entry.is_dir()] if root.parent.is_dir() else []
    close = difflib.get_close_matches(root.name, neighbours, n=1)
    return f"did you mean {root.parent / close[0]}?" if close else "give the folder that holds the images"
