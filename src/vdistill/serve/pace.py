"""How often one may call, for what is worth limiting: remembered in memory alone."""

from __future__ import annotations

import time
from collections import OrderedDict

from vdistill.serve.refusals import busy

_CALLERS = 10_000  # whose pace is remembered


class Pace:
    """So many calls a second, and so many at once, for each caller and for all together."""

    def __init__(self, each: tuple[float, float] = (0.5, 20.0), together: tuple[float, float] = (20.0, 200.0)) -> None:
        self._each, self._together = each, together
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # by caller: calls left, when that was

    def take(self, caller: str, now: float | None = None) -> None:
        """Count a call. Raises Refused where there were too many."""
        now = time.monotonic() if now is None else now
        for name, (rate, most) in ((f"of {caller}", self._each), ("all", self._together)):
            left, at = self._left.pop(name, (most, now))
            left = min(most, left + rate * (now - at))
            self._left[name] = (left - 1 if left >= 1 else left, now)
            if left < 1:
                raise busy()
        while len(self._left) > _CALLERS:
            self._left.popitem(last=False)
