"""Rows from the files that users have: JSON Lines, CSV and Parquet, with the line of each mistake."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vdistill.errors import VdistillError

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Line:
    """A row and where it stands, for messages: the line of a text file, the row of a Parquet file (from 1)."""

    number: int
    row: Row


def read_rows(path: Path, required: str | None = None) -> Iterator[Line]:
    """The rows of a `.jsonl`, `.csv` or `.parquet` file, one at a time.

    Raises VdistillError, naming file and line, where the file or a line cannot be read or lacks the column `required`.
    """
    readers = {".jsonl": _jsonl, ".ndjson": _jsonl, ".csv": _csv, ".tsv": _csv, ".parquet": _parquet}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise VdistillError(
            f"cannot read {path}: unknown table format {path.suffix or '(no suffix)'}",
            hint="give a .jsonl, .csv or .parquet file",
        )
    if not path.is_file():
        raise VdistillError(f"{path} {'is no file' if path.exists() else 'does not exist'}", hint="check the path")
    try:
        for line in reader(path):
            if required is not None and line.row.get(required) in (None, ""):
                raise VdistillError(
                    f"{path}, line {line.number}: no {required!r}",
                    hint=f"each row needs a {required!r} column; this one has: {', '.join(map(str, line.row))}",
                )
            yield line
    except UnicodeDecodeError as error:
        raise VdistillError(f"{path} is not UTF-8: {error}", hint="save it as UTF-8") from error
    except OSError as error:
        raise VdistillError(f"cannot read {path}: {error.strerror or error}", hint="check the file") from error


def _jsonl(path: Path) -> Iterator[Line]:
    with path.open(encoding="utf-8-sig") as file:
        for number, text in enumerate(file, start=1):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except ValueError as error:
                raise VdistillError(
                    f"{path}, line {number}: not JSON ({error})", hint="mend or remove that line"
                ) from error
            if not isinstance(row, dict):
                raise VdistillError(f"{path}, line {number}: not a JSON object", hint='write {"column": value, …}')
            yield Line(number, row)


def _csv(path: Path) -> Iterator[Line]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True)
        try:
            for row in reader:
                if None in row or any(value is None for value in row.values()):
                    raise VdistillError(
                        f"{path}, line {reader.line_num}: {_width(row)} values, the header names "
                        f"{len(reader.fieldnames or ())}",
                        hint="quote values that hold a comma",
                    )
                yield Line(reader.line_num, dict(row))
        except csv.Error as error:
            raise VdistillError(
                f"{path}, line {reader.line_num}: not CSV ({error})", hint="mend or remove that line"
            ) from error


def _width(row: dict[Any, Any]) -> int:
    return sum(value is not None for key, value in row.items() if key is not None) + len(row.get(None) or ())


def _parquet(path: Path) -> Iterator[Line]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        number = 0
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=4096):
                for row in batch.to_pylist():
                    number += 1
                    yield Line(number, row)
    except pa.ArrowException as error:
        raise VdistillError(f"{path} is not a readable Parquet file: {error}", hint="write it again") from error
