"""`index --export`: the vectors of an index as a file that other tools read, with ids, metadata and the model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vdistill.bundle.store import Store
from vdistill.databases.engine import Column
from vdistill.databases.local_items import as_stored, columns_of, local_items
from vdistill.errors import VdistillError
from vdistill.workspace import replacing, write_file, writing

if TYPE_CHECKING:
    import pyarrow as pa

FORMS = (".parquet", ".npy")


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was written."""

    files: tuple[str, ...]
    items: int
    dim: int

    def to_json(self) -> dict[str, Any]:
        """What `index --export --json` has under `export`."""
        return {"files": [*self.files], "items": self.items, "dim": self.dim}


def check_name(path: Path) -> None:
    """Raise VdistillError for a file of a kind that is not written."""
    if path.suffix.lower() not in FORMS:
        raise VdistillError(f"cannot export to {path}", hint="name a .parquet or a .npy file")


def export(store: Store, model: str, path: Path) -> ExportReport:
    """Write ids, metadata and vectors (float32, of length 1) of an open index, in the order of the ids.

    A `.npy` file holds the vectors alone: the items are in a `.jsonl` file beside it, a line for each row, and what the
    vectors were made from in a `.json` file. A `.parquet` file holds it all; the metadata is there as typed columns
    too. Each file appears whole or not at all. Raises VdistillError where it cannot be written.
    """
    check_name(path)
    write = _write_parquet if path.suffix.lower() == ".parquet" else _write_npy
    with writing(path):
        files = write(store, facts(store, model), path)
    return ExportReport(tuple(map(str, files)), store.entry.count, store.entry.dim)


def facts(store: Store, model: str) -> dict[str, Any]:
    """What the vectors were made from."""
    entry = store.entry
    return {
        "model": model, "model_fingerprint": entry.model_fingerprint, "text_fingerprint": entry.text_fingerprint,
        "made_from": entry.made_from, "dim": entry.dim, "dtype": entry.dtype, "items": entry.count,
        "catalog": entry.catalog,
    }  # fmt: skip


def _write_npy(store: Store, known: dict[str, Any], path: Path) -> list[Path]:
    items, about = path.with_suffix(".jsonl"), path.with_suffix(".json")
    shape = (store.entry.count, store.entry.dim)
    with replacing(path) as vectors, replacing(items) as lines, lines.open("w", encoding="utf-8") as file:
        rows: Any = np.lib.format.open_memmap(vectors, "w+", np.float32, shape)
        start = 0
        for batch, found in _batches(store):
            rows[start : start + len(batch)] = found
            start += len(batch)
            file.writelines(json.dumps(one, ensure_ascii=False) + "\n" for one in batch)
        rows.flush()
        del rows
        file.flush()
    write_file(about, json.dumps(known, indent=1) + "\n")
    return [path, items, about]


def _write_parquet(store: Store, known: dict[str, Any], path: Path) -> list[Path]:
    import pyarrow as pa
    from pyarrow import parquet

    columns = [column for column in columns_of(store) if column.kind != "mixed"]
    schema = _schema(columns, store.entry.dim).with_metadata({"vdistill": json.dumps(known)})
    with replacing(path) as aside, parquet.ParquetWriter(aside, schema) as writer:
        for batch in local_items(store):
            stored = as_stored(store, batch, columns)
            vectors = store.vectors(np.array([item.row.key for item in batch], np.uint64))
            own = [
                [item.id for item in stored], [item.path for item in stored], [item.sha256 for item in stored],
                [item.product for item in stored], [item.metadata for item in stored],
            ]  # fmt: skip
            arrays = [pa.array(values, pa.string()) for values in own]
            flat = pa.array(vectors.reshape(-1), pa.float32())
            arrays.append(pa.FixedSizeListArray.from_arrays(flat, store.entry.dim))
            for column in columns:
                values = [_value(column, item.values.get(column.key)) for item in stored]
                arrays.append(pa.array(values, _type(column)))
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))
    return [path]


def _batches(store: Store) -> Iterator[tuple[list[dict[str, Any]], np.ndarray]]:
    for batch in local_items(store):
        lines = [
            {"id": item.row.id, "path": item.row.path, "sha256": item.row.sha256,
             "product": item.product.name if item.product else None, "metadata": json.loads(item.row.metadata)}
            for item in batch
        ]  # fmt: skip
        yield lines, store.vectors(np.array([item.row.key for item in batch], np.uint64))


def _schema(columns: list[Column], dim: int) -> pa.Schema:
    import pyarrow as pa

    own = [(name, pa.string()) for name in ("id", "path", "sha256", "product", "metadata")]
    return pa.schema([*own, ("vector", pa.list_(pa.float32(), dim)), *((one.key, _type(one)) for one in columns)])


def _type(column: Column) -> pa.DataType:
    import pyarrow as pa

    types = {"boolean": pa.bool_(), "number": pa.float64(), "date": pa.date32(), "time": pa.timestamp("s", tz="UTC")}
    return types.get(column.kind, pa.string())


def _value(column: Column, value: Any) -> Any:
    from datetime import date, datetime, timezone

    if value is None:
        return None
    if column.kind == "date":
        return date.fromisoformat(value)
    if column.kind == "time":
        return datetime.fromisoformat(value).replace(tzinfo=timezone.utc)
    return float(value) if column.kind == "number" else value
