"""Asking in threads such that nothing that was paid for is lost, whatever interrupts it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

JobT = TypeVar("JobT")
SaidT = TypeVar("SaidT")


@dataclass
class InThreads(Generic[JobT, SaidT]):
    """Does jobs in up to `workers` threads.

    take: the next job, given those under way; None while there is none.  ask: what a thread does with a job.
    keep: stores what it brought, in the thread of the caller.  check: raises where it is useless to go on.
    """

    workers: int
    take: Callable[[Collection[JobT]], JobT | None]
    ask: Callable[[JobT], SaidT]
    keep: Callable[[JobT, SaidT], None]
    check: Callable[[], None]
    _running: dict[int, JobT] = field(default_factory=dict)  # by number
    _answered: dict[int, SaidT] = field(default_factory=dict)  # filled by the threads, so that an interrupt loses none

    def run(self) -> None:
        """Until there is no job left. On an interrupt the jobs under way are waited for and kept."""
        numbers = count()
        with ThreadPoolExecutor(self.workers) as executor:
            futures: set[Future[int]] = set()
            _start(executor, self.workers)
            try:
                while True:
                    while len(self._running) < self.workers and (job := self.take(self._running.values())) is not None:
                        number = next(numbers)
                        self._running[number] = job
                        futures.add(executor.submit(self._ask, number, job))
                    if not self._running:
                        return
                    done, futures = wait(futures, return_when=FIRST_COMPLETED)
                    for future in done:
                        self._keep(future.result())
                    self.check()
            except BaseException:
                # What was asked is paid for: wait for the answers and keep them.
                executor.shutdown(wait=True, cancel_futures=True)
                for number in [number for number in self._answered if number in self._running]:
                    self._keep(number)
                raise

    def _ask(self, number: int, job: JobT) -> int:
        self._answered[number] = self.ask(job)
        return number

    def _keep(self, number: int) -> None:
        """Store what a job brought, which counts as under way until then."""
        self.keep(self._running[number], self._answered[number])
        del self._running[number], self._answered[number]


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
