"""A folder of images becomes items, by the Hugging Face ImageFolder convention."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass, field
from pathlib import Path

from vdistill.errors import VdistillError
from vdistill.inputs.catalog_metadata import CatalogMetadata
from vdistill.inputs.folders import listing
from vdistill.inputs.image_names import IMAGE_SUFFIXES
from vdistill.records import Item

METADATA_FILES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")


@dataclass(frozen=True, slots=True)
class Skipped:
    """An image that was left out, and why.  passing: the disk refused, so it may be readable at another time."""

    id: str
    reason: str
    passing: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Catalog:
    """The items of a folder, in the order of their ids, and what had to be left out.

    remarks: what the user should know about the metadata, one line each.
    absent: those of the skipped that the metadata names and that do not exist; the remarks sum them up.
    imageless: items of the metadata whose images do not exist: some models can index them by their texts.
    """

    root: Path
    items: tuple[Item, ...]
    skipped: tuple[Skipped, ...]
    remarks: tuple[str, ...] = ()
    absent: frozenset[str] = frozenset()
    imageless: tuple[Item, ...] = ()

    def told(self, skipped: tuple[Skipped, ...]) -> list[str]:
        """A line for each of `skipped` that the remarks do not sum up, and the remarks."""
        lines = [f"skipped {one.id}: {one.reason}" for one in skipped if one.id not in self.absent]
        return [*lines, *self.remarks]


def scan(root: Path) -> Catalog:
    """List the images below `root` with their metadata; the images themselves are not opened.

    Raises VdistillError for a folder that is missing or holds no image, and for metadata with a broken line.
    """
    if not root.is_dir():
        raise VdistillError(f"no catalog folder {root}", hint=_close_folder(root))
    root = root.resolve()
    files, tables, skipped = _files(root)
    if not files:
        raise VdistillError(
            f"no images in {root}",
            hint=f"put some there; files ending in {' '.join(sorted(IMAGE_SUFFIXES))} are searched for recursively",
        )
    metadata = CatalogMetadata(root, files)
    for table in tables:
        metadata.read(table)
    skipped += [Skipped(key, reason) for key, reason in metadata.unused]
    items = tuple(Item(key, files[key], metadata.rows.get(key, {})) for key in sorted(files))
    absent = frozenset(key for key, _ in metadata.unused)
    imageless = tuple(Item(key, root / key, row) for key, row in sorted(metadata.imageless.items()))
    return Catalog(root, items, tuple(skipped), tuple(metadata.remarks()), absent - files.keys(), imageless)


def _files(root: Path) -> tuple[dict[str, str], list[Path], list[Skipped]]:
    """The images by id, the metadata files, and what cannot be used."""
    files: dict[str, str] = {}
    tables: list[Path] = []
    skipped: list[Skipped] = []
    found = listing(root)
    # Texts, not Paths: to make a million of those takes seconds, and half a gigabyte.
    start = len(os.path.join(root, ""))  # noqa: PTH118
    for file in found.files:
        name = os.path.basename(file)  # noqa: PTH119
        if name in METADATA_FILES:
            tables.append(Path(file))
        elif os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES:  # noqa: PTH122
            key = file[start:].replace(os.sep, "/")
            if key == (shown := _shown(key)):
                files[key] = file
            else:
                skipped.append(Skipped(shown, "file name is not valid UTF-8"))
    for path, reason in found.refused:
        if path.suffix.lower() in IMAGE_SUFFIXES or path.name in METADATA_FILES or "folder" in reason:
            skipped.append(Skipped(_shown(path.relative_to(root).as_posix()), reason))
    return files, sorted(tables), skipped


def _shown(name: str) -> str:
    """The name with U+FFFD for bytes that are not UTF-8."""
    return os.fsencode(name).decode("utf-8", "replace")


def _close_folder(root: Path) -> str:
    neighbours = [entry.name for entry in root.parent.iterdir() if entry.is_dir()] if root.parent.is_dir() else []
    close = difflib.get_close_matches(root.name, neighbours, n=1)
    return f"did you mean {root.parent / close[0]}?" if close else "give the folder that holds the images"
