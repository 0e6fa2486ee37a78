"""Thumbs become judgments of the teacher `human:page`.

What a thumb tells is how a result compares with what was seen beside it, and no more than that:

- Up: the result was chosen among those above it, which one passes on the way down, and the next one below
  (Joachims et al. 2005 on what is looked at). Others that have a thumb up in the same list are no alternatives.
- Down: the result is worse than one other, the nearest above it without a thumb down, or the next below. A press is one
  observation: counted against everything shown it would be nine, and one angry visitor would outweigh a teacher.

The order in which images are stored is drawn at random. The place in the results is no position of an image in a call:
a thumb up is always near the end of what was seen, so its position would get the credit.

Votes train, and never measure: the student chose what could be voted on. So none is kept for a held-out query.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from vdistill.bundle.items import Row
from vdistill.database import Database
from vdistill.database.people import PREFIX
from vdistill.inputs.sides import ItemSides, Sides
from vdistill.records import Answer, Item, Judgment, Query
from vdistill.serve.pace import Pace
from vdistill.serve.refusals import Refused, unknown
from vdistill.serve.reload import Indexes
from vdistill.sources import joined
from vdistill.workspace import Workspace

TEACHER = f"{PREFIX}page"
PROMPT = "thumb:1"
MOST_VOTES = 100_000  # that are stored
_FRESH = 30.0  # seconds
_ABOVE = 7  # of the results above one with a thumb up
_HELD_OUT = "this query is held out: what it measures by is not changed"
_OTHER_SIDE = "this result is held out, or nothing beside it can be compared with it"

Thumb = Literal["up", "down"]


@dataclass(frozen=True, slots=True)
class Vote:
    """A thumb.

    shown: the ids of the results in their order, the one that is voted on among them.  others: thumbs that were given
    in the same list before.
    """

    query: str
    id: str
    thumb: Thumb
    shown: tuple[str, ...]
    others: Mapping[str, Thumb]

    @property
    def compared(self) -> tuple[str, ...]:
        """With what the result is compared; empty where there is nothing."""
        place = self.shown.index(self.id)
        free = [id_ for id_ in self.shown if id_ == self.id or self.others.get(id_) != self.thumb]
        place = free.index(self.id)
        above, below = free[:place], free[place + 1 :]
        if self.thumb == "up":
            return (*above[-_ABOVE:], *below[:1])
        return tuple(above[-1:] or below[:1])


class Votes:
    """Stores votes, one after the other."""

    def __init__(self, workspace: Workspace, indexes: Indexes) -> None:
        self._workspace, self._indexes = workspace, indexes
        self.pace = Pace()
        self._count: int | None = None  # of the votes that are stored
        self._sides: Sides | None = None
        self._read_at = 0.0
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="votes")

    def close(self) -> None:
        """Wait for what is being stored."""
        self.thread.shutdown(wait=True, cancel_futures=True)

    def store(self, vote: Vote, *, undo: bool = False) -> dict[str, Any]:
        """Commit a vote, or take it back: {"stored", "reason"}. Raises Refused for a result that is not indexed."""
        with Database.open(self._workspace.database) as database:
            sides = self._sides_now(database)
            if sides.of_query(vote.query) == "heldout":
                return {"stored": False, "reason": _HELD_OUT}
            items, hashes = self._items((vote.id, *vote.compared))
            placed = sides.of_items(items, hashes)
            compared = [id_ for id_ in vote.compared if placed.split.get(id_) == "train"]
            compared = [id_ for id_ in compared if hashes[id_] != hashes[vote.id]]
            if placed.split.get(vote.id) != "train" or not compared:
                return {"stored": False, "reason": _OTHER_SIDE}
            key, judgment = _judgment(vote, compared, hashes)
            if undo:
                database.people.withdraw(key)
                return {"stored": False, "reason": "taken back"}
            return self._add(database, key, judgment, placed)

    def _add(self, database: Database, key: str, judgment: Judgment, placed: ItemSides) -> dict[str, Any]:
        if database.answered([key]):
            return {"stored": True, "reason": "it was stored before"}
        if self._count is None:
            self._count = database.count_of(TEACHER)
        if self._count >= MOST_VOTES:
            raise Refused(403, "full", f"{MOST_VOTES:,} votes are stored, which is the most")
        database.add_queries([Query(judgment.query, judgment.query, "train")])
        database.add_judgments([(key, PROMPT, judgment)], (), placed.rows(judgment.items))
        self._count += 1
        return {"stored": True, "reason": ""}

    def _sides_now(self, database: Database) -> Sides:
        """The sides of the workspace, as they were half a minute ago at most: there may be very many."""
        if self._sides is None or time.monotonic() - self._read_at > _FRESH:
            self._sides, self._read_at = Sides.read(database), time.monotonic()
        return self._sides

    def _items(self, ids: Sequence[str]) -> tuple[list[Item], dict[str, str]]:
        with self._indexes.lease() as found:
            searcher = found.named(None)
            store = searcher.store.items
            keys = store.keys_of(ids)
            rows: list[Row] = [store.rows_of(keys)[key] for key in keys.tolist()]
            root = searcher.catalog_root
        items = [Item(row.id, joined(root, row.path), json.loads(row.metadata)) for row in rows]
        return items, {row.id: row.sha256 for row in rows}


def _judgment(vote: Vote, compared: Sequence[str], hashes: Mapping[str, str]) -> tuple[str, Judgment]:
    """The key and the judgment; the same vote again has the same key."""
    parts = [TEACHER, PROMPT, vote.query, vote.thumb, *(hashes[id_] for id_ in (vote.id, *compared))]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    ids = (vote.id, *compared)
    order = np.random.default_rng(int(key[:15], 16)).permutation(len(ids)).tolist()
    items = tuple(ids[place] for place in order)
    best = vote.id if vote.thumb == "up" else compared[0]
    chances = tuple(float(item == best) for item in items)
    shas = tuple(hashes[item] for item in items)
    return key, Judgment(vote.query, items, shas, "best", Answer(chances), TEACHER, "train")


def vote_of(query: str, id_: str, thumb: str, shown: Sequence[str], others: Mapping[str, Any]) -> Vote:
    """A vote by its fields. Raises Refused where they contradict one another."""
    if id_ not in shown:
        raise unknown("the result that is voted on is not among those shown", "send the ids of all results as shown")
    given: dict[str, Thumb] = {name: "up" if said == "up" else "down" for name, said in others.items()}
    return Vote(query, id_, "up" if thumb == "up" else "down", tuple(dict.fromkeys(shown)), given)
