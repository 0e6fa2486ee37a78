"""Judgments as a file that others read: preference pairs with the columns that preference trainers expect.

Each call becomes one row for every pair of images that its answer orders (`pairs`): `prompt`, `chosen` and `rejected`,
as TRL names them, and `probability` that the first is preferred. The first row of a call also holds the whole call,
from which `vdistill label --import` restores it; in the other rows those columns are null.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations, islice
from pathlib import Path
from typing import Any

from vdistill.errors import VdistillError
from vdistill.records import Answer, Judgment
from vdistill.workspace import replacing, writing

ROWS_AT_ONCE = 20_000
WHOLE_CALL = ("items", "probabilities", "order", "level", "sha256", "pool", "prompt_version", "none", "accepted")


def pairs(answer: Answer) -> Iterator[tuple[int, int, float]]:
    """(chosen position, rejected one, probability): all pairs of a ranking; of a choice those with its winner."""
    for better, worse in combinations(answer.order or (), 2):
        yield better, worse, 1.0
    chances = answer.probabilities or ()
    for position, chance in enumerate(chances):
        if position != answer.best:
            yield answer.best, position, chances[answer.best] / (chances[answer.best] + chance)


def rows(judgments: Iterable[tuple[str, Judgment]]) -> Iterator[dict[str, Any]]:
    """The rows of (key, judgment) pairs."""
    for key, judgment in judgments:
        answer = judgment.answer
        values = (judgment.items, answer.probabilities, answer.order, answer.level, judgment.sha256, judgment.pool,
                  judgment.prompt, answer.none, answer.accepted)  # fmt: skip
        whole: dict[str, Any] = dict(zip(WHOLE_CALL, values, strict=True))
        for better, worse, probability in pairs(answer):
            yield {
                "prompt": judgment.query,
                "chosen": judgment.items[better],
                "rejected": judgment.items[worse],
                "probability": round(probability, 7),
                "teacher": judgment.teacher,
                "split": judgment.split,
                "call": key,
                **whole,
            }
            whole = dict.fromkeys(WHOLE_CALL)


def export_judgments(judgments: Sequence[tuple[str, Judgment]], path: Path) -> int:
    """Write (key, judgment) pairs to a `.jsonl` or `.parquet` file, whole or not at all; the number of rows.

    Raises VdistillError for another kind of file, and where it cannot be written.
    """
    writers = {".jsonl": _write_jsonl, ".parquet": _write_parquet}
    if path.suffix.lower() not in writers:
        raise VdistillError(f"cannot export to {path}", hint="give a .jsonl or .parquet file")
    if not judgments:
        raise VdistillError("there are no judgments to export", hint="run `vdistill label` first")
    with writing(path), replacing(path) as unfinished:
        return writers[path.suffix.lower()](unfinished, rows(judgments))


def _write_jsonl(path: Path, found: Iterator[dict[str, Any]]) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for row in found:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    return count


def _write_parquet(path: Path, found: Iterator[dict[str, Any]]) -> int:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text, number = pa.string(), pa.float64()
    schema = pa.schema([
        ("prompt", text), ("chosen", text), ("rejected", text), ("probability", number), ("teacher", text),
        ("split", text), ("call", text), ("items", pa.list_(text)), ("probabilities", pa.list_(number)),
        ("order", pa.list_(pa.int64())), ("level", number), ("sha256", pa.list_(text)), ("pool", pa.int64()),
        ("prompt_version", text), ("none", number), ("accepted", pa.int64()),
    ])  # fmt: skip
    count = 0
    with pq.ParquetWriter(path, schema) as writer:
        while part := list(islice(found, ROWS_AT_ONCE)):
            writer.write_table(pa.Table.from_pylist(part, schema))
            count += len(part)
    return count
