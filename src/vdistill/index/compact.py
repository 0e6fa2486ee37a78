"""Which files of an old index stay, and which are written anew: small changes stay cheap, and nothing piles up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vdistill.bundle import shards
from vdistill.bundle.manifest import ShardFacts

DEAD = 0.2  # share of stored vectors without an item from which on everything is written anew
SMALL = 8  # files without a graph, and files with one beyond what their size asks for, before they are put together


@dataclass(frozen=True, slots=True)
class Arrangement:
    """kept: shards of the next index.  merged: their living vectors go into new files.  graph: of these."""

    kept: tuple[ShardFacts, ...]
    merged: tuple[ShardFacts, ...]
    graph: bool


def arrange(old: Sequence[ShardFacts], staying: int, new: int) -> Arrangement:
    """The next index, when `staying` of the old vectors still have their item and `new` ones come.

    New vectors go into a file of their own, searched in full. When such files hold more than `shards.FLAT` together,
    they become one with a graph; when too much is dead, or there are too many files, all is written anew.
    """
    stored = sum(shard.count for shard in old)
    flat = tuple(shard for shard in old if not shard.graph)
    graphs = tuple(shard for shard in old if shard.graph)
    total = staying + new
    everything = Arrangement((), tuple(old), total > shards.FLAT)
    if stored - staying > DEAD * stored or len(graphs) > SMALL + total // shards.LIMIT:
        return everything
    waiting = sum(shard.count for shard in flat) + new
    if waiting > shards.FLAT or len(flat) >= SMALL:
        return Arrangement(graphs, flat, waiting > shards.FLAT)
    return Arrangement(tuple(old), (), False)
