"""The process: its socket, its signals, and connections that are closed where nothing comes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import signal
import socket
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from vdistill.errors import VdistillError
from vdistill.serve.app import application
from vdistill.serve.service import Service
from vdistill.serve.settings import HEAD_SECONDS, READ_SECONDS

_DRAIN_SECONDS = 30  # that requests in flight have after SIGTERM
_IDLE_SECONDS = 30  # that a connection waits for its next request
_HEAD_BYTES = 64 * 2**10  # of a request without its body
_SQLITE_BYTES = 256 * 2**20  # of memory, for all filters and look-ups together
_FILES = 65_536  # open at once, where the system lets us
_QUIET_SECONDS = 60
_SPARE = 256  # of these, for what is not a connection


class PatientProtocol(H11Protocol):
    """A connection that is closed where the head of a request does not come in time, or an answer is not read."""

    _waiting: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        # asyncio does so only for sockets that were made with the protocol's number; without it an answer waits 40 ms.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Read on; what is complete need not be waited for."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop()
        elif self._waiting is None and not self.transport.is_closing():
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop()
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The caller does not read what was sent: wait for him, but not for ever."""
        super().pause_writing()
        self._unread = self.loop.call_later(READ_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """The caller reads on."""
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None
        super().resume_writing()

    def _wait(self) -> None:
        self._waiting = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _stop(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        self._waiting = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()


class _TooMany(logging.Filter):
    """Says once a minute that there are too many connections: asyncio says it of each that waits, with a traceback."""

    _said = -math.inf

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log it."""
        text = record.getMessage()
        if "._start_serving(" in text:  # it tries again a second later, also where the server has ended meanwhile
            return False
        if not text.startswith("socket.accept() out of system resource"):
            return True
        now, before = time.monotonic(), self._said
        if now - before < _QUIET_SECONDS:
            return False
        self._said = now
        record.msg, record.args, record.exc_info = "more connections than this process may have files open", (), None
        return True


_TOO_MANY = _TooMany()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises VdistillError where there can be none."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise VdistillError(f"cannot listen at {host}, port {port}: {reason}", hint="give another --port") from error


def run(service: Service, listening: socket.socket, started: Callable[[], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; then answer what has been asked, and return."""
    limit_sqlite()
    run_until_told(partial(server, service), listening, started)


def run_until_told(make: Callable[[], uvicorn.Server], listening: socket.socket, started: Callable[[], None]) -> None:
    """Run a server until SIGTERM or Ctrl-C, or until it is told to exit."""
    ending: list[uvicorn.Server] = []
    with _ending_quietly(ending):
        made = make()
        ending.append(made)
        started()
        made.run(sockets=[listening])


def server(service: Service) -> uvicorn.Server:
    """A server of an index that has not started yet."""
    return server_of(application(service))


def server_of(app: ASGIApp) -> uvicorn.Server:
    """A server of any application that has not started yet."""
    config = uvicorn.Config(
        app, http=PatientProtocol, ws="none", lifespan="on", log_config=None, access_log=False,
        server_header=False, proxy_headers=False, timeout_keep_alive=_IDLE_SECONDS,
        timeout_graceful_shutdown=_DRAIN_SECONDS, limit_concurrency=_most_connections(),
        h11_max_incomplete_event_size=_HEAD_BYTES,
    )  # fmt: skip
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # a warning for each odd request would fill a disk
    logging.getLogger("asyncio").addFilter(_TOO_MANY)
    return uvicorn.Server(config)


@contextlib.contextmanager
def _ending_quietly(servers: list[uvicorn.Server]) -> Any:
    """Uvicorn raises the signals that ended it once more when it is done: they need not end this process, too.

    One that comes before uvicorn looks for them ends its server as soon as that runs.
    """

    def end(*_: Any) -> None:
        for one in servers:
            one.should_exit = True

    kinds = (signal.SIGINT, signal.SIGTERM)
    before = {kind: signal.signal(kind, end) for kind in kinds}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


def limit_sqlite() -> None:
    """Bound what SQLite takes in this process: a filter may sort or collect any number of values."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f"PRAGMA hard_heap_limit = {_SQLITE_BYTES}")


def _most_connections() -> int:
    """As many as there may be open files; their number is raised as far as it may be."""
    try:
        import resource
    except ImportError:  # Windows
        return _FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
    return max(soft - _SPARE, 64)
