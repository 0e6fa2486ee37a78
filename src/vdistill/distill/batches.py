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

# In an epoch of more steps the vectors in memory would be too old: there whole calls are put together.
_STEPS_TO_REMEMBER = 16

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
    remembers = len(calls.items) <= _STEPS_TO_REMEMBER * batch_images
    parts: list[Ints] = []
    open_part: Ints = np.zeros(0, np.int64)
    for unit in _units(calls, batch_images, rng, whole=not remembers):
        joined = np.union1d(open_part, unit)
        if len(open_part) and len(joined) > batch_images:
            parts.append(open_part)
            joined = np.unique(unit)
        open_part = joined
    parts.append(open_part)
    found = [step for part in parts if len((step := _step(calls, part, whole=not remembers)).rows)]
    return [found[i] for i in rng.permutation(len(found))]


def _step(calls: Calls, images: Ints, *, whole: bool) -> Step:
    inside = np.zeros(len(calls.items), bool)
    inside[images] = True
    present = inside[calls.image] & calls.shown
    kept = (present == calls.shown).all(axis=1) if whole else present.any(axis=1)
    rows = np.flatnonzero(kept)
    return Step(images, rows, float(present[rows].sum() / max(calls.shown[rows].sum(), 1)))


def _units(calls: Calls, batch_images: int, rng: np.random.Generator, *, whole: bool) -> Iterator[Ints]:
    """Images that belong together: those of a pool; without one each for itself, or those of a call (`whole`)."""
    pool_of = _pools(calls)
    for pool in rng.permutation(np.unique(pool_of[pool_of >= 0])):
        images = rng.permutation(np.flatnonzero(pool_of == pool))
        if len(images) <= batch_images or not whole:
            yield from np.array_split(images, -(-len(images) // batch_images))
        else:
            pool_of[images] = -1
    loose = pool_of < 0
    if not whole:
        yield from rng.permutation(np.flatnonzero(loose))[:, None]
        return
    for row in rng.permutation(np.flatnonzero((loose[calls.image] & calls.shown).any(axis=1))):
        yield calls.image[row][calls.shown[row]]


def _pools(calls: Calls) -> Ints:
    """(images,) the pool in which an image was shown most often, −1 for none."""
    pools, pool = np.unique(calls.pool, return_inverse=True)
    times = np.zeros((len(calls.items), len(pools)), np.int64)
    np.add.at(times, (calls.image[calls.shown], np.repeat(pool, calls.shown.sum(axis=1))), 1)
    return np.asarray(pools[times.argmax(axis=1)], np.int64)
