"""TREC run files: the rankings of any search engine, `QUERY Q0 ITEM RANK SCORE TAG` on each line."""

from __future__ import annotations

import math
import re
import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vdistill.arrays import Floats
from vdistill.bench.graded import Known
from vdistill.errors import VdistillError
from vdistill.evaluation.qrels import unknown_note
from vdistill.evaluation.test_set import HeldOutSet
from vdistill.evaluation.trec_ids import ItemNames, QueryNames
from vdistill.inputs.lines import read_lines

HINT = "a line reads `QUERY Q0 ITEM RANK SCORE TAG`, with a number as the score"

# Where the second column is `Q0`, it also ends query ids that hold spaces.
_WITH_Q0 = re.compile(r"(?P<query>\S.*?)\s+Q0\s+(?P<item>\S.*?)\s+(?P<rank>\S+)\s+(?P<score>\S+)\s+\S+")
_WITHOUT = re.compile(r"(?P<query>\S+)\s+\S+\s+(?P<item>\S.*?)\s+(?P<rank>\S+)\s+(?P<score>\S+)\s+\S+")


@dataclass(slots=True)
class _Ranked:
    """What a file ranks for one query, in the order of its lines."""

    items: list[str] = field(default_factory=list)
    scores: array[float] = field(default_factory=lambda: array("d"))
    ranks: array[float] = field(default_factory=lambda: array("d"))

    @property
    def contradictory(self) -> bool:
        """Whether the ranks tell another order than the scores."""
        scores = np.array(self.scores)[np.argsort(self.ranks, kind="stable")]
        return bool((np.diff(scores) > 0).any())


class RunFile:
    """A run as a `Ranker`: held-out items by their scores, −∞ for those that it does not have."""

    def __init__(self, path: Path) -> None:
        """Read the file. Raises VdistillError, naming the line, for one that is not a line of a run."""
        self.name = path.name.removesuffix(".gz")
        self.notes: tuple[str, ...] = ()
        self._ranked = _read(path)

    def scores(self, held_out: HeldOutSet, known: Known) -> Iterator[Floats]:
        """(n,) for each held-out query. Raises VdistillError where no query, or no item, of the file is known."""
        queries, items = QueryNames(known.queries), ItemNames(known.items, known.products)
        by_text = {text: found for name, found in self._ranked.items() if (text := queries.find(name)) is not None}
        rows = _rows(held_out, items, {item for found in self._ranked.values() for item in found.items})
        self.notes = self._notes(held_out, by_text, queries, items, rows)
        return (_scores(by_text.get(query), rows, len(held_out.items)) for query in held_out.queries)

    def _notes(
        self, held_out: HeldOutSet, by_text: Mapping[str, _Ranked], queries: QueryNames, items: ItemNames,
        rows: Mapping[str, Sequence[int] | None],
    ) -> tuple[str, ...]:  # fmt: skip
        strange = {
            "queries": {name for name in self._ranked if queries.find(name) is None},
            "items": {item for item, found in rows.items() if found is None},
        }
        known = {"queries": queries.known, "items": items.known}
        notes = [note for kind in strange for note in unknown_note(kind, self.name, strange[kind], known[kind])]
        for kind, total in (("queries", len(self._ranked)), ("items", len(rows))):
            if len(strange[kind]) == total:
                raise VdistillError(
                    f"none of the {kind} in {self.name} is known, e.g. {min(strange[kind])!r}",
                    hint="queries by id or text as in --queries, items by path in the catalog, or by sku or item_id",
                )
        empty = sum(query not in by_text for query in held_out.queries)
        odd = sum(found.contradictory for found in by_text.values())
        if empty:
            notes.append(f"{self.name} has nothing for {empty:,} of {len(held_out.judged):,} queries: nothing found")
        if odd:
            notes.append(f"{self.name}: in {odd:,} queries ranks and scores contradict each other; the scores count")
        return tuple(notes)


def _rows(held_out: HeldOutSet, names: ItemNames, items: Iterable[str]) -> dict[str, Sequence[int] | None]:
    """For each item of a file its rows among the held-out items; None where it is unknown."""
    place = {key: row for row, key in enumerate(held_out.items)}
    found = {item: names.find(item) for item in items}
    return {item: [place[key] for key in keys if key in place] if keys else None for item, keys in found.items()}


def _scores(ranked: _Ranked | None, rows: Mapping[str, Sequence[int] | None], count: int) -> Floats:
    """(count,): of several names of one item the higher score."""
    scores = np.full(count, -np.inf)
    if ranked is not None:
        for item, score in zip(ranked.items, ranked.scores, strict=True):
            for row in rows[item] or ():
                scores[row] = max(scores[row], score)
    return scores


def _read(path: Path) -> dict[str, _Ranked]:
    """What the file ranks, by the names of its queries."""
    found: dict[str, _Ranked] = {}
    for number, line in read_lines(path, "result"):
        query, item, rank, score = _parse(line, f"{path}, line {number}")
        ranked = found.setdefault(query, _Ranked())
        ranked.items.append(sys.intern(item))
        ranked.scores.append(score)
        ranked.ranks.append(rank)
    if not found:
        raise VdistillError(f"{path} holds no results", hint=HINT)
    for query, ranked in found.items():
        if len(set(ranked.items)) < len(ranked.items):
            twice, _ = Counter(ranked.items).most_common(1)[0]
            raise VdistillError(
                f"{path}: {twice!r} occurs twice for query {query!r}", hint="keep one of its lines in each query"
            )
    return found


def _parse(line: str, where: str) -> tuple[str, str, float, float]:
    """Query, item, rank (0 where it is no number) and score of a line."""
    columns = line.split("\t")
    if len(columns) == 6:
        query, _, item, rank, score, _ = (column.strip() for column in columns)
    elif match := _WITH_Q0.fullmatch(line) or _WITHOUT.fullmatch(line):
        query, item, rank, score = match["query"], match["item"], match["rank"], match["score"]
    else:
        raise VdistillError(f"{where}: {len(line.split())} columns instead of 6", hint=HINT)
    try:
        value = float(score)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise VdistillError(f"{where}: the score {score!r} is not a number", hint=HINT)
    return query, item, float(rank) if rank.isdecimal() else 0.0, value
