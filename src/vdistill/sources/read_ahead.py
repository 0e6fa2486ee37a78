"""Images from elsewhere are read ahead of what is done with them: many reads wait for the network at once."""

from __future__ import annotations

import contextlib
import io
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Literal, TypeVar

from vdistill.sources.locators import Source, is_remote
from vdistill.sources.manners import hang_up
from vdistill.sources.remote import READERS
from vdistill.sources.stamps import Stamp

DEPTH = 256  # images
HELD = 256 << 20  # bytes of images that were read and wait

T = TypeVar("T")


class ReadFile:
    """An image whose bytes were read already, or could not be."""

    def __init__(self, source: Source) -> None:
        self._source, self._data = source, b""
        self._error: OSError | None = None
        try:
            with source.open("rb") as file:
                self._data = file.read()
        except OSError as error:
            self._error = error

    def __len__(self) -> int:
        return len(self._data)

    def open(self, mode: Literal["rb"] = "rb") -> BinaryIO:
        """The bytes. Raises the OSError of reading them."""
        if self._error is not None:
            raise self._error
        return io.BytesIO(self._data)

    def stamp(self) -> Stamp:
        """The stamp of the source. Raises OSError."""
        return self._source.stamp()


def read_ahead(
    given: Iterable[T], source: Callable[[T], tuple[str, Source]]
) -> Generator[tuple[T, Source], None, None]:
    """Each with its source, in order; where that is elsewhere, its bytes are read ahead on threads.

    source: the locator of one of them, and the source.
    """
    waiting: deque[tuple[T, Future[ReadFile]]] = deque()
    bytes_of = _Held()
    with ThreadPoolExecutor(READERS) as executor:
        try:
            for one in given:
                locator, found = source(one)
                if not waiting and not is_remote(locator):
                    yield one, found
                    continue
                waiting.append((one, executor.submit(bytes_of.read, found)))
                while len(waiting) >= DEPTH or (waiting and bytes_of.held > HELD):
                    yield bytes_of.released(*waiting.popleft())
            while waiting:
                yield bytes_of.released(*waiting.popleft())
        except BaseException:
            hang_up()
            raise
        finally:
            executor.shutdown(cancel_futures=True)


class _Held:
    """How many bytes were read, and wait."""

    def __init__(self) -> None:
        self.held, self._lock = 0, threading.Lock()

    def read(self, source: Source) -> ReadFile:
        found = ReadFile(source)
        with self._lock:
            self.held += len(found)
        return found

    def released(self, one: T, future: Future[ReadFile]) -> tuple[T, Source]:
        found = future.result()
        with self._lock:
            self.held -= len(found)
        return one, found


@contextlib.contextmanager
def readers(files: Iterable[str | Path]) -> Iterator[ThreadPoolExecutor]:
    """Threads that read these files. Whoever interrupts them waits for the requests under way, and no others."""
    executor = ThreadPoolExecutor(threads_for(files))
    try:
        yield executor
        executor.shutdown()
    except BaseException:
        hang_up()
        executor.shutdown(cancel_futures=True)
        raise


def threads_for(files: Iterable[str | Path]) -> int | None:
    """How many threads may read these: many where they wait for the network, else as many as Python takes."""
    return READERS if any(map(is_remote, files)) else None
