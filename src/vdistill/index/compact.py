"""Which files of an old index are kept, and which are merged: small changes stay cheap, and files do not pile up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vdistill.bundle import shard_writer, shards
from vdistill.bundle.manifest import ShardFacts

DELETED = 0.2  # share of stored vectors without an item above which everything is written anew
SMALL = 8  # files that are scanned, and files in lists beyond what the index's size asks for, before they are merged


@dataclass(frozen=True, slots=True)
class Arrangement:
    """kept: shards that stay.  merged: their live vectors go into new files.  lists: whether new files have lists."""

    kept: tuple[ShardFacts, ...]
    merged: tuple[ShardFacts, ...]
    lists: bool


def arrange(old: Sequence[ShardFacts], staying: int, new: int) -> Arrangement:
    """The files of the next index, when `staying` of the old vectors still have their item and `new` ones are added.

    New vectors go into a file of their own, searched in full. When such files hold more than `shards.FLAT` together,
    they are merged into one with lists; with too many deleted vectors, too many files, or a graph of an older version,
    all is written anew.
    """
    stored = sum(shard.count for shard in old)
    flat = tuple(shard for shard in old if shard.flat)
    lists = tuple(shard for shard in old if shard.lists)
    total = staying + new
    outdated = len(flat) + len(lists) < len(old)
    many = len(lists) > SMALL + total // shard_writer.LIMIT
    if outdated or many or stored - staying > DELETED * stored:
        return Arrangement((), tuple(old), total > shards.FLAT)
    unlisted = sum(shard.count for shard in flat) + new
    if unlisted > shards.FLAT or len(flat) >= SMALL:
        return Arrangement(lists, flat, unlisted > shards.FLAT)
    return Arrangement(tuple(old), (), False)
