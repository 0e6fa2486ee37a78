"""Catalogs in shards: tars or Parquet files that hold the images of a folder which has none itself."""

from __future__ import annotations

import json
import sqlite3
import weakref
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from vdistill.inputs.listings import parquet, tars
from vdistill.inputs.listings.listed import Entry, Found, MetadataFile, Skipped
from vdistill.inputs.listings.shard import COMPRESSED, Member, Shard, ShardFound, compressed
from vdistill.sources import is_remote, relative, source_at
from vdistill.sources.cache import cache_in_use, through_cache
from vdistill.sources.stamps import version_of

_AT_ONCE = 8  # shards that are listed side by side, where they are elsewhere
_SCHEMA = """
    PRAGMA journal_mode = OFF;
    PRAGMA synchronous = OFF;
    PRAGMA temp_store = FILE;
    CREATE TABLE members (
        place TEXT PRIMARY KEY, name TEXT, file TEXT NOT NULL, shard INTEGER NOT NULL, metadata TEXT
    ) STRICT;
"""


def images_or_shards(root: str, found: Iterable[Found | Shard]) -> Iterator[Found]:
    """What was found, without the shards; but where there is no image beside them, what they hold.

    Where there are tars, Parquet files only describe them. Raises VdistillError where all are compressed.
    """
    shards: list[Shard] | None = []
    for one in found:
        if isinstance(one, Shard):
            if shards is not None:
                shards.append(one)
            continue
        if isinstance(one, Entry):
            shards = None
        yield one
    if shards:
        yield from held(root, shards)


def held(root: str, shards: list[Shard]) -> Iterator[Found]:
    """What the shards of a catalog hold. Raises VdistillError where they cannot be read now, or are compressed."""
    packed = [one for one in shards if one.name.lower().endswith(COMPRESSED)]
    tars = [one for one in shards if one.name.lower().endswith(".tar")]
    plain = tars or [one for one in shards if one.name.lower().endswith(".parquet")]
    if packed and not plain:
        raise compressed(packed[0])
    yield from (Skipped(one.name, "a compressed tar cannot be read at any place: decompress it") for one in packed)
    members = _Members(root)
    for shard, found in _listed(sorted(plain, key=lambda one: one.name)):
        yield from members.add(shard, found)
    yield from members.entries()


def _listed(shards: list[Shard]) -> Iterator[tuple[Shard, Iterable[ShardFound]]]:
    """What each shard holds; those elsewhere a few at once."""
    if not shards or not is_remote(shards[0].file):
        yield from ((shard, _members(shard)) for shard in shards)
        return
    with ThreadPoolExecutor(_AT_ONCE) as executor:
        try:
            rest = iter(shards)
            while some := list(islice(rest, _AT_ONCE)):
                for shard, packed in zip(some, executor.map(_remembered, some), strict=True):
                    yield shard, map(_unpacked, packed.splitlines())
        finally:
            executor.shutdown(cancel_futures=True)


def _members(shard: Shard) -> Iterator[ShardFound]:
    return tars.members(shard) if shard.name.lower().endswith(".tar") else parquet.members(shard)


def _remembered(shard: Shard) -> bytes:
    """What a shard elsewhere holds, packed, which takes little memory; from the cache where that has it."""

    def fetch() -> bytes:
        return b"\n".join(map(_packed, _members(shard)))

    if cache_in_use() is None or shard.stamp is None:
        return fetch()
    with through_cache(f"listing 1 of {shard.name} at {shard.file}", version_of(shard.stamp), fetch) as file:
        return file.read()


_KINDS = {"image": Member, "skipped": Skipped, "metadata": MetadataFile}


def _packed(one: ShardFound) -> bytes:
    kind = next(name for name, kind in _KINDS.items() if isinstance(one, kind))
    return json.dumps([kind, *(getattr(one, name) for name in one.__dataclass_fields__)]).encode()


def _unpacked(line: bytes) -> ShardFound:
    kind, *values = json.loads(line)
    found: ShardFound = _KINDS[kind](*values)
    return found


class _Members:
    """The images of all shards, in a temporary file: only when all are known is it clear which names are shared."""

    def __init__(self, root: str) -> None:
        self._root, self._shards = root, list[Shard]()
        self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        # Also where a shard is damaged, and what follows is never asked for; on any thread, since some collect garbage.
        weakref.finalize(self, self._db.close)
        self._db.executescript(_SCHEMA)

    def add(self, shard: Shard, found: Iterable[ShardFound]) -> Iterator[Found]:
        """Enter the images of a shard; yields the rest."""
        shard = _stamped(shard)
        self._shards.append(shard)
        self._db.execute("BEGIN")
        for one in found:
            if not isinstance(one, Member):
                yield one
                continue
            metadata = json.dumps(one.metadata, ensure_ascii=False) if one.metadata else None
            values = (one.place, one.name, one.file, len(self._shards) - 1, metadata)
            # Of two members of a tar by one name the last counts, as when it is unpacked.
            self._db.execute("INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?, ?)", values)
        self._db.execute("COMMIT")

    def entries(self) -> Iterator[Entry]:
        """The images: by their names, but by their places where these are shared."""
        self._db.execute("CREATE INDEX members_name ON members (name)")
        self._db.execute("CREATE TABLE shared AS SELECT name FROM members GROUP BY name HAVING count(*) > 1")
        sql = """SELECT CASE WHEN name IS NULL OR name IN (SELECT name FROM shared WHERE name IS NOT NULL) THEN place
                 ELSE name END, file, shard, metadata FROM members"""
        for key, file, number, metadata in self._db.execute(sql):
            shard = self._shards[number]
            inside = file.startswith(("tar:", "parquet:"))
            yield Entry(key, relative(self._root, file), shard.stamp if inside else None,
                        json.loads(metadata) if metadata else {})  # fmt: skip
        self._db.close()


def _stamped(shard: Shard) -> Shard:
    """With its stamp, which a listing may not have told."""
    if shard.stamp is not None:
        return shard
    try:
        return Shard(shard.name, shard.file, source_at(shard.file).stamp())
    except OSError:
        return shard
