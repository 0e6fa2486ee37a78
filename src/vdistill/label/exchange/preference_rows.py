"""Preference rows of a table as calls: the pairs that people and other tools write, and our exports' whole calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from vdistill.errors import VdistillError
from vdistill.inputs.tables import Line
from vdistill.label.answers import sound
from vdistill.records import Answer, Split

HINT = "each row needs prompt, chosen and rejected: a query and two item ids (or query, and a whole call)"


@dataclass(frozen=True, slots=True)
class ImportedCall:
    """A question and its answer as a file has them. row: its other columns, where they are known."""

    query: str
    items: tuple[str, ...]
    answer: Answer
    row: Mapping[str, Any] = field(default_factory=dict)

    @property
    def side(self) -> Split | None:
        """The side that the row says the query is on."""
        return _side(self.row)


def calls_of(lines: Sequence[Line], path: Path) -> Iterator[ImportedCall]:
    """The calls in the rows of `path`. Raises VdistillError naming the line for a row that cannot be read."""
    # Where an export has a call as a whole, its other rows say nothing new.
    whole = {line.row.get("call") for line in lines if line.row.get("items")}
    for line in lines:
        row, where = line.row, f"{path}, line {line.number}"
        query = _text(row.get("prompt") or row.get("query"))
        if not query:
            raise VdistillError(f"{where}: no prompt", hint=HINT)
        if row.get("items"):
            yield ImportedCall(query, *_whole(row, where), row)
        elif row.get("call") is None or row["call"] not in whole:
            yield ImportedCall(query, *_pair(row, where), row)


def sides_said(lines: Sequence[Line]) -> dict[str, Split]:
    """The sides that an export gives to contents, by hash; a content that it has on both is held out."""
    found: dict[str, Split] = {}
    for line in lines:
        side, hashes = _side(line.row), line.row.get("sha256")
        if side and isinstance(hashes, list):
            found |= {content: side for content in map(str, hashes) if found.get(content) != "heldout"}
    return found


def _side(row: Mapping[str, Any]) -> Split | None:
    said = row.get("split")
    return "train" if said == "train" else "heldout" if said == "heldout" else None


def _pair(row: Mapping[str, Any], where: str) -> tuple[tuple[str, str], Answer]:
    chosen, rejected = _text(row.get("chosen")), _text(row.get("rejected"))
    if not chosen or not rejected:
        raise VdistillError(f"{where}: no {'rejected' if chosen else 'chosen'}", hint=HINT)
    if chosen == rejected:
        raise VdistillError(f"{where}: {chosen!r} is chosen and rejected", hint="name two items")
    said = row.get("probability")
    try:
        probability = 1.0 if said in (None, "") else float(said)
    except (TypeError, ValueError):
        probability = -1.0
    if not 0 <= probability <= 1:
        raise VdistillError(
            f"{where}: a probability must be between 0 and 1, got {said!r}",
            hint="give a number from 0 to 1, or leave it empty",
        )
    return (chosen, rejected), Answer(probabilities=(probability, 1 - probability))


def _whole(row: Mapping[str, Any], where: str) -> tuple[tuple[str, ...], Answer]:
    items, order = row["items"], row.get("order")
    try:
        if not isinstance(items, list) or not all(isinstance(item, str) and item for item in items):
            raise ValueError("items must be a list of ids")
        if not 1 < len(items) == len(set(items)):
            raise ValueError("items must be two or more different ids")
        level = row["level"] if isinstance(row.get("level"), int | float) else None
        answer = Answer(order=order) if order else Answer(probabilities=row.get("probabilities"), level=level)
        answer = replace(answer, none=row.get("none"), accepted=row.get("accepted"))
        return tuple(items), sound(answer, len(items))
    except (TypeError, ValueError, OverflowError) as error:
        raise VdistillError(
            f"{where}: the call cannot be read: {error}",
            hint="besides items it needs either probabilities, which sum to 1, or order, the positions, best first",
        ) from error


def _text(value: object) -> str:
    """A text, or the last message of a conversation, the other layout of preference data."""
    if isinstance(value, list) and value and isinstance(value[-1], dict):
        value = value[-1].get("content")
    if isinstance(value, list):  # parts of a message
        value = next((part.get("text") for part in value if isinstance(part, dict) and part.get("text")), None)
    return value.strip() if isinstance(value, str) else ""
