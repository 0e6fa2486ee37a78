"""One epoch in steps: each step encodes its images once and uses every call that has one of them.

The images of a call that another step encodes are represented by the vectors that they last had (a memory bank:
Wang et al. 2020, "Cross-Batch Memory for Embedding Learning"). So an epoch is a partition of the images, and its cost
that of the images, however many calls there are and however they overlap.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vdistill.distill.calls import Calls

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Step:
    """The images of one step, in order, each encoded once, and the rows of the calls that have some of them.

    share: of all images shown in those rows, how many are among `images`, in (0, 1].
    """

    images: Ints
    rows: Ints
    share: float


def steps(calls: Calls, batch_images: int, rng: np.random.Generator) -> list[Step]:
    """Cut one epoch into steps of up to `batch_images` images, in random order.

    The images of a pool go together as long as they fit, since their calls are about each other.
    """
    parts: list[Ints] = []
    open_part: Ints = np.zeros(0, np.int64)
    for unit in _units(calls, batch_images, rng):
        if len(open_part) and len(open_part) + len(unit) > batch_images:
            parts.append(open_part)
            open_part = np.zeros(0, np.int64)
        open_part = np.concatenate([open_part, unit])
    parts.append(open_part)
    return [_step(calls, np.sort(part)) for part in parts]


def _step(calls: Calls, images: Ints) -> Step:
    inside = np.zeros(len(calls.items), bool)
    inside[images] = True
    present = inside[calls.image] & calls.shown
    rows = np.flatnonzero(present.any(axis=1))
    return Step(images, rows, float(present[rows].sum() / max(calls.shown[rows].sum(), 1)))


def _units(calls: Calls, batch_images: int, rng: np.random.Generator) -> Iterator[Ints]:
    """Images that belong together: those of a pool, in even parts where they are too many; without one each alone.

    Parts of a pool follow one another, so that they remember each other as they are.
    """
    pool_of = _pools(calls)
    for pool in rng.permutation(np.unique(pool_of[pool_of >= 0])):
        images = rng.permutation(np.flatnonzero(pool_of == pool))
        yield from np.array_split(images, -(-len(images) // batch_images))
    yield from rng.permutation(np.flatnonzero(pool_of < 0))[:, None]


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
