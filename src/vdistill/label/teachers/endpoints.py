"""Several servers of one model as one: each question goes to the one that is expected to answer it first.

Every server is kept as busy as the others, so that the faster ones answer more; at the end of a round, where there are
fewer questions than places, they go to the fastest. A question that a server does not answer goes to another one at
once. The server is left alone for a while, and then gets a single question, to see whether it is back.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from pyrate_limiter import Duration, Limiter, Rate

from vdistill.errors import TeacherError
from vdistill.label.teachers.chat_endpoint import Endpoint
from vdistill.label.teachers.chat_http import ChatClient, PassingFault, Patience, UnreachedError
from vdistill.label.teachers.chat_terms import Agreement
from vdistill.label.teachers.options import TeacherOptions
from vdistill.records import Failure

_RECENT = 0.2  # weight of an answer in a server's mean time


class Client(Protocol):
    """Posts questions to one server, or to several."""

    def complete(self, body: Mapping[str, Any]) -> Any:
        """As `ChatClient.complete`."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


@dataclass
class _Server:
    """One server, and how it does.

    outstanding: questions that it has.  seconds: that an answer takes, None before the first.  ready_at: when it may
    be asked again.  faults: in a row.  since: when it went down, or came back.  out: why it is not asked any more.
    """

    client: ChatClient
    outstanding: int = 0
    seconds: float | None = None
    ready_at: float = 0.0
    faults: int = 0
    down: bool = False
    since: float = 0.0
    checking: threading.Lock = field(default_factory=threading.Lock)
    checked: bool = False
    out: TeacherError | None = None

    @property
    def answered(self) -> bool:
        """Whether it ever did."""
        return self.seconds is not None


