"""The caps of one command: every call to a teacher is paid from here, whatever it is for."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

ROUNDING = 1e-9  # of a dollar: ten times ten cents are a dollar
KNOWN_AFTER = 4  # after so many calls their real cost is better known than the estimate


@dataclass(slots=True)
class Purse:
    """Hard caps, and what was spent of them.

    budget: calls, None for no cap.  max_cost: US dollars, None for no cap.  Not for several threads.
    """

    budget: int | None = None
    max_cost: float | None = None
    calls: int = 0
    tokens: int = 0
    usd: float = 0.0
    _estimated: float = 0.0  # the expected cost of the calls so far

    def pay(self, tokens: int, usd: float, estimate: float | None, calls: int = 1) -> None:
        """Count a question, which is a call or several.

        Where the server bills nothing (usd is 0), the estimate counts, so that a cap still holds.
        """
        self.calls += calls
        self.tokens += tokens
        self.usd += usd or estimate or 0.0
        self._estimated += estimate or 0.0

    def earlier(self, calls: int, usd: float, estimate: float) -> None:
        """Count calls that earlier runs of the same command made, or have under way."""
        self.calls += calls
        self.usd += usd
        self._estimated += estimate

    def affords(self, calls: int, estimate: float, share: float = 1.0) -> bool:
        """Whether the caps (or a share of them) allow so many more calls, expected to cost `estimate` dollars."""
        if self.budget is not None and self.calls + calls > self.budget * share:
            return False
        return self.max_cost is None or self.usd + estimate * self._ratio() <= self.max_cost * share + ROUNDING

    def part(self, share: float) -> Callable[[int, float], bool]:
        """As `affords`, for a purpose that may take up to `share` of the caps from here on."""
        calls, spent = self.calls, self.usd

        def affordable(more: int, estimate: float) -> bool:
            if self.budget is not None and self.calls - calls + more > self.budget * share:
                return False
            if self.max_cost is not None:
                expected = self.usd - spent + estimate * self._ratio()
                if expected > self.max_cost * share + ROUNDING:
                    return False
            return self.affords(more, estimate)

        return affordable

    def reach(self, usd: float, most: int) -> int:
        """How many of `most` calls at `usd` dollars each `max_cost` allows."""
        if self.max_cost is None or not usd:
            return most
        left = (self.max_cost + ROUNDING - self.usd) / (usd * self._ratio() or usd)
        return min(most, max(math.floor(left), 0))

    def _ratio(self) -> float:
        """Real dollars per estimated dollar."""
        known = self.calls >= KNOWN_AFTER and self._estimated > 0
        return self.usd / self._estimated if known else 1.0
