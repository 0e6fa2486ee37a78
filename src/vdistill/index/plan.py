"""What a new index can take over from the old one, and what has to be embedded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from vdistill.catalog import Catalog, Skipped
from vdistill.images import file_sha256
from vdistill.index.store import Row
from vdistill.records import Item


@dataclass(frozen=True, slots=True)
class Plan:
    """`kept`: rows whose vector the old index has, with its key there; `fresh`: rows to embed.

    The hash of a fresh row is empty where the file was not read yet.
    """

    kept: tuple[tuple[Row, int], ...]
    fresh: tuple[Row, ...]
    skipped: tuple[Skipped, ...]


def plan(catalog: Catalog, old: Mapping[str, Row], reusable: bool) -> Plan:
    """Compare the catalog with the old rows (by id): by size and time first, by content where these differ.

    Without `reusable` every picture is fresh: the vectors are of another model or precision. An id keeps its key for
    ever; a file that was renamed keeps its vector under a new one.
    """
    by_hash = {row.sha256: row.key for row in old.values()}
    unused = 1 + max((row.key for row in old.values()), default=-1)
    kept: list[tuple[Row, int]] = []
    fresh: list[Row] = []
    skipped: list[Skipped] = []
    for item in catalog.items:
        known = old.get(item.id)
        try:
            row = _row(catalog, item, known, hashed=reusable and bool(old))
        except OSError as error:
            skipped.append(Skipped(item.id, (error.strerror or str(error)).lower()))
            continue
        if known is None:
            row, unused = replace(row, key=unused), unused + 1
        source = _source(row, known, by_hash) if reusable else None
        if source is None:
            fresh.append(row)
        else:
            kept.append((row, source))
    return Plan(tuple(kept), tuple(fresh), tuple(skipped))


def _row(catalog: Catalog, item: Item, known: Row | None, hashed: bool) -> Row:
    status = item.path.stat()
    if known is not None and (known.size, known.mtime_ns) == (status.st_size, status.st_mtime_ns):
        sha256 = known.sha256
    else:
        sha256 = file_sha256(item.path) if hashed else ""
    return Row(
        key=known.key if known else 0,
        id=item.id,
        path=item.path.relative_to(catalog.root).as_posix(),
        sha256=sha256,
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        metadata=json.dumps(item.metadata, ensure_ascii=False, sort_keys=True),
    )


def _source(row: Row, known: Row | None, by_hash: Mapping[str, int]) -> int | None:
    """Key of the old vector of the same content."""
    if known is not None and known.sha256 == row.sha256:
        return known.key
    return by_hash.get(row.sha256)
