"""Ctrl-C while a package loads."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

AGAIN = 0.05  # seconds


@contextlib.contextmanager
def after_imports() -> Iterator[None]:
    """Within the block Ctrl-C raises KeyboardInterrupt as usual, but waits while an import is under way.

    Compiled packages (torch is one) abort the whole process when their initialisation is interrupted. A process that
    was told to ignore Ctrl-C, as shells tell background jobs of scripts, keeps ignoring it.
    """
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    if not _importing(frame):
        raise KeyboardInterrupt
    timer = threading.Timer(AGAIN, os.kill, (os.getpid(), number))
    timer.daemon = True
    timer.start()


def _importing(frame: FrameType | None) -> bool:
    """Whether the import system is anywhere on the stack."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
