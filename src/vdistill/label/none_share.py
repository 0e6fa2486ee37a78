"""Which calls offer "none of these": every fourth of a query, so that it has a zero after a few calls.

The zero is one number for each query, and each such answer measures it about as well as it measures one image; a
quarter of 10 calls gives two or three measurements, of 40 calls ten. More would cost: a model without probabilities
that says "none" prefers nothing. Which fourth depends on the query, so that with one to three calls a query a quarter
of the queries has a zero. Calls are counted as the schedule makes them, so early ones, which show anything, and late
ones, which show the best, are offered it alike.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field, replace

from vdistill.label.schedules import Group

EVERY = 4


@dataclass
class NoneShare:
    """Counts the calls of each query. offered: whether any call offers it."""

    offered: bool
    _calls: Counter[str] = field(default_factory=Counter)

    def marked(self, group: Group) -> Group:
        """The next call of a query, with "none of these" where it is its turn."""
        if not self.offered:
            return group
        number = self._calls[group.query]
        self._calls[group.query] += 1
        first = hashlib.sha256(f"none\0{group.query}".encode()).digest()[0] % EVERY
        return replace(group, none=number % EVERY == first)
