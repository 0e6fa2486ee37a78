"""Training-side validation: queries and items that the training never uses, and that are not held out either."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

import numpy as np
import torch
from torch import Tensor

from vdistill.distill.choices import Calls
from vdistill.distill.retention import own_probability
from vdistill.distill.towers import Tower, embed
from vdistill.errors import VdistillError
from vdistill.evaluation.grading import ndcg
from vdistill.evaluation.test_set import HeldOutSet, distinct_titles, from_judgments
from vdistill.inputs.sides import plain
from vdistill.inputs.split import validates
from vdistill.records import Item, Judgment

# Fewer would say more about themselves than about the student.
FEWEST_QUERIES, FEWEST_ITEMS = 5, 20
MOST_WATCHED = 256  # images whose titles watch over a training that has no other validation


@dataclass(frozen=True)
class Parts:
    """Calls to train on; queries and items to validate with, none where there are too few."""

    training: Calls
    queries: frozenset[str]
    items: frozenset[str]


def parts(calls: Calls, share: float, families: Mapping[str, str]) -> Parts:
    """Set `share` of the queries and of the items aside, by their hashes; copies stay together.

    families: of the items, by id: what `inputs.sides.ItemSides.families` says.
    """
    queries = np.array([validates("query", plain(text), share) for text in calls.queries])
    items = np.array([validates("item", families[key], share) for key in calls.items])
    if queries.sum() < FEWEST_QUERIES or items.sum() < FEWEST_ITEMS:
        return Parts(calls, frozenset(), frozenset())
    training = calls.without(queries, items)
    if not len(training.query):
        return Parts(calls, frozenset(), frozenset())
    return Parts(
        training,
        frozenset(text for text, chosen in zip(calls.queries, queries, strict=True) if chosen),
        frozenset(key for key, chosen in zip(calls.items, items, strict=True) if chosen),
    )


@dataclass(frozen=True)
class Scores:
    """How the student does on what validates.

    ndcg: of each validation query, none where titles alone validate.  lost: of the titles' own probability; None
    untitled.
    """

    ndcg: list[float]
    lost: float | None

    def figures(self, name: str) -> dict[str, float]:
        """Those that are there, as in the history."""
        found = {f"{name}_ndcg@10": float(np.mean(self.ndcg))} if self.ndcg else {}
        return found if self.lost is None else {**found, f"{name}_lost": self.lost}


@dataclass(frozen=True)
class Validation:
    """Validation queries and items, with how the backbone does on them.

    backbone: its nDCG of each query.  known: the probability that it gives to the titles' own images, None untitled.
    trains: whether the images train too, so that their titles tell of ruin alone and not how much others lose.
    """

    test_set: HeldOutSet
    tower: Tower
    queries: np.ndarray
    titles: np.ndarray
    scale: float
    trains: bool = False
    backbone: list[float] = field(default_factory=list)
    known: float | None = None

    def grade(self) -> Scores:
        """The student as it is now."""
        images = embed(self.tower)
        own = self._own(images)
        return Scores(self._ndcg(images), None if own is None or self.known is None else self.known - own)

    def with_backbone(self, images: Tensor) -> Validation:
        """The same, knowing how the backbone does: by its vectors (n, dim) of the images."""
        return replace(self, backbone=self._ndcg(images), known=self._own(images))

    def _ndcg(self, images: Tensor) -> list[float]:
        return [float(value) for value in ndcg(self.test_set, images.cpu().numpy(), self.queries)]

    def _own(self, images: Tensor) -> float | None:
        if not len(self.titles):
            return None
        own = torch.zeros(len(self.titles), len(images), dtype=torch.bool, device=images.device)
        for row, titled in enumerate(self.test_set.with_title):
            own[row, torch.from_numpy(np.asarray(titled)).to(own.device)] = True
        return own_probability(torch.from_numpy(self.titles).to(images.device), own, images, self.scale)


def test_set_of(judgments: Sequence[Judgment], chosen: Parts, items: Sequence[Item]) -> HeldOutSet | None:
    """What the teacher said of the validation queries about validation items; None where that is too little."""
    ours = [replace(one, split="heldout") for one in judgments if one.query in chosen.queries]
    try:
        test_set = from_judgments(ours, [item for item in items if item.id in chosen.items])
    except VdistillError:  # not even one query tells two items apart
        return None
    return test_set if len(test_set.judged) >= FEWEST_QUERIES else None


def titles_alone(items: Sequence[Item]) -> HeldOutSet | None:
    """An exam of titles, which needs no judgments; None where fewer than two titles are told apart.

    items: those that train, for there are too few to set some aside. At most `MOST_WATCHED`, chosen by their hashes.
    """
    with_title = sorted((item for item in items if item.title), key=lambda item: sha256(item.id.encode()).digest())
    chosen = sorted(with_title[:MOST_WATCHED], key=lambda item: item.id)
    titles, titled = distinct_titles(chosen)
    if len(titles) < 2:
        return None
    return HeldOutSet("teacher", "", tuple(item.id for item in chosen), (), titles, titled)
