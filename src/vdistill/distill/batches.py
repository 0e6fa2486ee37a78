"""One epoch in steps: each step encodes its images once and uses every call that has one of them.

The images of a call that another step encodes are represented by their last known vectors (a memory bank: Wang et al.
2020, "Cross-Batch Memory for Embedding Learning"). So an epoch is a partition of the images and costs as much as
encoding them once, however many calls there are and however they overlap.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from vdistill.arrays import Ints
from vdistill.distill.choices import Calls


@dataclass(frozen=True)
class Step:
    """The images of one step, ascending, and the rows of the calls that have some of them.

    share: of all images shown in those rows, how many are among `images`, in (0, 1].
    """

    images: Ints
    rows: Ints
    share: float


def step_count(calls: Calls, batch_images: int) -> int:
    """How many steps an epoch has: the same number in every epoch."""
    return max(1, -(-len(calls.items) // batch_images))


def steps(calls: Calls, batch_images: int, rng: np.random.Generator) -> list[Step]:
    """Cut one epoch into steps of `batch_images` images, in random order; only the last may have fewer.

    The images of a pool follow one another, since their calls compare them with each other: where a pool does not fit
    into the rest of a step, it continues in the next one.
    """
    order = _order(calls, rng)
    parts = [np.sort(order[at : at + batch_images]) for at in range(0, max(len(order), 1), batch_images)]
    step_of = np.empty(len(order), np.int64)
    for number, part in enumerate(parts):
        step_of[part] = number
    return [
        Step(images, rows, share)
        for images, (rows, share) in zip(parts, _rows(calls, step_of, len(parts)), strict=True)
    ]


def _rows(calls: Calls, step_of: Ints, count: int) -> list[tuple[Ints, float]]:
    """For each step the rows of the calls that have some of its images, ascending, and `Step.share`.

    One sort for all steps, so that the cost does not grow with the number of steps.
    """
    row, position = np.nonzero(calls.shown)
    meetings, present = np.unique(step_of[calls.image[row, position]] * len(calls.query) + row, return_counts=True)
    step, rows = np.divmod(meetings, len(calls.query))
    shown = calls.shown.sum(axis=1)[rows]
    ends = np.searchsorted(step, np.arange(count + 1))
    return [
        (rows[start:end], float(present[start:end].sum() / max(shown[start:end].sum(), 1)))
        for start, end in pairwise(ends)
    ]


def _order(calls: Calls, rng: np.random.Generator) -> Ints:
    """(images,) each pool's images together, pools and images in random order; those without a pool come last."""
    pool_of = _pools(calls)
    place_of = np.append(rng.permutation(pool_of.max(initial=-1) + 1), pool_of.max(initial=-1) + 1)  # −1: the last
    shuffled = rng.permutation(len(pool_of))
    return shuffled[np.argsort(place_of[pool_of[shuffled]], kind="stable")]


def _pools(calls: Calls) -> Ints:
    """(images,) the pool in which an image was shown most often, −1 for none."""
    pools, pool = np.unique(calls.pool, return_inverse=True)
    meetings = calls.image[calls.shown] * len(pools) + np.repeat(pool, calls.shown.sum(axis=1))
    found, times = np.unique(meetings, return_counts=True)
    image, where = np.divmod(found, len(pools))
    order = np.lexsort((times, image))  # of each image the pool with the most meetings comes last
    chosen: Ints = np.full(len(calls.items), -1)
    chosen[image[order]] = pools[where[order]]
    return chosen
