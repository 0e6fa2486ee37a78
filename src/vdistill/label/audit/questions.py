"""What an audit asks: units of three questions on the same images, and a few questions once more.

Who scores each image by itself is not asked in another order, and each of its images is a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vdistill.label.schedules.plan import Group, generator

SIZES = (2, 4, 8)
REPEATED = 10  # every tenth question is asked twice
_SHARES = (0.5, 0.25, 0.25)  # of the units by size: a pair tells least


@dataclass(frozen=True, slots=True)
class Unit:
    """The same images for a query, in another order, and for another query.

    turn: (k,) the position in `first` of the image at each position of `turned`.
    """

    first: Group
    turned: Group
    other: Group
    turn: tuple[int, ...]

    def asked(self, *, scores: bool) -> tuple[Group, ...]:
        """Its questions.  scores: of a teacher that scores each image by itself."""
        return (self.first, self.other) if scores else (self.first, self.turned, self.other)


def units(queries: Sequence[str], items: Sequence[str], calls: int, seed: int, *, scores: bool = False) -> list[Unit]:
    """As many units as fit into `calls`, with room for the repeated ones; of fewer calls the first of each size.

    scores: whether each image is a call.
    """
    sizes = [size for size in SIZES if size <= len(items)]
    shares = np.array(_SHARES[: len(sizes)]) / sum(_SHARES[: len(sizes)])
    each = 2 * float(shares @ sizes) if scores else 3.0
    if scores:  # which are the same whenever they are asked for
        calls = min(calls, len(queries) * len(items))
    count = int(calls / (each + each / REPEATED))
    found = []
    for size, share in zip(sizes, shares, strict=True):
        for number in range(max(round(count * share), 1)):
            found.append(_unit(queries, items, size, generator(seed, "audit", str(size), str(number))))
    found = found[: max(count, 1)]
    while scores and len(found) > 1 and 2 * sum(len(unit.turn) for unit in found) * (1 + 1 / REPEATED) > calls:
        found.pop()
    return found


def _unit(queries: Sequence[str], items: Sequence[str], size: int, rng: np.random.Generator) -> Unit:
    query, other = (queries[i] for i in rng.choice(len(queries), 2, replace=False))
    first = [items[i] for i in rng.choice(len(items), size, replace=False)]
    turn = rng.permutation(size)
    while (turn == np.arange(size)).all():
        turn = rng.permutation(size)
    turned = tuple(first[position] for position in turn)
    shown = tuple(first)
    return Unit(Group(query, shown), Group(query, turned), Group(other, shown), tuple(turn.tolist()))
