"""By how much each judgment moved the score of each hit.

A judgment's listwise loss pulls the score of an image by what the teacher said of it: the probability that training
aims at, minus that of chance. A student that learns from it moves the scores of similar images for similar queries too;
with a kernel for either similarity, the judgment's influence on the score of a hit h for a search s is

    kernel(s, query) · Σ over the images i shown  kernel(h, i) · (p[i] − 1/n)

Source: the first-order influence of a training example, TracIn (Pruthi et al. 2020, arXiv 2002.08484) and representer
points (Yeh et al. 2018, arXiv 1811.09720), with similarities in the student's own space for the products of gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vdistill.arrays import Floats, Ints
from vdistill.preferences import picks
from vdistill.records import Judgment

# The kernels fall to 1/e over this much of the standard deviation of a similarity over the catalog, or over the
# training queries: chosen on validation queries (docs/benchmarks.md).
ITEM_WIDTH, QUERY_WIDTH = 0.5, 0.5


@dataclass(frozen=True)
class Rows:
    """What j judgments said about the m images in them: r rows, those of a judgment next to each other.

    start: (j,) the first row of each.  item: (r,) index of the image.  advantage: (r,) see `advantages`.
    """

    start: Ints
    item: Ints
    advantage: Floats


def rows_of(judgments: Sequence[Judgment], places: dict[str, int], head: float) -> Rows:
    """The judgments, none of them empty, as arrays.  places: the index of each image, by id."""
    sizes = [len(one.items) for one in judgments]
    item = np.array([places[item] for one in judgments for item in one.items], np.int64)
    said = [advantages(one, head) for one in judgments]
    return Rows(np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64), item, np.concatenate(said))


def advantages(judgment: Judgment, head: float) -> Floats:
    """(n,) what was said of each image shown: the probability of choosing it minus that of chance; the sum is 0.

    A ranking is several choices, among ever fewer images, each of `head` times the weight of the one before, as in
    training.
    """
    total, weight = np.zeros(len(judgment.items)), 0.0
    for place, (positions, probabilities, _) in enumerate(picks(judgment)):
        total[list(positions)] += head**place * (np.asarray(probabilities) - 1 / len(positions))
        weight += head**place
    return total / max(weight, 1e-12)


def kernel(similarity: Floats, best: Floats | float, spread: Floats | float, width: float) -> Floats:
    """1 where a similarity is the best, e^(−1) a `width` of the spread below it."""
    return np.exp((similarity - best) / np.maximum(width * np.asarray(spread), 1e-6))
