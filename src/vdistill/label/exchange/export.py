"""Judgments as a file that others read: preference pairs with the columns that preference trainers expect.

Each call becomes one row for every pair of pictures that its answer sets apart (`pairs`): `prompt`, `chosen` and
`rejected`, as TRL names them, and `probability` that the first is preferred. The first row of a call also tells the
whole call, from which `vdistill label --import` restores it; in the other rows those columns are null.
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


def pairs(answer: Answer) -> Iterator[tuple[int, int, float]]:
    """(slot chosen, slot rejected, probability): all pairs of a ranking, and of a choice those with its winner."""
    if answer.order is not None:
        for better, worse in combinations(answer.order, 2):
            yield better, worse, 1.0
        return
    chances = answer.probabilities or ()
    winner = max(range(len(chances)), key=chances.__getitem__)
    for position, chance in enumerate(chances):
        if position != winner:
            yield winner, position, chances[winner] / (chances[winner] + chance)


def rows(judgments: Iterable[tuple[str, Judgment]]) -> Iterator[dict[str, Any]]:
    """The rows of (key, judgment) pairs."""
    for key, judgment in judgments:
        answer = judgment.answer
        whole: dict[str, Any] | None = {
            "items": list(judgment.items),
            "probabilities": None if answer.probabilities is None else list(answer.probabilities),
            "order": None if answer.order is None else list(answer.order),
            "sha256": list(judgment.sha256),
            "pool": judgment.pool,
            "prompt_version": judgment.prompt,
        }
        for better, worse, probability in pairs(answer):
            yield {
                "prompt": judgment.query,
                "chosen": judgment.items[better],
                "rejected": judgment.items[worse],
                "probability": round(probability, 7),
                "teacher": judgment.teacher,
                "split": judgment.split,
                "call": key,
                **(whole or dict.fromkeys(("items", "probabilities", "order", "sha256", "pool", "prompt_version"))),
            }
            whole = None


def export(judgments: Sequence[tuple[str, Judgment]], path: Path) -> int:
    """Write them to a `.jsonl` or `.parquet` file, whole or not at all; the number of rows.

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
        ("order", pa.list_(pa.int64())), ("sha256", pa.list_(text)), ("pool", pa.int64()),
        ("prompt_version", text),
    ])  # fmt: skip
    count = 0
    with pq.ParquetWriter(path, schema) as writer:
        while part := list(islice(found, ROWS_AT_ONCE)):
            writer.write_table(pa.Table.from_pylist(part, schema))
            count += len(part)
    return count
