"""The judgments that a student was taught by: those on the training queries nearest to a search."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vdistill.arrays import Floats
from vdistill.bundle.items import Items, Row
from vdistill.database import Database
from vdistill.database.lessons import Lesson
from vdistill.inputs.renamed import following
from vdistill.inputs.sides import VERSION, Sides, plain
from vdistill.records import Item, Judgment

_GONE = "\0"  # between the id and the content of an image that the index does not have
NEAREST = 128  # training queries that are looked at
JUDGMENTS = 4096  # and at most so many judgments, but for those on the nearest query


@dataclass(frozen=True)
class Taught:
    """Lessons, the rows of the index that show their images, and how near the queries are.

    rows: by id; an image that is gone from the index, or changed since it was judged, is absent.
    similarity: of each lesson's query to the search.
    """

    lessons: list[Lesson]
    rows: Mapping[str, Row]
    similarity: Floats


class TrainingQueries:
    """The queries that were judged for training, with how many judgments each has.

    until: UNIX time; judgments that were stored later taught nothing.
    """

    def __init__(self, database: Database, until: float) -> None:
        self._database, self._until = database, until
        counts = database.lessons.counts()
        self.texts = [*counts]
        self._counts = np.array([*counts.values()], np.int64)
        self._held_out = {plain(query.text) for query in database.queries("heldout")}
        version = int(database.setting("split_version") or VERSION)
        self._sides = Sides(float(database.setting("holdout") or 0), items=database.item_sides(), version=version)

    def nearest(self, similarity: Floats, items: Items) -> Taught:
        """The judgments on the queries nearest to a search.  similarity: of all queries."""
        near: dict[str, float] = {}
        judgments = 0
        for number in np.argsort(-similarity, kind="stable").tolist():
            judgments += int(self._counts[number])
            if len(near) == NEAREST or (near and judgments > JUDGMENTS):
                break
            if plain(self.texts[number]) not in self._held_out:  # it was held out later
                near[self.texts[number]] = float(similarity[number])
        lessons, rows = self._usable(self._database.lessons.on([*near], self._until), items)
        return Taught(lessons, rows, np.array([near[one.judgment.query] for one in lessons]))

    def _usable(self, lessons: Sequence[Lesson], items: Items) -> tuple[list[Lesson], dict[str, Row]]:
        """The lessons on training items, by their present ids; and the rows of the images as they were judged."""
        judgments = [one.judgment for one in lessons]
        judged = {pair for one in judgments for pair in zip(one.items, one.sha256, strict=True)}
        known = items.known(list({item for item, _ in judged}))
        gone = {content for item, content in judged if item not in known or known[item].sha256 != content}
        if gone:
            known |= items.known([], list(gone))
        hashes = {item: row.sha256 for item, row in known.items()}
        judgments = [_apart(one, hashes) for one in following(judgments, hashes)]
        contents = {item: content for one in judgments for item, content in zip(one.items, one.sha256, strict=True)}
        sides = self._sides.of_items([_item(item, known.get(item)) for item in contents], contents).split
        taught = [
            replace(lesson, judgment=one)
            for lesson, one in zip(lessons, judgments, strict=True)
            if all(sides.get(item) == "train" for item in one.items)
        ]
        return taught, {item: known[item] for item in contents if item in known}


def _apart(judgment: Judgment, hashes: Mapping[str, str]) -> Judgment:
    """The judgment, with ids of their own for images that are gone or changed: one id may have had several contents."""
    pairs = zip(judgment.items, judgment.sha256, strict=True)
    items = tuple(item if hashes.get(item) == then else f"{item}{_GONE}{then}" for item, then in pairs)
    return judgment if items == judgment.items else replace(judgment, items=items)


def id_of(item: str) -> str:
    """The id that an image was judged by."""
    return item.partition(_GONE)[0]


def _item(item: str, row: Row | None) -> Item:
    return Item(item, "", json.loads(row.metadata) if row else {})
