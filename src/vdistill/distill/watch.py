"""Whether the other processes of a training are still there, and why one that stopped did so.

A process that ends closes its connections, which the others notice at once; one whose machine or network is gone does
not. So each tells the store that torchrun keeps, again and again, that it is there.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta

from torch.distributed import TCPStore  # type: ignore[attr-defined]

from vdistill.errors import VdistillError

BEAT = 1.0  # seconds between two signs of life
SILENT = 60.0  # seconds after which a process is taken for lost
FAREWELL = 3.0  # seconds that a process which fails leaves the others to hear why
_ALIVE, _FAILED = "vdistill/alive/{}", "vdistill/failed"  # in the store
HINT = "the same command on every node goes on after the last finished epoch"


class Watch:
    """Watches over `size` processes: the first hears all others, and they hear the first.

    lost: is told, in another thread, when one falls silent, and must end this process.
    """

    def __init__(self, rank: int, size: int, lost: Callable[[VdistillError], None]) -> None:
        self._rank, self._lost = rank, lost
        self._watched = range(1, size) if rank == 0 else range(1)
        self._store = TCPStore(
            os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), timeout=timedelta(seconds=SILENT)
        )
        self._stop = threading.Event()
        self._heard: dict[int, tuple[str, float]] = {}
        self._reason: VdistillError | None = None
        self._silent: str | None = None
        self._answered = time.monotonic()  # when the store did

    def start(self) -> None:
        """Begin, in two threads: one that talks to the store, and one that knows when it gets no answer."""
        for work in (self._talk, self._guard):
            threading.Thread(target=work, name="watch", daemon=True).start()

    def _talk(self) -> None:
        beat = 0
        while not self._stop.wait(BEAT) and self._silent is None:
            beat += 1
            try:
                self._silent = self._round(beat)
            except RuntimeError as error:  # the store is gone, and with it the process that keeps it
                self._silent = f"the store of process 0: {str(error).splitlines()[0]}"
            self._answered = time.monotonic()

    def _guard(self) -> None:
        while not self._stop.wait(BEAT):
            silence = time.monotonic() - self._answered
            if self._silent is None and silence > SILENT:
                self._silent = f"the machine of process 0: nothing was heard of it for {silence:.0f} s"
            if self._silent is not None and not self._stop.wait(FAREWELL):  # the main thread may know more by then
                error = VdistillError(f"lost {self._silent}", hint=HINT)
                threading.Thread(target=self._tell, args=(error,), daemon=True).start()
                self._stop.wait(BEAT)
                self._lost(error)

    def fail(self, error: VdistillError) -> None:
        """Tell the others why this process stops, and leave them time to hear it."""
        if not self._stop.is_set():
            self.end()
            self._tell(
                VdistillError(f"process {self._rank} on {socket.gethostname()}: {error.message}", hint=error.hint)
            )
            time.sleep(FAREWELL)

    def end(self) -> None:
        """Watch no more."""
        self._stop.set()

    def why(self) -> VdistillError | None:
        """What a process that stopped said, if any did."""
        with contextlib.suppress(RuntimeError):
            for _ in range(10):
                self._listen()
                if self._reason is not None:
                    break
                time.sleep(0.1)
        return self._reason

    def _round(self, beat: int) -> str | None:
        """Which process is silent. Raises RuntimeError where the store cannot be reached."""
        self._store.set(_ALIVE.format(self._rank), json.dumps([beat, socket.gethostname()]))
        self._listen()
        now = time.monotonic()
        for rank in self._watched:
            key = _ALIVE.format(rank)
            said = self._store.get(key).decode() if self._store.check([key]) else '[0, "another machine"]'
            before, since = self._heard.setdefault(rank, (said, now))
            if said != before:
                self._heard[rank] = (said, now)
            elif now - since > SILENT:
                return f"process {rank} on {json.loads(said)[1]}: nothing was heard of it for {now - since:.0f} s"
        return None

    def _tell(self, reason: VdistillError) -> None:
        with contextlib.suppress(RuntimeError):
            self._store.set(_FAILED, json.dumps([reason.message, reason.hint]))

    def _listen(self) -> None:
        if self._reason is None and self._store.check([_FAILED]):
            message, hint = json.loads(self._store.get(_FAILED))
            self._reason = VdistillError(message, hint=hint)
