"""How well items' vectors rank items that nothing trained on: by which strength and fields are chosen.

Many training queries were asked about the validation items too. No call about these items trains, but most of those
queries do, so they tell what is seen of new items; the validation queries guard what new queries get.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

import numpy as np
from torch import Tensor

from vdistill.arrays import Floats
from vdistill.distill.retention import MOST_LOST
from vdistill.distill.validation import Validation, on_validation_items
from vdistill.evaluation.grading import ndcg
from vdistill.evaluation.test_set import HeldOutSet
from vdistill.records import Item, Judgment

MOST_QUERIES = 2000  # in an exam: a thousand tell ways to make a vector apart by ten standard errors


@dataclass(frozen=True)
class Grades:
    """nDCG@10 of each training query, and of each validation query, on the validation items.

    nats: the cross-entropy of each training query's preferences, which tells finer differences than nDCG.
    lost: of the probability that the backbone gives titles' own images; None without titles.
    """

    ndcg: Floats
    unseen: Floats
    nats: Floats
    lost: float | None

    @property
    def mean(self) -> float:
        """Over all training queries."""
        return float(self.ndcg.mean())

    def difference(self, before: Grades) -> tuple[float, float]:
        """How many nats fewer these are: the mean of the paired difference over all training queries, and its error."""
        return _paired(before.nats, self.nats)

    def better_than(self, simpler: Grades) -> bool:
        """Whether these make up for less simplicity: fewer nats over all training queries by more than one error.

        And, in nDCG on the validation queries, not worse by more than one, with no more forgotten than a student may.
        """
        gain, error = self.difference(simpler)
        unseen, unseen_error = _paired(self.unseen, simpler.unseen)
        forgot = self.lost is not None and self.lost > MOST_LOST
        return gain > error and unseen >= -unseen_error and not forgot


@dataclass(frozen=True)
class Exam:
    """wide: what all training queries say of the validation items.  queries: (q, dim) their unit vectors.

    before: (n, dim) the backbone's vectors of the items.
    """

    validation: Validation
    wide: HeldOutSet
    queries: Floats
    before: Floats

    @property
    def items(self) -> tuple[str, ...]:
        """Whose vectors are graded, in this order."""
        return self.validation.test_set.items

    def ndcg(self, items: Tensor) -> Floats:
        """(q,) nDCG@10 of each training query by unit vectors (n, dim)."""
        return ndcg(self.wide, items.cpu().numpy(), self.queries)

    def graded(self, items: Tensor, temperature: float) -> Grades:
        """The grades of unit vectors (n, dim); their cosines are divided by `temperature` to be preferences."""
        scores = self.validation.scores(items)
        return Grades(self.ndcg(items), np.array(scores.ndcg), self.nats(items.cpu().numpy(), temperature), scores.lost)

    def nats(self, vectors: Floats, temperature: float) -> Floats:
        """(q,) the cross-entropy between the teacher's distribution over a query's items and that of the cosines.

        vectors: (n, dim) unit vectors of `items`.
        """
        from scipy.special import log_softmax, softmax

        nats = [
            -float(softmax(judged.utilities) @ log_softmax(vectors[judged.images] @ query / temperature))
            for judged, query in zip(self.wide.judged, self.queries, strict=True)
        ]
        return np.array(nats)


def exam_of(
    validation: Validation,
    wordings: Mapping[str, Floats],
    judgments: Sequence[Judgment],
    items: Sequence[Item],
    products: Mapping[str, str],
    before: Floats,
) -> Exam | None:
    """The exam on what validation sets aside; None where all training queries say nothing of it.

    wordings: the unit vectors of the training queries.  judgments: of training queries.  items: of validation.
    products: of the items, by id.  before: (n, dim) the backbone's vectors of the items.
    """
    wide = on_validation_items(_some(judgments, items), items, products)
    if wide is None:
        return None
    vectors = {**wordings, **dict(zip(validation.test_set.queries, validation.queries, strict=True))}
    known = replace(wide, judged=tuple(one for one in wide.judged if one.query in vectors))
    return Exam(validation, known, np.stack([vectors[query] for query in known.queries]), before)


def _some(judgments: Sequence[Judgment], items: Sequence[Item]) -> Sequence[Judgment]:
    """Those of `MOST_QUERIES` of the queries that were asked about some of the items, chosen by their hashes."""
    watched = {item.id for item in items}
    about = {one.query for one in judgments if not watched.isdisjoint(one.items)}
    chosen = frozenset(sorted(about, key=lambda query: sha256(query.encode()).digest())[:MOST_QUERIES])
    return [one for one in judgments if one.query in chosen]


def _paired(found: Floats, before: Floats) -> tuple[float, float]:
    difference = found - before
    error = difference.std(ddof=1) / math.sqrt(len(difference)) if len(difference) > 1 else math.inf
    return float(difference.mean()), float(error)
