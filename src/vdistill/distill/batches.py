"""One epoch in steps: each step encodes its images once and uses every call that lies among them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vdistill.distill.calls import Calls


@dataclass(frozen=True)
class Step:
    """The images of one step, each encoded once, and the rows of the calls that lie wholly among them."""

    images: NDArray[np.int64]
    rows: NDArray[np.int64]


def steps(calls: Calls, batch_images: int, rng: np.random.Generator) -> list[Step]:
    """Cut one epoch into steps of up to `batch_images` images, in random order; each call is in exactly one step.

    Calls of one pool share images, so whole pools go together as long as they fit; a larger pool is cut.
    """
    found: list[Step] = []
    rows: list[int] = []
    images: set[int] = set()
    for unit in _units(calls, batch_images, rng):
        new = _images(calls, unit)
        if rows and len(images | new) > batch_images:
            found.append(_step(rows, images))
            rows, images = [], set()
        rows = rows + unit
        images |= new
    if rows:
        found.append(_step(rows, images))
    return [found[i] for i in rng.permutation(len(found))]


def _units(calls: Calls, batch_images: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Rows that belong together: the calls of a pool, or one call that has none; too large a pool row by row."""
    pools = np.unique(calls.pool[calls.pool >= 0])
    for pool in rng.permutation(pools):
        rows = rng.permutation(np.flatnonzero(calls.pool == pool)).tolist()
        if len(_images(calls, rows)) <= batch_images:
            yield rows
        else:
            yield from ([row] for row in rows)
    # Calls without a pool: those with a common first image side by side, so that they may share a step.
    loose = np.flatnonzero(calls.pool < 0)
    shuffled = rng.permutation(len(calls.items))
    yield from ([int(row)] for row in loose[np.argsort(shuffled[calls.image[loose, 0]], kind="stable")])


def _images(calls: Calls, rows: list[int]) -> set[int]:
    return set(calls.image[rows][calls.shown[rows]].tolist())


def _step(rows: list[int], images: set[int]) -> Step:
    return Step(np.array(sorted(images)), np.array(rows))
