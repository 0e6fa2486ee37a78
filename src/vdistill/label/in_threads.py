"""Asking in threads such that nothing that was paid for is lost, whatever interrupts it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

JobT = TypeVar("JobT")
SaidT = TypeVar("SaidT")


@dataclass
class InThreads(Generic[JobT, SaidT]):
    """Does jobs in up to `workers` threads.

    take: the next job, given those under way; None while there is none.  ask: what a thread does with a job.
    keep: stores what jobs brought, in the thread of the caller: a single answer as soon as it is in, and in one go all
    that came while others were stored. What it did not finish it is given again.  check: raises where it is useless to
    go on.  most: how many answers it is given at once.
    """

    workers: int
    take: Callable[[Collection[JobT]], JobT | None]
    ask: Callable[[JobT], SaidT]
    keep: Callable[[Sequence[tuple[JobT, SaidT]]], None]
    check: Callable[[], None]
    most: int = 1024
    _running: dict[int, JobT] = field(default_factory=dict)  # by number
    _answered: dict[int, SaidT] = field(default_factory=dict)  # filled by the threads, so that an interrupt loses none

    def run(self) -> None:
        """Until there is no job left. On an interrupt the jobs under way are waited for and kept."""
        numbers = count()
        arrived: SimpleQueue[Future[int]] = SimpleQueue()
        with ThreadPoolExecutor(self.workers) as executor:
            _start(executor, self.workers)
            try:
                while True:
                    while len(self._running) < self.workers and (job := self.take(self._running.values())) is not None:
                        number = next(numbers)
                        self._running[number] = job
                        executor.submit(self._ask, number, job).add_done_callback(arrived.put)
                    if not self._running:
                        return
                    self._keep([future.result() for future in _arrivals(arrived, self.most)])
                    self.check()
            except BaseException:
                # What was asked is paid for: wait for the answers and keep them.
                executor.shutdown(wait=True, cancel_futures=True)
                self._keep_the_rest()
                raise

    def _ask(self, number: int, job: JobT) -> int:
        self._answered[number] = self.ask(job)
        return number

    def _keep(self, numbers: Sequence[int]) -> None:
        """Store what jobs brought, which count as under way until then."""
        self.keep([(self._running[number], self._answered[number]) for number in numbers])
        for number in numbers:
            del self._running[number], self._answered[number]

    def _keep_the_rest(self) -> None:
        """Store each answer by itself, so that one that cannot be stored costs no other."""
        failed: Exception | None = None
        for number in [number for number in self._answered if number in self._running]:
            try:
                self._keep([number])
            except Exception as error:
                failed = failed or error
        if failed is not None:
            raise failed


def _arrivals(arrived: SimpleQueue[Future[int]], most: int) -> list[Future[int]]:
    """What has arrived, up to `most`; waits for the first."""
    found = [arrived.get()]
    with suppress(Empty):
        while len(found) < most:
            found.append(arrived.get_nowait())
    return found


def _start(executor: ThreadPoolExecutor, threads: int) -> None:
    """Start the threads before anything is asked.

    At its end the executor waits for the threads that it knows. A thread whose start an interrupt breaks off is not
    among them, but runs on, and the answer to what it asked would be lost.
    """
    ready = threading.Event()
    try:
        for _ in range(threads):  # the other threads are all waiting, so each task starts one
            executor.submit(ready.wait)
    finally:
        ready.set()
