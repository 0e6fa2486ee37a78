"""Judgments that were not asked here: human preference pairs, other tools' answers, TREC qrels, our own exports.

They obey the held-out split like all others: what mixes the two sides is left out and counted.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from vdistill.errors import VdistillError
from vdistill.evaluation.qrels import read_qrels
from vdistill.inputs.sides import Sides, plain
from vdistill.inputs.tables import Line, read_rows
from vdistill.records import Answer, Item, Judgment, Query, Split

PROMPT = "import"
BEST_OF = 8  # pictures in a choice made from qrels
FEW, LOOKS = 4096, 256  # items that are all looked through for lower grades; of more, so many drawn ones
HINT = "each row needs prompt, chosen and rejected: a query and two item ids (or query, and a whole call)"

Keyed = tuple[str, str, Judgment]  # key, prompt, judgment: as the store takes them


@dataclass
class Import:
    """What a file brought. `queries` are those that the workspace did not know; `left_out` counts by reason.

    sides: of the items that were judged, to be registered: (kind, key, split) each.
    """

    judgments: list[Keyed] = field(default_factory=list)
    queries: dict[str, Query] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    sides: list[tuple[str, str, Split]] = field(default_factory=list)


@dataclass
class Importer:
    """Takes calls into a workspace.

    items: the catalog, by id. hashes: of their contents. known: the registered queries. given: those of a file that
    tells what the ids in qrels mean. sides: of the workspace. teacher: for rows without one.
    """

    items: Mapping[str, Item]
    hashes: Mapping[str, str]
    known: Sequence[Query]
    given: Sequence[Query]
    sides: Sides
    teacher: str

    def __post_init__(self) -> None:
        self._split = {query.text: query.split for query in self.given}
        self._registered = {query.text for query in [*self.given, *self.known]}
        self._times: Counter[str] = Counter()
        self._items = self.sides.of_items([*self.items.values()], self.hashes)
        self._of: dict[Split, list[str]] = {}
        self._plain = {plain(text): split for text, split in self._split.items()}
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
        self.found.sides = self._items.rows({item for _, _, one in self.found.judgments for item in one.items})
        return self.found

    def _read_rows(self, path: Path) -> None:
        rows = list(read_rows(path))
        # Of a call that is there as a whole, the other rows say nothing new.
        whole = {line.row.get("call") for line in rows if line.row.get("items")}
        self._items = self.sides.of_items([*self.items.values()], self.hashes, _said(line.row for line in rows))
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
        texts, twice = self._texts()
        left_out = self.found.left_out
        for key, grades in read_qrels(path).items():
            if key in twice:
                left_out["queries whose id names several (give the file with their texts as --queries)"] += 1
                continue
            if key not in texts:
                left_out["rows of unknown queries (give the file with their texts as --queries)"] += 1
                continue
            graded = {item: grade for item, grade in grades.items() if item in self.items}
            left_out["items that are not in the catalog"] += len(grades) - len(graded)
            for items, answer in self._choices(texts[key], graded):
                self._take(texts[key], items, answer, {})
        self.found.left_out = +left_out

    def _texts(self) -> tuple[dict[str, str], set[str]]:
        """What each id means, and the ids that mean several things; a text names itself where it is no id.

        A file that is given for it settles that alone. Raises VdistillError where it uses an id twice.
        """
        found: dict[str, dict[str, None]] = defaultdict(dict)
        for query in self.given or self.known:
            found[query.id][query.text] = None
        twice = {key for key, texts in found.items() if len(texts) > 1}
        if self.given and twice:
            first = min(twice)
            names = " and ".join(map(repr, list(found[first])[:2]))
            raise VdistillError(
                f"{len(twice):,} ids of the queries file are not unique, e.g. {first!r} names {names}",
                hint="give each query an id of its own: qrels know queries by their ids",
            )
        ids = {key: next(iter(texts)) for key, texts in found.items() if key not in twice}
        return {query.text: query.text for query in [*self.known, *self.given] if query.text not in twice} | ids, twice

    def _choices(self, query: str, grades: Mapping[str, int]) -> Iterator[tuple[tuple[str, ...], Answer]]:
        """For each relevant item a choice against some that are less so; what has no grade is not relevant (TREC)."""
        mine = self._items_of(self._side_of_query(query))
        rng = np.random.default_rng(int(hashlib.sha256(query.encode()).hexdigest()[:15], 16))
        for item in sorted(item for item, grade in grades.items() if grade > 0):
            if self._items.split.get(item) == self._side_of_query(query):
                drawn = _drawn(mine, grades, grades[item], rng)
                if drawn:
                    yield (item, *drawn), Answer(probabilities=(1.0, *(0.0 for _ in drawn)))

    def _items_of(self, side: Split) -> list[str]:
        """The items of a side, in order; listed once."""
        if side not in self._of:
            self._of[side] = self._items.of(side)
        return self._of[side]

    def _take(self, query: str, items: Sequence[str], answer: Answer, row: Mapping[str, Any]) -> None:
        left_out = self.found.left_out
        unknown = [item for item in items if item not in self.items]
        if unknown:
            left_out["rows with items that are not in the catalog"] += 1
            return
        split = self._side_of_query(query, row.get("split"))
        if any(item not in self.hashes for item in items):
            left_out["rows with pictures that cannot be read"] += 1
            return
        if {self._items.split.get(item) for item in items} != {split}:
            left_out["rows that mix training and held-out"] += 1
            return
        sha256 = tuple(self.hashes[item] for item in items)
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
        if query not in self._registered:
            self.found.queries.setdefault(query, Query(id=query, text=query, split=split))
        asked_by = row.get("prompt_version") if said else None
        prompt = PROMPT if asked_by is None else str(asked_by)
        self.found.judgments.append((key, prompt, judgment if said else _shuffled(judgment, key)))

    def _side_of_query(self, query: str, said: object = None) -> Split:
        """Where the workspace has put it, else where a file does, else by the hash of its text."""
        if query not in self._split:
            given: Split | None = "train" if said == "train" else "heldout" if said == "heldout" else None
            self._split[query] = self._plain.setdefault(plain(query), self.sides.of_query(query, said=given))
        return self._split[query]

    def _key(self, judgment: Judgment) -> str:
        """The same row in the same place among its likes is the same judgment, so a second import adds nothing."""
        answer = judgment.answer
        content = json.dumps(
            [judgment.teacher, judgment.query, judgment.items, judgment.sha256, answer.probabilities, answer.order]
        )
        self._times[content] += 1
        return hashlib.sha256(f"{PROMPT}\0{content}\0{self._times[content]}".encode()).hexdigest()


def _said(rows: Iterable[Mapping[str, Any]]) -> dict[str, Split]:
    """The sides that an export gives to contents; a content that it has on both is held out."""
    found: dict[str, Split] = {}
    for row in rows:
        side, hashes = row.get("split"), row.get("sha256")
        if side in ("train", "heldout") and isinstance(hashes, list):
            for content in hashes:
                if found.get(str(content)) != "heldout":
                    found[str(content)] = "train" if side == "train" else "heldout"
    return found


def _drawn(items: Sequence[str], grades: Mapping[str, int], grade: int, rng: np.random.Generator) -> list[str]:
    """Some items with a lower grade, by chance; of many items few are looked at."""
    if len(items) <= FEW:
        worse = [other for other in items if grades.get(other, 0) < grade]
        return [worse[place] for place in rng.permutation(len(worse))[: BEST_OF - 1]]
    places = dict.fromkeys(rng.integers(len(items), size=LOOKS).tolist())
    worse = [items[place] for place in places if grades.get(items[place], 0) < grade]
    return worse[: BEST_OF - 1]


def say_what_was_left_out(left_out: Mapping[str, int], say: Callable[[str], None]) -> None:
    """One line for each reason."""
    for reason, count in left_out.items():
        say(f"left out: {count:,} {reason}")


def _shuffled(judgment: Judgment, key: str) -> Judgment:
    """The pictures in an order that tells nothing: with the chosen one always first, its slot would get the credit."""
    answer = judgment.answer
    order = np.random.default_rng(int(key[:15], 16)).permutation(len(judgment.items)).tolist()
    place = {position: new for new, position in enumerate(order)}
    return Judgment(
        query=judgment.query,
        items=tuple(judgment.items[position] for position in order),
        sha256=tuple(judgment.sha256[position] for position in order),
        ask=judgment.ask,
        answer=Answer(
            probabilities=_reordered(answer.probabilities, order),
            order=None if answer.order is None else tuple(place[position] for position in answer.order),
        ),
        teacher=judgment.teacher,
        split=judgment.split,
        pool=judgment.pool,
    )


def _reordered(values: Sequence[float] | None, order: Iterable[int]) -> tuple[float, ...] | None:
    return None if values is None else tuple(values[position] for position in order)


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
        raise VdistillError(
            f"{where}: a probability must be between 0 and 1, got {said!r}",
            hint="give a number from 0 to 1, or nothing",
        )
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
    return (
        isinstance(order, list)
        and all(isinstance(position, int) for position in order)
        and sorted(order) == [*range(size)]
    )


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
