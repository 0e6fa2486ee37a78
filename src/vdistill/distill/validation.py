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
from vdistill.evaluation.by_product import NO_PRODUCTS, ByProduct
from vdistill.evaluation.grading import literal_recall, ndcg
from vdistill.evaluation.test_set import HeldOutSet, distinct_titles, from_judgments
from vdistill.inputs.sides import plain
from vdistill.inputs.split import validates
from vdistill.records import Item, Judgment

FEWEST_QUERIES, FEWEST_ITEMS = 5, 20  # fewer would say more about themselves than about the student
MOST_TITLED = 256  # images whose titles validate where judgments are too few to set some aside


@dataclass(frozen=True)
class SetAside:
    """Calls to train on; queries and items to validate with, none where there are too few."""

    training: Calls
    queries: frozenset[str] = frozenset()
    items: frozenset[str] = frozenset()


def set_aside(calls: Calls, share: float, families: Mapping[str, str]) -> SetAside:
    """Set `share` of the queries and of the items aside for validation, by their hashes; copies stay together.

    families: of the items, by id, as `inputs.sides.ItemSides.families` gives them.
    """
    queries = np.array([validates("query", plain(text), share) for text in calls.queries])
    items = np.array([validates("item", families[key], share) for key in calls.items])
    if queries.sum() < FEWEST_QUERIES or items.sum() < FEWEST_ITEMS:
        return SetAside(calls)
    training = calls.without(queries, items)
    if not len(training.query):
        return SetAside(calls)
    return SetAside(
        training,
        frozenset(text for text, chosen in zip(calls.queries, queries, strict=True) if chosen),
        frozenset(key for key, chosen in zip(calls.items, items, strict=True) if chosen),
    )


@dataclass(frozen=True)
class Scores:
    """How the student does in validation.

    ndcg: of each validation query; empty where titles alone validate.
    lost: how much of the probability that titles gave to their own images is lost; None without titles.
    nats: the mean `Exam.nats`, where it was asked for.
    """

    ndcg: list[float]
    lost: float | None
    nats: float | None = None

    def figures(self, name: str) -> dict[str, float]:
        """The figures that there are, by their names in the history."""
        found = {f"{name}_ndcg@10": float(np.mean(self.ndcg))} if self.ndcg else {}
        return found if self.lost is None else {**found, f"{name}_lost": self.lost}


@dataclass(frozen=True)
class Validation:
    """Validation queries and items, and how the backbone does on them.

    tower: over the items.  queries, titles: (q, dim) and (t, dim) unit vectors.  scale: of the backbone's logits.
    trains: whether the images train too, so that their titles reveal a ruined student but not what others lose.
    backbone: its nDCG of each query.  known: the probability that it gives to titles' own images; None without titles.
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
        """The scores of the student as it is now."""
        return self.scores(embed(self.tower))

    def scores(self, images: Tensor) -> Scores:
        """The scores of these vectors (n, dim) of the items."""
        own = self._own(images)
        return Scores(self._ndcg(images), None if own is None or self.known is None else self.known - own)

    def with_backbone(self, images: Tensor) -> Validation:
        """The same, with how the backbone does by its vectors (n, dim) of the items."""
        return replace(self, backbone=self._ndcg(images), known=self._own(images))

    def _ndcg(self, images: Tensor) -> list[float]:
        return [float(value) for value in ndcg(self.test_set, images.cpu().numpy(), self.queries)]

    def literal(self, images: Tensor) -> float | None:
        """The literal recall@1 of these vectors (n, dim) of the items; None without titles."""
        if not len(self.titles):
            return None
        return float(np.mean(literal_recall(self.test_set, images.cpu().numpy(), self.titles, 1)))

    def _own(self, images: Tensor) -> float | None:
        if not len(self.titles):
            return None
        own = torch.zeros(len(self.titles), len(images), dtype=torch.bool, device=images.device)
        for row, titled in enumerate(self.test_set.with_title):
            own[row, torch.from_numpy(np.asarray(titled)).to(own.device)] = True
        return own_probability(torch.from_numpy(self.titles).to(images.device), own, images, self.scale)


def test_set_of(
    judgments: Sequence[Judgment], aside: SetAside, items: Sequence[Item], products: Mapping[str, str]
) -> HeldOutSet | None:
    """The judgments of validation queries about validation items as a test set; None where they are too few.

    products: of the items, by id, as `inputs.sides.ItemSides.products` gives them.
    """
    ours = [replace(one, split="heldout") for one in judgments if one.query in aside.queries]
    try:
        test_set = from_judgments(ours, items, products)
    except VdistillError:  # no query tells two items apart
        return None
    return test_set if len(test_set.judged) >= FEWEST_QUERIES else None


def on_validation_items(
    judgments: Sequence[Judgment], items: Sequence[Item], products: Mapping[str, str]
) -> HeldOutSet | None:
    """What all training queries say of the validation items, as a test set; None where they say nothing.

    No call about these items trains, but most of the queries do: many more queries, which tell finer differences apart.
    """
    try:
        return from_judgments([replace(one, split="heldout") for one in judgments], items, products)
    except VdistillError:
        return None


def titles_alone(items: Sequence[Item]) -> HeldOutSet | None:
    """A test set of titles without queries, which needs no judgments; None where there are fewer than two titles.

    items: those that train, since there are too few to set some aside. `MOST_TITLED` of them, chosen by their hashes.
    """
    with_title = sorted((item for item in items if item.title), key=lambda item: sha256(item.id.encode()).digest())
    chosen = sorted(with_title[:MOST_TITLED], key=lambda item: item.id)
    titles, titled = distinct_titles(chosen)
    if len(titles) < 2:
        return None
    ids = tuple(item.id for item in chosen)
    return HeldOutSet("teacher", "", ids, ByProduct.of(ids, NO_PRODUCTS), (), titles, titled)
