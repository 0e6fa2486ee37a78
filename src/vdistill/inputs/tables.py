"""Rows from the files that users have: JSON Lines, CSV and Parquet, with the line of each mistake."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from vdistill.errors import VdistillError
from vdistill.inputs.lines import regular, whole

Row = dict[str, Any]
Reader: TypeAlias = "Callable[[Path], Iterator[Line]]"
_CALLED = {",": "a comma", "\t": "a tab", ";": "a semicolon"}
TABLES = frozenset({".jsonl", ".ndjson", ".csv", ".tsv", ".parquet"})


class Line(NamedTuple):
    """A row and its number, for messages: the line of a text file, the row of a Parquet file (from 1).

    repaired: whether half characters (an emoji cut in two) were replaced by U+FFFD.
    """

    number: int
    row: Row
    repaired: bool = False


def read_rows(path: Path, required: str | None = None, reader: Reader | None = None) -> Iterator[Line]:
    """The rows of a `.jsonl`, `.csv` or `.parquet` file, one at a time.

    reader: of a file whose suffix does not tell what it is.
    Raises VdistillError, naming file and line, where the file or a line cannot be read or lacks the column `required`.
    """
    reader = reader or READERS.get(path.suffix.lower())
    if reader is None:
        raise VdistillError(
            f"cannot read {path}: unknown table format {path.suffix or '(no suffix)'}",
            hint="give a .jsonl, .csv or .parquet file",
        )
    regular(path)
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


def jsonl_rows(path: Path) -> Iterator[Line]:
    """The rows of a file with a JSON object on each line."""
    with path.open(encoding="utf-8-sig") as file:
        for number, text in enumerate(file, start=1):
            if not text.strip():
                continue
            try:
                row = _read(text)
            except ValueError as error:
                raise VdistillError(
                    f"{path}, line {number}: not JSON ({error})", hint="fix or remove that line"
                ) from error
            if not isinstance(row, dict):
                raise VdistillError(f"{path}, line {number}: not a JSON object", hint='write {"column": value, …}')
            sound = whole(row) if "\\" in text and "\\ud" in text.lower() else row
            yield Line(number, sound, repaired=sound is not row and sound != row)


def _object(pairs: list[tuple[str, Any]]) -> Row:
    """A JSON object; of two values by one name the last would win silently."""
    row = dict(pairs)
    if len(row) < len(pairs):
        raise ValueError(f"{_twice([name for name, _ in pairs])!r} occurs twice")
    return row


_DECODER = json.JSONDecoder(object_pairs_hook=_object)  # `json.loads` would make one for each line


def _read(line: str) -> Any:
    """The value of a line, as `_DECODER.decode` gives it: its searches for space take longer than a short row."""
    text = line.strip(" \t\r\n")
    try:
        found, end = _DECODER.raw_decode(text)
    except json.JSONDecodeError:
        end = -1
    return found if end == len(text) else _DECODER.decode(line)  # whose error tells the place in the line


def _twice(names: Sequence[str]) -> str | None:
    """The first name that occurs more than once."""
    return next((name for place, name in enumerate(names) if name in names[:place]), None)


def csv_rows(path: Path, delimiter: str = ",", lists: Sequence[str] = ()) -> Iterator[Line]:
    """The rows of a file of values between delimiters.  lists: columns that may be there several times."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True, skipinitialspace=True)
        try:
            names = [name.strip() for name in next(reader, [])]
            _check_header(path, [name for name in names if name not in lists])
            for values in reader:
                if values and len(values) != len(names):
                    raise VdistillError(
                        f"{path}, line {reader.line_num}: {len(values)} values, the header names {len(names)}",
                        hint=f"quote values that hold {_CALLED.get(delimiter, repr(delimiter))}"
                        if len(values) > len(names)
                        else "add what is missing; in the last line: the file is cut short, fetch it again",
                    )
                if values:
                    row: Row = dict(zip(names, values, strict=True))
                    row.pop("", None)  # columns without a name
                    for name in lists:
                        row[name] = [value for known, value in zip(names, values, strict=True) if known == name]
                    yield Line(reader.line_num, row)
        except csv.Error as error:
            raise VdistillError(
                f"{path}, line {reader.line_num}: not CSV ({error})", hint="fix or remove that line"
            ) from error


def _check_header(path: Path, names: Sequence[str]) -> None:
    """Refuse two columns by one name; those without a name (an index, trailing commas) do not count."""
    if twice := _twice([name for name in names if name]):
        raise VdistillError(f"{path}: two columns are called {twice!r}", hint="rename one of them")


def parquet_rows(path: Path) -> Iterator[Line]:
    """The rows of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        number = 0
        with pq.ParquetFile(path) as file:
            _check_header(path, file.schema_arrow.names)
            for batch in file.iter_batches(batch_size=4096):
                for row in batch.to_pylist():
                    number += 1
                    yield Line(number, row)
    except pa.ArrowException as error:
        raise VdistillError(f"{path} is not a readable Parquet file: {error}", hint="write it again") from error


_tsv = partial(csv_rows, delimiter="\t")
READERS: dict[str, Reader] = {
    ".jsonl": jsonl_rows, ".ndjson": jsonl_rows, ".csv": csv_rows, ".tsv": _tsv, ".parquet": parquet_rows
}  # fmt: skip
