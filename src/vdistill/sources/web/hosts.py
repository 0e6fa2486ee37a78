"""How a host is asked: few connections, a pace that it can slow down, and not at all once it is gone."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

from vdistill.sources.manners import calls
from vdistill.sources.web.faults import RETRY_AFTER, Unavailable
from vdistill.sources.web.robots import Rules

CONNECTIONS = 8  # at once to one host
PER_SECOND = 50.0  # requests to one host
ALL_CONNECTIONS = 64
LONGEST_PAUSE = 120.0  # s; what a host asks for beyond that is not waited for
_SLOWEST = 10.0  # s between requests to a host that keeps saying that they are too many
_GONE_AFTER = 8  # images in a row that fail, after all attempts
_EASING = 0.95  # of the interval, after each answer

_all_connections = threading.BoundedSemaphore(ALL_CONNECTIONS)


class Host:
    """One host with its port; used by many threads."""

    def __init__(self) -> None:
        self.robots = threading.Lock()  # held while its rules are fetched
        self.rules: Rules | Unavailable | None = None  # its rules, or why they cannot be had
        self._lock = threading.Lock()
        self._connections = threading.BoundedSemaphore(CONNECTIONS)
        self._least = self._interval = 1 / PER_SECOND
        self._next = 0.0  # when the next request may be sent
        self._paused_until = self._slowed = 0.0
        self._failed = 0
        self._gone: str | None = None
        self._gone_until = 0.0
        self._calls = calls()

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """Wait until one more request may be sent. Raises Unavailable for a host that is gone."""
        with self._connections:
            self._check()
            with self._lock:
                start = max(time.monotonic(), self._next)
                self._next = start + self._interval
            self._wait_until(start)
            with _all_connections:
                yield

    def slow_down_to(self, interval: float) -> None:
        """At least so many seconds between requests: the host's robots.txt says so."""
        with self._lock:
            self._least = max(self._least, interval)
            self._interval = max(self._interval, self._least)

    def pause(self, seconds: float, reason: str) -> None:
        """The host says that requests are too many: half the pace, after a pause; it is given up for a long one."""
        now = time.monotonic()
        with self._lock:
            if seconds > LONGEST_PAUSE:
                self._give_up(reason)
            if now - self._slowed > max(1.0, self._interval):  # one burst of refusals counts once
                self._slowed = now
                self._interval = min(self._interval * 2, max(_SLOWEST, self._least))
            self._paused_until = max(self._paused_until, now + min(seconds, LONGEST_PAUSE))

    def answered(self) -> None:
        """The host is there, and does not mind."""
        with self._lock:
            self._failed = 0
            self._interval = max(self._least, self._interval * _EASING)

    def failed(self, reason: str, *, for_good: bool = False) -> None:
        """An image could not be had; after several in a row, or `for_good`, no further one is asked for."""
        with self._lock:
            self._failed += 1
            if for_good:
                self._give_up(reason)
            elif self._failed >= _GONE_AFTER and not self._gone:
                self._give_up(f"not asked for, since others of its server failed: {reason}")

    def _check(self) -> None:
        if calls() != self._calls:
            raise Unavailable("interrupted")
        if self._gone and time.monotonic() < self._gone_until:
            raise Unavailable(self._gone)

    def _give_up(self, reason: str) -> None:
        self._gone, self._gone_until = reason, time.monotonic() + RETRY_AFTER

    def _wait_until(self, start: float) -> None:
        while (left := max(start, self._paused_until) - time.monotonic()) > 0:
            time.sleep(min(left, 1.0))
            self._check()
