"""Explains hits: finds the judgments that taught the student most about each of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING

import numpy as np

from vdistill.arrays import Floats
from vdistill.database import Database
from vdistill.encoders.student import provenance, read_info, same_provenance
from vdistill.encoders.text_vectors import Advance, Encode, TextVectors
from vdistill.errors import VdistillError
from vdistill.query.search import Searcher
from vdistill.query.shared_texts import TextEncoders
from vdistill.query.why.influence import ITEM_WIDTH, QUERY_WIDTH, Rows, advantages, kernel, rows_of
from vdistill.query.why.reasons import Reason, Shown
from vdistill.query.why.taught import Taught, TrainingQueries, id_of
from vdistill.records import title_of
from vdistill.sources import joined

if TYPE_CHECKING:
    from vdistill.workspace import Workspace

UNTAUGHT = "the backbone was taught by no judgments, so none explain its results"
REASONS = 3  # named for a hit
HEAD = 0.25  # of a ranking, where `student.json` does not say with which one it was trained
ALIKE = 0.9  # of the catalog must be less like the hit than the judged image that explains it
_ROUNDING = 1e-6  # in a tiny catalog the floor is the image itself
_HITS = 64  # that are compared with all judged images at once
_FEW = 16  # texts that are encoded one by one: trying whether batches keep them the same would take longer


class Explainer:
    """Names the judgments that taught a student, for hits of its index. Open it with `open`, in a `with`."""

    def __init__(
        self, searcher: Searcher, queries: TrainingQueries, vectors: Callable[[], Floats], head: float
    ) -> None:  # fmt: skip
        self._searcher, self._queries, self._head = searcher, queries, head
        self._give_vectors = vectors
        self._last: tuple[bytes, _Compared | None] | None = None

    @classmethod
    @contextmanager
    def open(
        cls,
        workspace: Workspace | None,
        searcher: Searcher,
        advance: Advance = lambda done, total: None,
        encode: Encode | None = None,
    ) -> Iterator[Explainer]:
        """For the hits of this searcher, by the judgments of this workspace.

        advance: hears how many training queries are encoded, the first time.
        encode: encodes them, as the searcher would; without it many are encoded at once.
        Raises VdistillError where it is not the index of this workspace's student, and where nothing taught it.
        """
        if searcher.model != "student":
            raise VdistillError(UNTAUGHT,
                                hint="search with the student: without --model backbone, after `vdistill distill`"
                                )  # fmt: skip
        if workspace is None or not workspace.database.is_file():
            raise VdistillError("the judgments that explain results are not here: they stay in the workspace",
                                hint="run it where the student was made, or give --workspace DIR")  # fmt: skip
        info = read_info(workspace)
        if info is None or not same_provenance(searcher.manifest.made_from, provenance(workspace, "student", "")):
            raise VdistillError(f"the index is of another student than the one in {workspace.root}",
                                hint="give the workspace of that student: --workspace DIR")  # fmt: skip
        until = info.facts.get("judged_until") or (workspace.student / "student.json").stat().st_mtime
        head = float((info.facts.get("settings") or {}).get("head") or HEAD)
        entry = searcher.manifest
        vectors = TextVectors(workspace, entry.text_fingerprint, entry.dim)
        with Database.open(workspace.database, write=False) as database:
            queries = TrainingQueries(database, float(until))
            if not queries.texts:
                raise VdistillError(f"there are no training judgments in {workspace.root}",
                                    hint="they may lie elsewhere: --workspace DIR, or `vdistill label --import FILE`"
                                    )  # fmt: skip
            if not database.lessons.any_until(float(until)):
                raise VdistillError(f"all training judgments in {workspace.root} are newer than its student",
                                    hint="run `vdistill distill` to train it on them")  # fmt: skip
            known = partial(_known, vectors, queries.texts, encode or _encoding(searcher), advance)
            yield cls(searcher, queries, known, head)

    def reasons(self, vector: np.ndarray, ids: Sequence[str], count: int = REASONS) -> list[tuple[Reason, ...]]:
        """For each hit the judgments of most influence, strongest first, each on another training query.

        vector: (dim,) of the search that found the hits: a text, an image or a mixture.  ids: of the hits.
        Empty for a hit that resembles nothing that was judged for a query near the search.
        Raises VdistillError for an id that is not in the index.
        """
        if not ids:
            return []
        compared = self._compared(vector)
        if compared is None:
            return [() for _ in ids]
        found: list[tuple[Reason, ...]] = []
        for start in range(0, len(ids), _HITS):
            found += self._explained(compared, ids[start : start + _HITS], count)
        return found

    def _compared(self, vector: np.ndarray) -> _Compared | None:
        """The judgments near a search, None where there are none.

        Those of the last search are kept: whoever asks about one of its hits may ask about the next.
        """
        key = vector.tobytes()
        if self._last is None or self._last[0] != key:
            self._last = key, self._read(vector)
        return self._last[1]

    def _read(self, vector: np.ndarray) -> _Compared | None:
        similarity = self._vectors @ vector
        taught = self._queries.nearest(similarity, self._searcher.store.items)
        if not taught.lessons:
            return None
        near = kernel(taught.similarity, float(taught.similarity.max()), float(similarity.std()), QUERY_WIDTH)
        return _Compared.of(taught, near, self._searcher, self._head)

    def _explained(self, compared: _Compared, ids: Sequence[str], count: int) -> Iterator[tuple[Reason, ...]]:
        vectors = self._searcher.vectors(ids)
        sample = self._searcher.store.sample @ vectors.T
        floors = np.quantile(sample, ALIKE, axis=0)
        alike = compared.vectors @ vectors.T
        alike[~compared.present] = -np.inf
        weights = kernel(alike, 1.0, sample.std(axis=0), ITEM_WIDTH)
        pulls = weights[compared.rows.item] * compared.rows.advantage[:, None]
        influence = np.add.reduceat(pulls, compared.rows.start, axis=0) * compared.near[:, None]
        for number in range(len(ids)):
            yield compared.strongest(influence[:, number], pulls[:, number], alike[:, number], floors[number], count)

    @cached_property
    def _vectors(self) -> Floats:
        """(n, dim) of the training queries."""
        return self._give_vectors()


def _known(kept: TextVectors, texts: Sequence[str], encode: Encode, advance: Advance) -> Floats:
    found = kept.of(texts, encode, advance)
    kept.save()
    return found


def _encoding(searcher: Searcher) -> Encode:
    """Encodes texts as the searcher does, many of them several at a time."""

    @cache
    def many() -> Searcher:
        return Searcher(searcher.store, searcher.model, texts=TextEncoders().of(searcher.store))

    return lambda texts: (searcher if len(texts) <= _FEW else many()).encode(texts)


@dataclass(frozen=True)
class _Compared:
    """The judgments near a search as arrays.

    near: (j,) kernel of each judgment's query.  ids: of the m images.  vectors: (m, dim).
    present: (m,) whether the index has the image as it was judged.
    """

    taught: Taught
    near: Floats
    rows: Rows
    vectors: Floats
    present: np.ndarray
    places: dict[str, int]
    searcher: Searcher
    head: float

    @classmethod
    def of(cls, taught: Taught, near: Floats, searcher: Searcher, head: float) -> _Compared:
        judgments = [lesson.judgment for lesson in taught.lessons]
        ids = list(dict.fromkeys(item for one in judgments for item in one.items))
        present = np.array([item in taught.rows for item in ids])
        vectors = np.zeros((len(ids), searcher.manifest.dim), np.float32)
        keys = np.array([taught.rows[item].key for item in ids if item in taught.rows], np.uint64)
        vectors[present] = searcher.store.vectors(keys)
        places = {item: number for number, item in enumerate(ids)}
        return cls(taught, near, rows_of(judgments, places, head), vectors, present, places, searcher, head)

    def strongest(
        self, influence: Floats, pulls: Floats, alike: Floats, floor: float, count: int
    ) -> tuple[Reason, ...]:
        """The judgments of most influence on one hit.

        influence: (j,).  pulls: (r,) what each row adds to it.  alike: (m,) of the images and the hit.
        """
        found: dict[str, Reason] = {}
        for number in np.argsort(-np.abs(influence), kind="stable").tolist():
            lesson = self.taught.lessons[number]
            if len(found) == count or not influence[number]:
                break
            if lesson.judgment.query in found:
                continue
            start, size = int(self.rows.start[number]), len(lesson.judgment.items)
            position = int(np.argmax(pulls[start : start + size] * np.sign(influence[number])))
            similarity = float(alike[self.rows.item[start + position]])
            if similarity >= floor - _ROUNDING:
                found[lesson.judgment.query] = self._reason(number, position, similarity, float(influence[number]))
        return tuple(found.values())

    def _reason(self, number: int, position: int, similarity: float, influence: float) -> Reason:
        lesson = self.taught.lessons[number]
        judgment, answer = lesson.judgment, lesson.judgment.answer
        said, chances = advantages(judgment, self.head), answer.probabilities
        order = list(answer.order) if answer.order is not None else sorted(range(len(said)), key=lambda p: -said[p])
        return Reason(
            judgment.query,
            float(self.taught.similarity[number]),
            tuple(self._shown(judgment.items[p], None if chances is None else chances[p]) for p in order),
            order.index(position),
            similarity,
            influence,
            judgment.teacher,
            lesson.asked_at,
        )

    def _shown(self, item: str, probability: float | None) -> Shown:
        row = self.taught.rows.get(item)
        if row is None:
            return Shown(id_of(item), id_of(item), None, probability)
        title = title_of(json.loads(row.metadata)) or item
        return Shown(item, title, joined(self.searcher.catalog_root, row.path), probability)
