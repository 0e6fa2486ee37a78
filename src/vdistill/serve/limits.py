"""How much is done at once: a few threads for each kind of work, a bounded queue, and bodies of bounded size."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import TypeVar

import anyio
from starlette.requests import Request

from vdistill.serve import settings
from vdistill.serve.refusals import Refused, busy, too_large, wrong

T = TypeVar("T")


class Pool:
    """Threads for one kind of work. More work than may wait is refused."""

    def __init__(self, name: str, threads: int, waiting: int = settings.WAITING) -> None:
        self.name = name
        self.held = 0  # being done, or waiting; changed by the event loop alone
        self._most = threads + waiting
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def run(self, work: Callable[[], T]) -> T:
        """The result of `work` in a thread. Raises Refused where too much waits already."""
        if self.held >= self._most:
            raise busy()
        loop = asyncio.get_running_loop()
        self.held += 1
        future = self._executor.submit(work)

        def done(_: Future[T]) -> None:  # also of work that nobody waits for any more
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._release)

        future.add_done_callback(done)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Wait for what is being done, and forget what waits."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _release(self) -> None:
        self.held -= 1


class Pools:
    """One pool for what takes milliseconds, so that nothing slow is in its way; others for the rest."""

    def __init__(self) -> None:
        cores = os.cpu_count() or 1
        self.quick = Pool("quick", min(16 * cores, 128))  # more than cores: what waits together is encoded together
        self.slow = Pool("slow", max(2, cores // 2), settings.WAITING // 4)
        self.images = Pool("images", max(1, cores // 2), settings.WAITING)
        self.why = Pool("why", 1, settings.WAITING // 4)  # its thread has the database open
        self.second = Pool("second", settings.RERANKED, settings.RERANKED)  # these wait for a teacher, and for nothing

    @property
    def all(self) -> tuple[Pool, ...]:
        """Each of them."""
        return self.quick, self.slow, self.images, self.why, self.second

    def close(self) -> None:
        """Wait for what is being done."""
        for pool in self.all:
            pool.close()


class Admission:
    """How many requests are being answered, and how many large bodies are in memory."""

    def __init__(self) -> None:
        self.requests = 0
        self._large = 0

    @contextmanager
    def request(self) -> Iterator[None]:
        """While a request is answered. Raises Refused where too many are."""
        if self.requests >= settings.IN_FLIGHT:
            raise busy()
        self.requests += 1
        try:
            yield
        finally:
            self.requests -= 1

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """The body of a request, while it is needed. Raises Refused for one that is too large or takes too long."""
        _check_length(request)
        held = bytearray()
        large = False
        try:
            with anyio.fail_after(settings.BODY_SECONDS):
                async for part in request.stream():
                    held += part
                    if len(held) > settings.BODY_BYTES:
                        raise _too_large()
                    large = large or self._is_large(len(held))
            yield bytes(held)
        except TimeoutError:
            close = {"Connection": "close"}
            raise Refused(408, "timeout", "the body of the request came too slowly", "send it anew", headers=close) \
                from None  # fmt: skip
        finally:
            self._large -= large

    def _is_large(self, size: int) -> bool:
        """Count a body that has become large. Raises Refused where there are enough."""
        if size <= settings.SMALL_BODY:
            return False
        if self._large >= settings.LARGE_BODIES:
            refused = busy()
            refused.headers["Connection"] = "close"
            raise refused
        self._large += 1
        return True


def _check_length(request: Request) -> None:
    length = request.headers.get("content-length", "0")
    if not length.isdecimal():
        raise wrong(f"Content-Length is {length[:20]!r}")
    if int(length[:20]) > settings.BODY_BYTES:
        raise _too_large()


def _too_large() -> Refused:
    most = f"{settings.BODY_BYTES // 2**20} MiB"
    return too_large(f"the body of the request is larger than {most}", "send a smaller image, or fewer queries")
