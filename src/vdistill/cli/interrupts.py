"""Ctrl-C while a package loads, or something is closed that is not used any more."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import weakref
from collections.abc import Iterator
from types import FrameType

AGAIN = 0.005  # seconds; some commands do little else than load packages, with short gaps
_FINALIZER = weakref.finalize.__call__.__code__


@contextlib.contextmanager
def none_lost() -> Iterator[None]:
    """Within the block Ctrl-C raises KeyboardInterrupt as usual, but waits while an import or a finalizer is under way.

    Compiled packages (torch is one) abort the whole process when their initialisation is interrupted, and what is
    raised in a finalizer is only printed. A Ctrl-C that still waits when the block is over is raised then. A process
    that was told to ignore Ctrl-C, as shells tell background jobs of scripts, keeps ignoring it.
    """
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored or threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: threading.Timer | None = None

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal waiting
        waiting = None
        if not _must_end(frame):
            raise KeyboardInterrupt
        waiting = threading.Timer(AGAIN, os.kill, (os.getpid(), number))
        waiting.daemon = True
        waiting.start()

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if waiting is not None:
            waiting.cancel()
            waiting.join()  # it may have been sending the signal just now, which must not come later
    if waiting is not None:
        raise KeyboardInterrupt


def _must_end(frame: FrameType | None) -> bool:
    """Whether the import system or a finalizer is anywhere on the stack."""
    while frame is not None:
        if frame.f_code is _FINALIZER or frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
