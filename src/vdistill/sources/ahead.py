"""Reading ahead: what lies elsewhere is fetched into the cache before it is asked for, from all hosts at once."""

from __future__ import annotations

import contextlib
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from vdistill.sources.cache import cache_in_use
from vdistill.sources.http import HttpFile

T = TypeVar("T")

WINDOW = 1024  # images that are under way or wait for their turn
_LANE = 8  # threads for one host
_HOST = re.compile(r"https?://([^/?#]*)")


def read_ahead(given: Iterable[T], locator: Callable[[T], Path | str | None]) -> Iterator[T]:
    """What is given, in order; each comes when the image that `locator` names is in the cache, or cannot be had.

    Local images, and those without a locator, pass at once. So do all without a cache.
    """
    if cache_in_use() is None:
        yield from given
        return
    lanes, jobs = _Lanes(), dict[str, _Job]()
    waiting: deque[tuple[T, _Job | None]] = deque()
    try:
        for one in given:
            name = str(locator(one) or "")
            waiting.append((one, _started(name, jobs, lanes) if _HOST.match(name) else None))
            while waiting and (not jobs or len(waiting) >= WINDOW):
                yield _next(waiting, jobs)
        while waiting:
            yield _next(waiting, jobs)
    finally:
        lanes.stopped = True


def renew(locators: Iterable[Path | str]) -> None:
    """Ask the servers of images that were fetched long ago whether they are the same, before their stamps are taken."""
    due = [url for one in locators if _HOST.match(url := str(one)) and HttpFile(url).due()]
    lanes = _Lanes()
    try:
        jobs = [_Job(url, HttpFile(url).stamp) for url in dict.fromkeys(due)]
        for job in jobs:
            lanes.put(job)
        for job in jobs:
            job.done.wait()
    finally:
        lanes.stopped = True


class _Job:
    """An image under way.  wanted: how many wait for it."""

    def __init__(self, url: str, work: Callable[[], object]) -> None:
        self.url, self.done, self.wanted, self._work = url, threading.Event(), 0, work

    def do(self) -> None:
        try:
            with contextlib.suppress(OSError):  # who asks for the image meets it again
                self._work()
        finally:
            self.done.set()


def _started(url: str, jobs: dict[str, _Job], lanes: _Lanes) -> _Job:
    job = jobs.get(url)
    if job is None:
        job = jobs[url] = _Job(url, HttpFile(url).warm)
        lanes.put(job)
    job.wanted += 1
    return job


def _next(waiting: deque[tuple[T, _Job | None]], jobs: dict[str, _Job]) -> T:
    one, job = waiting.popleft()
    if job is not None:
        job.done.wait()
        job.wanted -= 1
        if not job.wanted:
            del jobs[job.url]
    return one


class _Lanes:
    """For each host its jobs, and a few threads: a slow host does not keep the others waiting.

    The threads are daemons: whoever interrupts the program does not wait for a server.
    """

    def __init__(self) -> None:
        self.stopped = False
        self._lock = threading.Lock()
        self._jobs: dict[str, deque[_Job]] = {}
        self._threads: dict[str, int] = {}

    def put(self, job: _Job) -> None:
        found = _HOST.match(job.url)
        host = found[1] if found else ""
        with self._lock:
            self._jobs.setdefault(host, deque()).append(job)
            if self._threads.get(host, 0) < _LANE:
                self._threads[host] = self._threads.get(host, 0) + 1
                threading.Thread(target=self._work, args=(host,), daemon=True).start()

    def _work(self, host: str) -> None:
        while True:
            with self._lock:
                jobs = self._jobs[host]
                if self.stopped or not jobs:
                    self._threads[host] -= 1
                    return
                job = jobs.popleft()
            job.do()
