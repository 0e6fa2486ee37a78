"""The caps of one command: every call to a teacher is paid from here, whoever makes it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from vdistill.errors import VdistillError

ROUNDING = 1e-9  # of a dollar: ten times ten cents are a dollar
# After so many calls what they really cost is known better than the estimate.
KNOWN_AFTER = 4


@dataclass(slots=True)
class Purse:
    """Hard caps and what was spent of them.

    budget: calls, None for no cap. max_cost: US dollars, None for no cap. Not for several threads.
    """

    budget: int | None = None
    max_cost: float | None = None
    calls: int = 0
    tokens: int = 0
    usd: float = 0.0
    _estimated: float = 0.0  # what the calls so far were expected to cost

    def pay(self, tokens: int, usd: float, estimate: float | None) -> None:
        """Count one call. Where it brought no bill (usd is 0), the estimate is counted: a cap must not be blind."""
        self.calls += 1
        self.tokens += tokens
        self.usd += usd or estimate or 0.0
        self._estimated += estimate or 0.0

    def affords(self, calls: int, estimate: float, share: float = 1.0) -> bool:
        """Whether the caps (or a share of them) reach for so many more calls, expected to cost `estimate` dollars."""
        if self.budget is not None and self.calls + calls > self.budget * share:
            return False
        return self.max_cost is None or self.usd + estimate * self._ratio() <= self.max_cost * share + ROUNDING

    def reach(self, usd: float, most: int) -> int:
        """How many of `most` calls at `usd` dollars each are affordable."""
        if self.max_cost is None or not usd:
            return most
        left = (self.max_cost + ROUNDING - self.usd) / (usd * self._ratio() or usd)
        return min(most, max(math.floor(left), 0))

    @contextmanager
    def within(self, calls: int) -> Iterator[None]:
        """Inside the block no more than `calls` calls are affordable."""
        before = self.budget
        self.budget = self.calls + calls if before is None else min(self.calls + calls, before)
        try:
            yield
        finally:
            self.budget = before

    def counts_money(self) -> bool:
        """Whether estimates are needed at all."""
        return self.max_cost is not None

    def _ratio(self) -> float:
        """Dollars really paid for a dollar of estimates."""
        known = self.calls >= KNOWN_AFTER and self._estimated > 0
        return self.usd / self._estimated if known else 1.0


def calls_within(max_cost: float | None, usd: float | None, teacher: str) -> int | None:
    """How many calls of this price `max_cost` reaches for; None where it caps nothing.

    Raises VdistillError where it does not reach for one.
    """
    if max_cost is None or not usd:
        return None
    count = math.floor((max_cost + ROUNDING) / usd)
    if count < 1:
        raise VdistillError(
            f"--max-cost {max_cost:g} does not reach for one call of {teacher}, which costs about ${usd:.3g}",
            hint="raise it, or lower the price of a call with --images-per-call or --max-pixels",
        )
    return count
