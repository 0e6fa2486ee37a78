"""A file that holds many images, and what is found in one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from vdistill.errors import VdistillError
from vdistill.inputs.listings.listed import MetadataFile, Skipped
from vdistill.sources import Stamp, shown

SUFFIXES = (".tar", ".parquet")
COMPRESSED = (".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".tar.bz2")


@dataclass(frozen=True, slots=True)
class Shard:
    """A file that holds images.  name: its path below the catalog's root.  file: its locator."""

    name: str
    file: str
    stamp: Stamp | None = None

    @property
    def shown(self) -> str:
        """The file, for messages."""
        return shown(self.file)


@dataclass(frozen=True, slots=True)
class Member:
    """An image in a shard.

    name: what the shard calls it; None where it has no name there.  place: another name, which nothing else has.
    file: its locator, relative to the shard's folder.
    """

    name: str | None
    place: str
    file: str
    metadata: Mapping[str, Any] = field(default_factory=dict)


ShardFound: TypeAlias = "Member | Skipped | MetadataFile"


def is_shard(name: str) -> bool:
    """Whether a file of this name may hold images."""
    return name.lower().endswith((*SUFFIXES, *COMPRESSED))


def compressed(shard: Shard) -> VdistillError:
    """The error of a compressed tar."""
    return VdistillError(
        f"{shard.shown} is compressed, so its images cannot be read one by one",
        hint="decompress it once (`gunzip`, `zstd -d`); images are compressed already",
    )
