"""What the listing of a catalog yields: images, files of metadata, and what cannot be used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

from vdistill.errors import VdistillError
from vdistill.inputs.urls import local
from vdistill.sources import Stamp

_FEW = 3  # images that are named one by one where they were left out for the same reason
METADATA_FILES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")


class Entry(NamedTuple):
    """An image as the listing of a catalog names it.

    file: its locator; None where that is the id, below the catalog's root.  stamp: where the listing tells it.
    """

    id: str
    file: str | None = None
    stamp: Stamp | None = None
    metadata: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Skipped:
    """An image that was left out, and why.  passing: the disk refused, so it may be readable at another time."""

    id: str
    reason: str
    passing: bool = field(default=False, compare=False)


def skipped_lines(skipped: Iterable[Skipped]) -> list[str]:
    """A line for each, or one for all that were left out for the same reason."""
    by_reason: dict[str, list[str]] = {}
    for one in skipped:
        by_reason.setdefault(one.reason, []).append(one.id)
    lines: list[str] = []
    for reason, ids in by_reason.items():
        if len(ids) <= _FEW:
            lines += [f"skipped {key}: {reason}" for key in ids]
        else:
            lines.append(f"skipped {len(ids):,} images: {reason}, e.g. {ids[0]}")
    return lines


@dataclass(frozen=True, slots=True)
class MetadataFile:
    """A file of rows about images, which name them relative to its folder.  name: its path below the catalog's root."""

    name: str
    file: str

    def local(self) -> AbstractContextManager[Path]:
        """Its path on this machine, while it is read."""
        return local(self.file, self.name)


@dataclass(frozen=True, slots=True)
class Imageless:
    """A product of the catalog without an image, which some models can index by its texts.  reason: why it has none."""

    id: str
    reason: str
    metadata: Mapping[str, Any]


Found: TypeAlias = "Entry | Skipped | MetadataFile | Imageless"


@dataclass(frozen=True, slots=True)
class Listing:
    """root: of the catalog, as the index keeps it.  found: in any order.  empty: the error where that has no image."""

    root: str
    found: Iterable[Found]
    empty: VdistillError
