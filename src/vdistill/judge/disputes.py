"""Questions on which the student and a teacher disagree: where a person's answer tells most."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from vdistill.arrays import Floats
from vdistill.database.people import PREFIX
from vdistill.errors import VdistillError
from vdistill.judge.questions import Planned
from vdistill.label.questions import Asked
from vdistill.label.schedules.plan import generator
from vdistill.query.search import Searcher
from vdistill.records import Judgment, Question, ShownImage

MOST_QUERIES = 300  # that are looked at, since each text is encoded
MOST_OF_A_QUERY = 3  # of the first questions, so that no query takes them all
MOST_IMAGES = 9  # keys of the page
_DRAWN = 8  # one question in so many is never chosen, but drawn at random: a fair sample of what a teacher answered

Shown = Callable[[str, str], "ShownImage | None"]  # (item, content) → the image, where it is still the same
Scores = Callable[[str, Sequence[str]], "Floats | None"]  # (query, items) → (items,), None where one is not known


@dataclass(frozen=True, slots=True)
class _Candidate:
    judgment: Judgment
    images: tuple[ShownImage, ...]

    @property
    def identity(self) -> str:
        """A hash of the question, whatever the order of its images."""
        parts = (self.judgment.query, *sorted(self.judgment.sha256))
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def disputes(
    judgments: Sequence[Judgment], queries: Sequence[str], shown: Shown, scores: Scores, seed: int
) -> Iterator[Planned]:
    """Questions that a teacher has answered, the most disputed first; every fourth is drawn at random instead.

    judgments: of the training side.  queries: those that may be asked.
    """
    found = _candidates(judgments, queries, shown, seed)
    drawn = [one for one in found if int(one.identity[:8], 16) % _DRAWN == 0]
    rest = [one for one in found if int(one.identity[:8], 16) % _DRAWN]
    disputed = [_planned(one, "disputed", seed) for one in _by_dispute(rest, scores)]
    fair = iter([_planned(one, "drawn", seed) for one in sorted(drawn, key=lambda one: one.identity)])
    if not disputed:
        return
    for place, one in enumerate(disputed):
        yield one
        if place % 3 == 2:
            yield from itertools.islice(fair, 1)
    yield from fair


def _candidates(judgments: Sequence[Judgment], queries: Sequence[str], shown: Shown, seed: int) -> list[_Candidate]:
    """One for each question of some queries; where several teachers answered it, the latest answer."""
    known = sorted(set(queries) & {one.query for one in judgments})
    some = {known[place] for place in generator(seed, "disputes").permutation(len(known))[:MOST_QUERIES]}
    found: dict[str, _Candidate] = {}
    for one in judgments:
        if one.query not in some or one.teacher.startswith(PREFIX) or not 2 <= len(one.items) <= MOST_IMAGES:
            continue
        images = [shown(*pair) for pair in zip(one.items, one.sha256, strict=True)]
        if all(images) and len(set(one.sha256)) == len(images):
            candidate = _Candidate(one, tuple(image for image in images if image))
            found[candidate.identity] = candidate
    return list(found.values())


def _by_dispute(candidates: Sequence[_Candidate], scores: Scores) -> list[_Candidate]:
    """The most disputed first, with no more than MOST_OF_A_QUERY of a query before the others had their turn."""
    rated = []
    for one in candidates:
        student = scores(one.judgment.query, one.judgment.items)
        if student is not None:
            rated.append((dispute(one.judgment, student), one.identity, one))
    rated.sort(key=lambda row: (-row[0], row[1]))
    taken: Counter[str] = Counter()
    first: list[_Candidate] = []
    later: list[_Candidate] = []
    for _, _, one in rated:
        taken[one.judgment.query] += 1
        (first if taken[one.judgment.query] <= MOST_OF_A_QUERY else later).append(one)
    return first + later


def dispute(judgment: Judgment, student: Floats) -> float:
    """How far down the student has what the teacher prefers: 0 where it is the student's first, 1 where it is the last.

    student: (k,) scores of the images. The mean over the teacher's probabilities; of a ranking its first counts.
    """
    places = rankdata(-student) - 1
    weights = np.eye(len(places))[judgment.answer.best]
    if judgment.answer.probabilities is not None:
        weights = np.asarray(judgment.answer.probabilities)
    return float(weights @ places / max(len(places) - 1, 1))


def _planned(one: _Candidate, reason: str, seed: int) -> Planned:
    """The question in another order than the teacher saw it in, where positions had their own effect."""
    order = generator(seed, "shown to a person", one.identity).permutation(len(one.images))
    question = Question(one.judgment.query, tuple(one.images[place] for place in order))
    return Planned(Asked(question, "train", one.judgment.pool), "drawn" if reason == "drawn" else "disputed")


def by_index(searcher: Searcher) -> Scores:
    """The scores of an index's model."""
    texts: dict[str, Floats] = {}

    def scores(query: str, items: Sequence[str]) -> Floats | None:
        try:
            images = searcher.vectors(items)
        except VdistillError:  # an item that is not indexed
            return None
        if query not in texts:
            texts[query] = np.asarray(searcher.encode([query])[0], np.float64)
        return np.asarray(images @ texts[query], np.float64)

    return scores
