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
from vdistill.records import Item

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
        contents = dict(
            pair for one in lessons for pair in zip(one.judgment.items, one.judgment.sha256, strict=True)
        )  # fmt: skip
        known = items.known([*contents])
        gone = [content for id_, content in contents.items() if id_ not in known or known[id_].sha256 != content]
        if gone:
            known |= items.known([], gone)
        judgments = following([one.judgment for one in lessons], {id_: row.sha256 for id_, row in known.items()})
        lessons = [replace(one, judgment=now) for one, now in zip(lessons, judgments, strict=True)]
        judged = dict(pair for one in judgments for pair in zip(one.items, one.sha256, strict=True))
        rows = {id_: row for id_, row in known.items() if judged.get(id_) == row.sha256}
        sides = self._sides.of_items([_item(id_, rows.get(id_)) for id_ in judged], judged).split
        return [one for one in lessons if all(sides.get(item) == "train" for item in one.judgment.items)], rows


def _item(id_: str, row: Row | None) -> Item:
    return Item(id_, "", json.loads(row.metadata) if row else {})
