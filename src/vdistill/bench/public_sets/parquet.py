"""Rows of published Parquet files, a few at a time: they may hold images."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vdistill.errors import VdistillError

IMAGES = 64  # rows with images that are read at once: some megabytes
_SHARD = re.compile(r"-(\d{5})-of-(\d{5})\b")


def complete(paths: Sequence[Path]) -> bool:
    """Whether there is a file and, of those that are numbered `-00000-of-00002`, none is missing."""
    shards: dict[str, set[int]] = {}
    for path in paths:
        if found := _SHARD.search(path.name):
            shards.setdefault(found[2], set()).add(int(found[1]))
    return bool(paths) and all(len(numbers) == int(total) for total, numbers in shards.items())


def rows(paths: Sequence[Path], columns: Sequence[str], batch: int = 4096) -> Iterator[dict[str, Any]]:
    """These columns of all rows, `batch` rows in memory.

    Raises VdistillError, naming the file, for a damaged one or one that lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in paths:
        try:
            with pq.ParquetFile(path) as file:
                missing = [name for name in columns if name not in file.schema_arrow.names]
                if missing:
                    raise VdistillError(
                        f"{path} has no column {missing[0]!r}; it has {', '.join(file.schema_arrow.names)}",
                        hint="is it another data set, or was it published anew in another layout?",
                    )
                for part in file.iter_batches(batch_size=batch, columns=list(columns)):
                    yield from part.to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise VdistillError(f"{path} is not a readable Parquet file: {error}", hint="download it again") from error
