"""What the listing of a catalog yields: images, files of metadata, and what cannot be used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from vdistill.errors import VdistillError
from vdistill.inputs.urls import local
from vdistill.sources import Stamp

METADATA_FILES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")


@dataclass(frozen=True, slots=True)
class Entry:
    """An image as the listing of a catalog names it.

    file: its locator; None where that is the id, below the catalog's root.  stamp: where the listing tells it.
    """

    id: str
    file: str | None = None
    stamp: Stamp | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Skipped:
    """An image that was left out, and why.  passing: the disk refused, so it may be readable at another time."""

    id: str
    reason: str
    passing: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class MetadataFile:
    """A file of rows about images, which name them relative to its folder.  name: its path below the catalog's root."""

    name: str
    file: str

    def local(self) -> AbstractContextManager[Path]:
        """Its path on this machine, while it is read."""
        return local(self.file, self.name)


Found: TypeAlias = "Entry | Skipped | MetadataFile"


@dataclass(frozen=True, slots=True)
class Listing:
    """root: of the catalog, as the index keeps it.  found: in any order.  empty: the error where that has no image."""

    root: str
    found: Iterable[Found]
    empty: VdistillError
