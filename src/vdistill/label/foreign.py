"""Judgments that were not asked here: human preference pairs, other tools' answers, TREC qrels, our own exports.

They obey the held-out split like all others: what mixes the two sides is left out and counted.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vdistill.errors import ImageError, VdistillError
from vdistill.images import file_sha256
from vdistill.qrels import read_qrels
from vdistill.records import Answer, Item, Judgment, Query, Split
from vdistill.splits import split_of
from vdistill.tables import Line, read_rows

PROMPT = "import"
BEST_OF = 8  # pictures in a choice made from qrels
HINT = "each row needs prompt, chosen and rejected: a query and two item ids (or query, and a whole call)"

Keyed = tuple[str, str, Judgment]  # key, prompt, judgment: as the store takes them


@dataclass
class Import:
    """What a file brought. `queries` are those that the workspace did not know; `left_out` counts by reason."""

    judgments: list[Keyed] = field(default_factory=list)
    queries: dict[str, Query] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass
class Importer:
    """Takes calls into a workspace.

    items: the catalog, by id. known: the registered queries. holdout: the workspace's. teacher: for rows without one.
    """

    items: Mapping[str, Item]
    known: Sequence[Query]
    holdout: float
    teacher: str

    def __post_init__(self) -> None:
        self._split = {query.text: query.split for query in self.known}
        self._sha256: dict[str, str] = {}
        self._times: Counter[str] = Counter()
        self.found = Import()

    def read(self, path: Path) -> Import:
        """Everything in `path`: preference rows (`.jsonl`, `.csv`, `.parquet`) or TREC qrels (any other suffix).

        Raises VdistillError, naming file and line, for what cannot be read, and where nothing of it can be used.
        """
        if path.suffix.lower() in (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet"):
            self._read_rows(path)
        else:
            self._read_qrels(path)
        if not self.found.judgments:
            reasons = "; ".join(f"{count:,} {reason}" for reason, count in self.found.left_out.items())
            raise VdistillError(f"{path} has no judgment that can be used: {reasons or 'it has no rows'}", hint=HINT)
        return self.found

    def _read_rows(self, path: Path) -> None:
        rows = list(read_rows(path))
        # Of a call that is there as a whole, the other rows say nothing new.
        whole = {line.row.get("call") for line in rows if line.row.get("items")}
        for line in rows:
            where = f"{path}, line {line.number}"
            query = _text(line.row.get("prompt") or line.row.get("query"))
            if not query:
                raise VdistillError(f"{where}: no prompt", hint=HINT)
            if line.row.get("items"):
                items, answer = _whole(line, where)
            elif line.row.get("call") is not None and line.row["call"] in whole:
                continue
            else:
                items, answer = _pair(line, where)
            self._take(query, items, answer, line.row)

    def _read_qrels(self, path: Path) -> None:
        texts = {query.id: query.text for query in self.known} | {query.text: query.text for query in self.known}
        for key, grades in read_qrels(path).items():
            if key not in texts:
                self.found.left_out["rows of unknown queries (give the file with their texts as --queries)"] += 1
                continue
            graded = {item: grade for item, grade in grades.items() if item in self.items}
            self.found.left_out["items that are not in the catalog"] += len(grades) - len(graded)
            for items, answer in self._choices(texts[key], graded):
                self._take(texts[key], items, answer, {})
        self.found.left_out = +self.found.left_out

    def _choices(self, query: str, grades: Mapping[str, int]) -> Iterator[tuple[tuple[str, ...], Answer]]:
        """For each relevant item a choice against some that are less so; what has no grade is not relevant (TREC)."""
        side = self._side_of_query(query)
        mine = sorted(item for item in self.items if split_of("item", item, self.holdout) == side)
        rng = np.random.default_rng(int(hashlib.sha256(query.encode()).hexdigest()[:15], 16))
        for item in mine:
            if grades.get(item, 0) > 0:
                worse = [other for other in mine if grades.get(other, 0) < grades[item]]
                drawn = [worse[i] for i in rng.permutation(len(worse))[: BEST_OF - 1]]
                if drawn:
                    yield (item, *drawn), Answer(probabilities=(1.0, *(0.0 for _ in drawn)))

    def _take(self, query: str, items: Sequence[str], answer: Answer, row: Mapping[str, Any]) -> None:
        left_out = self.found.left_out
        unknown = [item for item in items if item not in self.items]
        if unknown:
            left_out["rows with items that are not in the catalog"] += 1
            return
        split = self._side_of_query(query, row.get("split"))
        if {split_of("item", item, self.holdout) for item in items} != {split}:
            left_out["rows that mix training and held-out"] += 1
            return
        try:
            sha256 = tuple(self._hash(item) for item in items)
        except ImageError:
            left_out["rows with pictures that cannot be read"] += 1
            return
        said = row.get("sha256")
        if said and tuple(said) != sha256:
            left_out["rows whose pictures have changed since"] += 1
            return
        judgment = Judgment(
            query=query,
            items=tuple(items),
            sha256=sha256,
            ask="rank" if answer.order is not None else "best",
            answer=answer,
            teacher=str(row.get("teacher") or self.teacher),
            split=split,
            pool=row.get("pool") if isinstance(row.get("pool"), int) else None,
        )
        key = str(row["call"]) if said and row.get("call") else self._key(judgment)
        if query not in self._split:
            self.found.queries.setdefault(query, Query(id=query, text=query, split=split))
        self.found.judgments.append((key, PROMPT, judgment if said else _shuffled(judgment, key)))

    def _side_of_query(self, query: str, said: object = None) -> Split:
        """Where the workspace has put it, else where the file does, else by the hash of its text."""
        if query in self._split:
            return self._split[query]
        if said == "train" or said == "heldout":
            return "train" if said == "train" else "heldout"
        return split_of("query", query, self.holdout)

    def _hash(self, item: str) -> str:
        if item not in self._sha256:
            self._sha256[item] = file_sha256(self.items[item].path)
        return self._sha256[item]

    def _key(self, judgment: Judgment) -> str:
        """The same row in the same place among its likes is the same judgment, so a second import adds nothing."""
        answer = judgment.answer
        content = json.dumps(
            [judgment.teacher, judgment.query, judgment.items, judgment.sha256, answer.probabilities, answer.order]
        )
        self._times[content] += 1
        return hashlib.sha256(f"{PROMPT}\0{content}\0{self._times[content]}".encode()).hexdigest()


def say_what_was_left_out(left_out: Mapping[str, int], say: Callable[[str], None]) -> None:
    """One line for each reason."""
    for reason, count in left_out.items():
        say(f"left out: {count:,} {reason}")


def _shuffled(judgment: Judgment, key: str) -> Judgment:
    """The pictures in an order that tells nothing: with the chosen one always first, its slot would get the credit."""
    answer = judgment.answer
    order = np.random.default_rng(int(key[:15], 16)).permutation(len(judgment.items)).tolist()
    place = {slot: new for new, slot in enumerate(order)}
    return Judgment(
        query=judgment.query,
        items=tuple(judgment.items[slot] for slot in order),
        sha256=tuple(judgment.sha256[slot] for slot in order),
        ask=judgment.ask,
        answer=Answer(
            probabilities=_reordered(answer.probabilities, order),
            order=None if answer.order is None else tuple(place[slot] for slot in answer.order),
        ),
        teacher=judgment.teacher,
        split=judgment.split,
        pool=judgment.pool,
    )


def _reordered(values: Sequence[float] | None, order: Iterable[int]) -> tuple[float, ...] | None:
    return None if values is None else tuple(values[slot] for slot in order)


def _pair(line: Line, where: str) -> tuple[tuple[str, str], Answer]:
    chosen, rejected = _text(line.row.get("chosen")), _text(line.row.get("rejected"))
    if not chosen or not rejected:
        raise VdistillError(f"{where}: no {'rejected' if chosen else 'chosen'}", hint=HINT)
    if chosen == rejected:
        raise VdistillError(f"{where}: {chosen!r} is chosen and rejected", hint="name two items")
    said = line.row.get("probability")
    try:
        probability = 1.0 if said in (None, "") else float(said)
    except (TypeError, ValueError):
        probability = -1.0
    if not 0 <= probability <= 1:
        raise VdistillError(f"{where}: the probability {said!r} is none", hint="give a number from 0 to 1, or nothing")
    return (chosen, rejected), Answer(probabilities=(probability, 1 - probability))


def _whole(line: Line, where: str) -> tuple[tuple[str, ...], Answer]:
    items, chances, order = (line.row.get(name) for name in ("items", "probabilities", "order"))
    if isinstance(items, list) and len(items) > 1 and len(set(items)) == len(items) and all(map(_is_text, items)):
        if _is_order(order, len(items)):
            return tuple(items), Answer(order=tuple(order))  # type: ignore[arg-type]
        if _are_chances(chances, len(items)):
            return tuple(items), Answer(probabilities=tuple(float(p) for p in chances))  # type: ignore[union-attr]
    raise VdistillError(
        f"{where}: the call cannot be read",
        hint="items: two or more ids; and either probabilities, as many, that sum to 1, or order, the slots best first",
    )


def _is_order(order: object, size: int) -> bool:
    return isinstance(order, list) and all(isinstance(slot, int) for slot in order) and sorted(order) == [*range(size)]


def _are_chances(chances: object, size: int) -> bool:
    return (
        isinstance(chances, list)
        and len(chances) == size
        and all(isinstance(p, (int, float)) and 0 <= p <= 1 for p in chances)
        and abs(sum(chances) - 1) < 1e-3
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _text(value: object) -> str:
    """A text, or the last message of a conversation (the other layout of preference data)."""
    if isinstance(value, list) and value and isinstance(value[-1], dict):
        value = value[-1].get("content")
    if isinstance(value, list):  # parts of a message
        value = next((part.get("text") for part in value if isinstance(part, dict) and part.get("text")), None)
    return value.strip() if isinstance(value, str) else ""
