"""Requests over one pool of connections: redirects are followed where they may be, faults are named and tried again."""

from __future__ import annotations

import contextlib
import email.utils
import functools
import ipaddress
import random
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

import httpx2
import tenacity

from vdistill.sources.web import faults
from vdistill.sources.web.faults import PassingFault, Unavailable
from vdistill.sources.web.hosts import ALL_CONNECTIONS, LONGEST_PAUSE, Host
from vdistill.sources.web.robots import AGENT, LONGEST, Rules

T = TypeVar("T")
Read = Callable[[httpx2.Response, bool], T]  # of an answer, and whether it was redirected

CONNECT, PART, WHOLE = 10.0, 20.0, 120.0  # s: for a connection, a part of an answer, all of it
_HOPS = 5
_LONGEST_WAIT = 30.0  # s, between two attempts
_LATER = (429, 503)
_MAY_PASS = (408, 425)
_HERE = ("all://localhost", "all://127.0.0.1", "all://[::1]")  # never through a proxy


class WrongStatus(Unavailable):
    """An answer that is no image and no redirect."""

    def __init__(self, status: int) -> None:
        super().__init__(faults.status_reason(status))
        self.status = status


class Client:
    """Asks all hosts; used by many threads.  obey: the hosts' robots.txt."""

    def __init__(self, *, obey: bool = True) -> None:
        """Nothing is sent yet. Raises Unavailable for a proxy in the environment that cannot be used."""
        from vdistill import __version__

        self._obey, self._lock, self._hosts = obey, threading.Lock(), dict[str, Host]()
        try:
            self._client = httpx2.Client(
                timeout=httpx2.Timeout(PART, connect=CONNECT, pool=None),
                headers={
                    "User-Agent": f"{AGENT}/{__version__} (indexes the images of a product feed)",
                    "Accept": "image/*,*/*;q=0.5",
                    "Accept-Encoding": "identity",
                },
                limits=httpx2.Limits(max_connections=ALL_CONNECTIONS, max_keepalive_connections=ALL_CONNECTIONS),
                mounts=dict.fromkeys(_HERE),
            )
        except (ValueError, OSError, httpx2.InvalidURL) as error:  # which may hold a password
            raise Unavailable("the proxy or the certificates that the environment names cannot be used") from error
        except ImportError as error:
            raise Unavailable("the proxy of the environment speaks SOCKS, which needs the package socksio") from error

        weakref.finalize(self, self._client.close)

    def get(self, url: str, read: Read[T], headers: Mapping[str, str], *, robots: bool = True) -> T:
        """What `read` makes of the answer; faults that may pass are tried again.

        robots: whether the hosts' robots.txt counts. Raises Unavailable, and what `read` raises.
        """
        retry = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(PassingFault), stop=_enough, wait=_wait, reraise=True
        )
        try:
            found: T = retry(self._once, url, read, headers, robots=robots and self._obey)
        except PassingFault as fault:
            self._host(_address(url)).failed(fault.reason)
            raise Unavailable(fault.reason) from fault
        return found

    def _once(self, url: str, read: Read[T], headers: Mapping[str, str], *, robots: bool) -> T:
        first = address = _address(url)
        for hop in range(_HOPS + 1):
            host = self._host(address)
            if robots:
                self._check_rules(host, address)
            with host.turn(), self._answer(address, headers, host) as answer:
                if "location" not in answer.headers or not 300 <= answer.status_code < 400:
                    return read(answer, hop > 0)
                address = _redirected(first, address, answer.headers["location"])
        raise Unavailable(faults.REDIRECTED_OFTEN)

    @contextlib.contextmanager
    def _answer(self, address: httpx2.URL, headers: Mapping[str, str], host: Host) -> Iterator[httpx2.Response]:
        """The answer, whose body is not read yet. Raises Unavailable and PassingFault."""
        try:
            with self._client.stream("GET", address, headers=headers) as answer:
                _check_status(answer, host)
                yield answer
            host.answered()
        except Unavailable:  # such as a dead link: the host itself is well
            host.answered()
            raise
        except httpx2.TimeoutException as error:
            connecting = isinstance(error, httpx2.ConnectTimeout)
            raise PassingFault(faults.UNREACHABLE if connecting else faults.SLOW, most=2) from error
        except httpx2.ConnectError as error:
            if reason := faults.certificate_fault(error):
                host.failed(reason, for_good=True)
                raise Unavailable(reason) from error
            raise PassingFault(faults.UNREACHABLE) from error
        except (httpx2.NetworkError, httpx2.RemoteProtocolError) as error:
            raise PassingFault(faults.CUT_SHORT) from error
        except httpx2.ProxyError as error:
            raise Unavailable("the proxy of the environment refuses") from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise Unavailable(faults.NO_ADDRESS) from error

    def _host(self, address: httpx2.URL) -> Host:
        with self._lock:
            return self._hosts.setdefault(f"{address.scheme}://{address.netloc.decode('ascii')}", Host())

    def _check_rules(self, host: Host, address: httpx2.URL) -> None:
        with host.robots:
            if host.rules is None:
                host.rules = self._rules(address)
                if isinstance(host.rules, Rules):
                    host.slow_down_to(host.rules.interval)
        if isinstance(host.rules, Unavailable):
            raise Unavailable(host.rules.reason)
        if not host.rules.allow(str(address)):
            raise Unavailable(faults.ROBOTS)

    def _rules(self, address: httpx2.URL) -> Rules | Unavailable:
        """RFC 9309: without a robots.txt all is allowed; while it cannot be read, nothing is."""
        try:
            return self.get(str(address.join("/robots.txt")), _read_rules, {}, robots=False)
        except WrongStatus:  # 4xx
            return Rules()
        except Unavailable as error:
            return Unavailable(faults.NO_ROBOTS) if "answers" in error.reason else error


