"""Judgments that were not asked here: human preference pairs, other tools' answers, TREC qrels, our own exports.

They obey the held-out split like all others: what mixes the two sides is left out and counted.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from vdistill.errors import VdistillError
from vdistill.evaluation.qrels import by_image, read_qrels
from vdistill.evaluation.trec_ids import ItemNames
from vdistill.inputs.sides import Sides, plain
from vdistill.inputs.tables import TABLES, read_rows
from vdistill.label.exchange.graded_items import choices, texts_by_id
from vdistill.label.exchange.preference_rows import HINT, ImportedCall, calls_of, sides_said
from vdistill.records import Answer, Item, Judgment, Query, Split

PROMPT = "import"


@dataclass
class Import:
    """What a file brought.

    judgments: (key, prompt, judgment) each, as the store takes them.  queries: those that the workspace did not know.
    left_out: how many by reason.  sides: (kind, key, split) of the judged items, to be registered.
    """

    judgments: list[tuple[str, str, Judgment]] = field(default_factory=list)
    queries: dict[str, Query] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    sides: list[tuple[str, str, Split]] = field(default_factory=list)


@dataclass
class Importer:
    """Takes the calls of a file into a workspace.

    items: the catalog, by id.  hashes: of their contents.  known: the registered queries.  given: those of a file that
    tells what the ids in qrels mean.  sides: of the workspace.  teacher: for rows without one.
    """

    items: Mapping[str, Item]
    hashes: Mapping[str, str]
    known: Sequence[Query]
    given: Sequence[Query]
    sides: Sides
    teacher: str

    def __post_init__(self) -> None:
        self._split = {plain(query.text): query.split for query in self.given}
        self._registered = {query.text for query in [*self.given, *self.known]}
        self._times: Counter[str] = Counter()
        self._items = self.sides.of_items([*self.items.values()], self.hashes)
        self._found = Import()

    def import_judgments(self, path: Path) -> Import:
        """Everything in `path`: preference rows (`.jsonl`, `.csv`, `.parquet`) or TREC qrels (any other suffix).

        Raises VdistillError, naming file and line, for what cannot be read, and where no judgment can be used.
        """
        found = self._found
        for call in self._rows(path) if path.suffix.lower() in TABLES else self._qrels(path):
            if reason := self._obstacle(call):
                found.left_out[reason] += 1
            else:
                self._take(call)
        found.left_out = +found.left_out
        if not found.judgments:
            reasons = "; ".join(f"{count:,} {reason}" for reason, count in found.left_out.items())
            raise VdistillError(f"{path} has no judgment that can be used: {reasons or 'it has no rows'}", hint=HINT)
        found.sides = self._items.rows({item for _, _, one in found.judgments for item in one.items})
        return found

    def _rows(self, path: Path) -> Iterator[ImportedCall]:
        lines = list(read_rows(path))
        self._items = self.sides.of_items([*self.items.values()], self.hashes, sides_said(lines))
        return calls_of(lines, path)

    def _qrels(self, path: Path) -> Iterator[ImportedCall]:
        texts, twice = texts_by_id(self.known, self.given)
        items = {"train": self._items.of("train"), "heldout": self._items.of("heldout")}
        left_out, known = self._found.left_out, ItemNames(self.items.values(), self._items.products())
        for key, grades in read_qrels(path).items():
            if key not in texts:
                which = "queries whose id names several" if key in twice else "rows of unknown queries"
                left_out[f"{which} (give the file with their texts as --queries)"] += 1
                continue
            named = {name: grade for name, grade in grades.items() if known.find(name)}
            left_out["items that are not in the catalog"] += len(grades) - len(named)
            yield from choices(texts[key], by_image(named, known), items[self._side(texts[key])])

    def _side(self, query: str, said: Split | None = None) -> Split:
        """Where the workspace has put the query, else where a file does, else by the hash of its text."""
        return self._split.setdefault(plain(query), self.sides.of_query(query, said=said))

    def _obstacle(self, call: ImportedCall) -> str:
        """Why the call is left out, where it is."""
        if any(item not in self.items for item in call.items):
            return "rows with items that are not in the catalog"
        side = self._side(call.query, call.side)
        if any(item not in self.hashes for item in call.items):
            return "rows with images that cannot be read"
        if {self._items.split.get(item) for item in call.items} != {side}:
            return "rows that mix training and held-out"
        exported = call.row.get("sha256")
        if exported and list(exported) != [self.hashes[item] for item in call.items]:
            return "rows whose images have changed since"
        return ""

    def _take(self, call: ImportedCall) -> None:
        row, exported, split = call.row, bool(call.row.get("sha256")), self._side(call.query, call.side)
        judgment = Judgment(
            query=call.query,
            items=call.items,
            sha256=tuple(self.hashes[item] for item in call.items),
            ask="rank" if call.answer.order is not None else "best",
            answer=call.answer,
            teacher=str(row.get("teacher") or self.teacher),
            split=split,
            pool=row["pool"] if isinstance(row.get("pool"), int) else None,
        )
        key = str(row["call"]) if exported and row.get("call") else self._key(judgment)
        known_prompt = exported and row.get("prompt_version") is not None
        prompt = str(row["prompt_version"]) if known_prompt else PROMPT
        self._found.judgments.append((key, prompt, judgment if exported else _shuffled(judgment, key)))
        if call.query not in self._registered:
            self._found.queries.setdefault(call.query, Query(id=call.query, text=call.query, split=split))

    def _key(self, judgment: Judgment) -> str:
        """A hash of the row and of how many equal ones came before, so that a second import adds nothing."""
        answer = judgment.answer
        content = json.dumps(
            [judgment.teacher, judgment.query, judgment.items, judgment.sha256, answer.probabilities, answer.order]
        )
        self._times[content] += 1
        return hashlib.sha256(f"{PROMPT}\0{content}\0{self._times[content]}".encode()).hexdigest()


def _shuffled(judgment: Judgment, key: str) -> Judgment:
    """The images in a random order: were the chosen one always first, its position would get the credit."""
    order = np.random.default_rng(int(key[:15], 16)).permutation(len(judgment.items)).tolist()
    chances, ranking = judgment.answer.probabilities, judgment.answer.order
    return replace(
        judgment,
        items=tuple(judgment.items[position] for position in order),
        sha256=tuple(judgment.sha256[position] for position in order),
        answer=Answer(
            probabilities=None if chances is None else tuple(chances[position] for position in order),
            order=None if ranking is None else tuple(order.index(position) for position in ranking),
        ),
    )
