"""How well items' vectors rank items that nothing trained on: by which fields are chosen.

Many training queries were asked about the validation items too. No call about these items trains, but most of those
queries do, so they tell what is seen of new items; the validation queries guard what new queries get.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vdistill.arrays import Floats
from vdistill.distill.retention import MOST_LOST
from vdistill.distill.training_data import TrainingData
from vdistill.distill.validation import Validation, on_validation_items
from vdistill.evaluation.grading import ndcg
from vdistill.evaluation.test_set import HeldOutSet
from vdistill.records import Item, Judgment


@dataclass(frozen=True)
class Grades:
    """nDCG@10 of each training query, and of each validation query, on the validation items.

    lost: of the probability that the backbone gives titles' own images; None without titles.
    """

    ndcg: Floats
    unseen: Floats
    lost: float | None

    @property
    def mean(self) -> float:
        """Over all training queries."""
        return float(self.ndcg.mean())

    def difference(self, before: Grades) -> tuple[float, float]:
        """The mean of the paired difference over all training queries, and its standard error."""
        return _paired(self.ndcg, before.ndcg)

    def better_than(self, simpler: Grades) -> bool:
        """Whether these make up for less simplicity: better by more than one standard error over all training queries.

        And, on the validation queries, not worse by more than one, with no more forgotten than any student may.
        """
        gain, error = self.difference(simpler)
        unseen, unseen_error = _paired(self.unseen, simpler.unseen)
        forgot = self.lost is not None and self.lost > MOST_LOST
        return gain > error and unseen >= -unseen_error and not forgot


@dataclass(frozen=True)
class Exam:
    """wide: what all training queries say of the validation items.  queries: (q, dim) their unit vectors."""

    validation: Validation
    wide: HeldOutSet
    queries: Floats

    @property
    def items(self) -> tuple[str, ...]:
        """Whose vectors are graded, in this order."""
        return self.validation.test_set.items

    def graded(self, items: Tensor) -> Grades:
        """The grades of unit vectors (n, dim)."""
        scores = self.validation.scores(items)
        return Grades(ndcg(self.wide, items.cpu().numpy(), self.queries), np.array(scores.ndcg), scores.lost)


def exam_of(data: TrainingData, judgments: Sequence[Judgment], items: Mapping[str, Item]) -> Exam | None:
    """The exam on what validation sets aside; None where there is too little for that."""
    validation = data.validation
    if validation is None or not validation.backbone:
        return None
    wide = on_validation_items(judgments, [items[key] for key in validation.test_set.items])
    if wide is None:
        return None
    place = {query: number for number, query in enumerate(data.final.calls.queries)}
    rows = torch.tensor([place[query] for query in wide.queries], device=data.final.texts.device)
    return Exam(validation, wide, data.final.texts[rows].cpu().numpy())


def _paired(found: Floats, before: Floats) -> tuple[float, float]:
    difference = found - before
    error = difference.std(ddof=1) / math.sqrt(len(difference)) if len(difference) > 1 else math.inf
    return float(difference.mean()), float(error)