def _check_status(answer: httpx2.Response, host: Host) -> None:
    status = answer.status_code
    if status in _LATER:
        after = _retry_after(answer)
        host.pause(after, faults.LATER)
        if after > LONGEST_PAUSE:
            raise Unavailable(faults.LATER)
        raise PassingFault(faults.status_reason(status), most=6, after=after)
    if status >= 500 or status in _MAY_PASS:
        raise PassingFault(faults.status_reason(status))
    if status >= 400 or status in (204, 205):
        raise WrongStatus(status)


def _retry_after(answer: httpx2.Response) -> float:
    """Seconds that the server asks to wait; 0 where it does not say."""
    value = answer.headers.get("retry-after", "")
    if value.isdigit():
        return float(value)
    with contextlib.suppress(ValueError, TypeError):
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    return 0.0


def _enough(state: tenacity.RetryCallState) -> bool:
    fault = state.outcome.exception() if state.outcome else None
    return not isinstance(fault, PassingFault) or state.attempt_number >= fault.most


def _wait(state: tenacity.RetryCallState) -> float:
    """Doubling with jitter, or what the server asked for where that is longer."""
    fault = state.outcome.exception() if state.outcome else None
    after = fault.after if isinstance(fault, PassingFault) else 0.0
    return float(min(max(2 ** (state.attempt_number - 1) * random.uniform(0.5, 1.0), after), _LONGEST_WAIT))


def _address(url: str) -> httpx2.URL:
    try:
        found = httpx2.URL(url)
    except (httpx2.InvalidURL, ValueError, UnicodeError) as error:
        raise Unavailable(faults.NO_ADDRESS) from error
    if found.scheme not in ("http", "https") or not found.host:
        raise Unavailable(faults.NO_ADDRESS)
    return found


def _redirected(first: httpx2.URL, address: httpx2.URL, location: str) -> httpx2.URL:
    """Where a redirect leads. Raises Unavailable for what is not fetched."""
    try:
        found = address.join(location)
    except (httpx2.InvalidURL, ValueError, UnicodeError) as error:
        raise Unavailable(faults.NO_ADDRESS) from error
    if found.scheme not in ("http", "https") or not found.host:
        raise Unavailable(faults.REDIRECTED_AWAY)
    if found.host != first.host and _private(found.host) and not _private(first.host):
        raise Unavailable(faults.REDIRECTED_INSIDE)
    return found


@functools.lru_cache(maxsize=4096)
def _private(host: str) -> bool:
    """Whether a host has an address that is not public. One that cannot be looked up here is left to the proxy."""
    try:
        found = {str(one[4][0]).partition("%")[0] for one in socket.getaddrinfo(host, None)}
    except (OSError, UnicodeError):
        return False
    return any(not ipaddress.ip_address(one).is_global for one in found)


def _read_rules(answer: httpx2.Response, _: bool) -> Rules:
    text = bytearray()
    for part in answer.iter_bytes():
        text += part
        if len(text) > LONGEST:
            break
    return Rules(bytes(text[:LONGEST]).decode("utf-8", "replace"))