class SharedClient:
    """A `Client` of several servers; may be used from several threads at once."""

    def __init__(
        self, clients: Sequence[ChatClient], model: str, options: TeacherOptions, patience: Patience,
        say: Callable[[str], None],
    ) -> None:  # fmt: skip
        """Nothing is sent yet.  options: `calls_per_minute` holds for all of them together."""
        self._servers = [_Server(client) for client in clients]
        self._model, self._patience, self._say = model, patience, say
        per_minute, self._each = options.calls_per_minute, options.concurrency
        self._limit = Limiter(Rate(per_minute, Duration.MINUTE)) if per_minute else None
        self._changed = threading.Condition()
        self._roots: dict[str, str] = {}  # what the model is, by place

    def complete(self, body: Mapping[str, Any]) -> Any:
        """The JSON document of a completion, or a Failure with the reason why there is none.

        Raises TeacherError where going on is useless: no server is left, or one of them was never the right one.
        """
        faults: list[str] = []
        while len(faults) < self._patience.attempts + len(self._servers) - 1:
            server = self._taken(len(faults))
            if self._limit is not None:
                self._limit.try_acquire("calls", blocking=True)
            began = time.monotonic()
            try:
                self._check(server)
                document = server.client.attempt(body)
            except PassingFault as fault:
                faults.append(str(fault))
                self._failed(server, began, fault)
            except UnreachedError as error:
                faults.append(error.message)
                self._unreached(server, began, error)
            except TeacherError as error:
                self._refused(server, error)
            else:
                self._answered(server, began)
                return document
            finally:
                self._given_back(server)
        return Failure(f"gave up after {len(faults)} tries: {faults[-1]}")

    def close(self) -> None:
        """Close the connections."""
        for server in self._servers:
            server.client.close()

    def _taken(self, tries: int) -> _Server:
        """The server that is expected to answer first, which has one question more from now on.

        tries: how often the question was asked in vain. Where no server is up, it waits as it would for a single one.
        Raises TeacherError where none is left.
        """
        patience = self._patience
        wait = patience.backoff * 2 ** (tries - 1) * random.uniform(0.5, 1.5) if tries else 0.0
        until = time.monotonic() + min(wait, patience.longest)
        with self._changed:
            while True:
                now, left = time.monotonic(), [one for one in self._servers if one.out is None]
                if not left:
                    raise self._servers[0].out or TeacherError("no server is left")
                up = [one for one in left if not one.down]
                ready = [one for one in left if self._ready(one, now, alone=not up)]
                if ready or (not up and now >= until):
                    chosen = self._first(ready) if ready else min(left, key=lambda one: one.ready_at)
                    chosen.outstanding += 1
                    return chosen
                later = [one.ready_at for one in left if one.ready_at > now] + ([] if up else [until])
                self._changed.wait(min(later) - now if later else None)

    def _ready(self, server: _Server, now: float, *, alone: bool) -> bool:
        """Whether a server may be asked. alone: none is up; else one question tells enough of one that is down."""
        if server.ready_at > now or server.outstanding >= self._each:
            return False
        return alone or not (server.down and server.outstanding)

    def _first(self, ready: Sequence[_Server]) -> _Server:
        usual = min((one.seconds for one in self._servers if one.seconds is not None), default=1.0)
        return min(ready, key=lambda one: (one.outstanding + 1) * (one.seconds or usual))

    def _given_back(self, server: _Server) -> None:
        with self._changed:
            server.outstanding -= 1
            self._changed.notify_all()

    def _answered(self, server: _Server, began: float) -> None:
        with self._changed:
            took, back = time.monotonic() - began, server.down
            before = took if server.seconds is None else server.seconds
            server.seconds = before + _RECENT * (took - before)
            server.faults, server.down, server.ready_at = 0, False, 0.0
            server.since = time.monotonic() if back else server.since
        if back:
            self._say(f"{server.client.place} answers again")

    def _failed(self, server: _Server, began: float, fault: PassingFault) -> None:
        """Leave a server alone for a while. What was asked before it went down tells nothing new."""
        with self._changed:
            if began < server.since:
                return
            server.faults += 1
            pause = self._patience.backoff * 2 ** (server.faults - 1) * random.uniform(0.5, 1.5)
            server.since = time.monotonic()
            server.ready_at = server.since + min(max(pause, fault.after), self._patience.longest)
            new = not (fault.busy or server.down)
            server.down = server.down or not fault.busy
        if new:
            self._say(f"{server.client.place} does not answer ({fault}): its questions go to the other servers, and it "
                      "is tried again later")  # fmt: skip

    def _unreached(self, server: _Server, began: float, error: UnreachedError) -> None:
        """The same for one that has not answered yet. Raises the error where that is so of all servers."""
        self._failed(server, began, PassingFault(error.message))
        if all(one.down and not one.answered for one in self._servers):
            raise error

    def _refused(self, server: _Server, error: TeacherError) -> None:
        """Ask a server no more that refuses what it took before. Raises the error for one that never took anything."""
        with self._changed:
            new, server.out = server.out is None, error
            left = any(one.out is None for one in self._servers)
        if not (server.answered and left):
            raise error
        if new:
            self._say(f"{server.client.place} is not asked any more: {error.message}")

    def _check(self, server: _Server) -> None:
        """Raise TeacherError for a server that says that it serves other models; say where it may be another."""
        with server.checking:  # the others are not kept waiting
            if server.checked:
                return
            served = server.client.models()
            names = (self._model, f"{self._model}:latest", f"models/{self._model}")  # as Ollama and Gemini list them
            root = "" if served is None else next((served[name] for name in names if name in served), None)
            if root is None:
                others = ", ".join(sorted(served or ())[:5]) or "none"
                raise TeacherError(f"{server.client.place} does not serve {self._model}; its models: {others}",
                                   hint="serve the same model at all --endpoints, under the same name")  # fmt: skip
            server.checked = True
        with self._changed:
            other = next(((place, known) for place, known in self._roots.items() if root and known != root), None)
            if root:
                self._roots[server.client.place] = root
        if other is not None:
            self._say(f"{self._model} is {other[1]} at {other[0]}, and {root} at {server.client.place}: are these the "
                      "same?")  # fmt: skip


def open_client(
    endpoints: Sequence[Endpoint], model: str, agreement: Agreement, options: TeacherOptions, patience: Patience,
    say: Callable[[str], None],
) -> Client:  # fmt: skip
    """A client of these servers. What one of them does not accept is sent to none, so that a question is the same.

    Raises TeacherError for a proxy or certificates that cannot be used.
    """
    if len(endpoints) == 1:
        return ChatClient(endpoints[0], agreement, options, patience)
    each = replace(options, calls_per_minute=None)
    clients = [ChatClient(endpoint, agreement, each, patience) for endpoint in endpoints]
    return SharedClient(clients, model, options, patience, say)
