"""Which files of an old index are kept, and which are merged: small changes stay cheap, and files do not pile up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vdistill.bundle import shards
from vdistill.bundle.manifest import ShardFacts

DELETED = 0.2  # share of stored vectors without an item above which everything is written anew
SMALL = 8  # files without a graph, and files with one beyond what the index's size asks for, before they are merged


@dataclass(frozen=True, slots=True)
class Arrangement:
    """kept: shards that stay.  merged: their live vectors go into new files.  graph: whether new files get one."""

    kept: tuple[ShardFacts, ...]
    merged: tuple[ShardFacts, ...]
    graph: bool


def arrange(old: Sequence[ShardFacts], staying: int, new: int) -> Arrangement:
    """The files of the next index, when `staying` of the old vectors still have their item and `new` ones are added.

    New vectors go into a file of their own, searched in full. When such files hold more than `shards.FLAT` together,
    they are merged into one with a graph; with too many deleted vectors, or too many files, all is written anew.
    """
    stored = sum(shard.count for shard in old)
    flat = tuple(shard for shard in old if not shard.graph)
    graphs = tuple(shard for shard in old if shard.graph)
    total = staying + new
    if stored - staying > DELETED * stored or len(graphs) > SMALL + total // shards.LIMIT:
        return Arrangement((), tuple(old), total > shards.FLAT)
    unindexed = sum(shard.count for shard in flat) + new
    if unindexed > shards.FLAT or len(flat) >= SMALL:
        return Arrangement(graphs, flat, unindexed > shards.FLAT)
    return Arrangement(tuple(old), (), False)
