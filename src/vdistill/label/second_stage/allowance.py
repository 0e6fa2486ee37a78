"""What all searches of a server may cost together: strangers may search, and must not be able to spend without end."""

from __future__ import annotations

import threading
import time

from vdistill.label.purse import Purse


class Allowance:
    """Hard caps over the life of a server, and a pace. May be shared between threads.

    A search reserves what it may need before it asks, so that searches at the same time cannot exceed the caps
    together, and gives back what it did not spend.
    """

    def __init__(
        self, budget: int | None = None, max_cost: float | None = None, per_minute: int | None = None
    ) -> None:  # fmt: skip
        """budget: calls.  max_cost: US dollars.  per_minute: calls; None for no cap."""
        self._calls, self._usd, self._per_minute = budget, max_cost, per_minute
        self._now, self._at = float(per_minute or 0), time.monotonic()
        self._lock = threading.Lock()
        self.calls, self.usd = 0, 0.0  # that were spent

    def reserve(self, calls: int, usd: float) -> Purse:
        """A purse for a search of up to `calls` calls at `usd` dollars in all; it may hold less, or nothing."""
        with self._lock:
            self._refill()
            caps = [calls, *([self._calls] if self._calls is not None else [])]
            caps += [int(self._now)] if self._per_minute else []
            granted = max(min(caps), 0)
            self._take(granted, 1)
            dollars = None
            if self._usd is not None:
                dollars = max(min(usd * granted / max(calls, 1), self._usd), 0.0)
                self._usd -= dollars
            return Purse(granted, dollars)

    def give_back(self, purse: Purse) -> None:
        """Return what is left in a purse; what was spent beyond it is missing later."""
        with self._lock:
            self.calls, self.usd = self.calls + purse.calls, self.usd + purse.usd
            self._take((purse.budget or 0) - purse.calls, -1)
            if self._usd is not None and purse.max_cost is not None:
                self._usd += purse.max_cost - purse.usd

    def _take(self, calls: int, sign: int) -> None:
        self._calls = None if self._calls is None else self._calls - sign * calls
        self._now = min(self._now - sign * calls, float(self._per_minute or 0))

    def _refill(self) -> None:
        now, per_minute = time.monotonic(), self._per_minute or 0
        self._now = min(self._now + (now - self._at) * per_minute / 60, float(per_minute))
        self._at = now
