"""A file that holds many images, and what is found in one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from vdistill.errors import VdistillError
from vdistill.inputs.listings.listed import MetadataFile, Skipped
from vdistill.sources import Stamp, is_remote, shown
from vdistill.sources.remote import open_remote, reason_of

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


@contextmanager
def opened(shard: Shard, block_size: int) -> Iterator[BinaryIO]:
    """The file of a shard; one elsewhere is read by blocks of this size.

    Raises VdistillError where it cannot be read now, also within the block.
    """
    try:
        with open_remote(shard.file, block_size) if is_remote(shard.file) else Path(shard.file).open("rb") as file:
            yield file
    except OSError as error:
        raise VdistillError(
            f"cannot read {shard.shown}: {reason_of(error)}", hint="check it and the network, and run this again"
        ) from error


def is_shard(name: str) -> bool:
    """Whether a file of this name may hold images."""
    return name.lower().endswith((*SUFFIXES, *COMPRESSED))


def compressed(shard: Shard) -> VdistillError:
    """The error of a compressed tar."""
    return VdistillError(
        f"{shard.shown} is compressed, so its images cannot be read one by one",
        hint="decompress it once (`gunzip`, `zstd -d`); images are compressed already",
    )
