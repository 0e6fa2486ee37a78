"""Who may ask: the names that the server is called by, the pages that may call it, the token; and safe headers."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vdistill.serve.refusals import Refused, refusal
from vdistill.serve.settings import Settings

LOOPBACK = ("localhost", "127.0.0.1", "::1")
OPEN = ("/healthz", "/readyz", "/v1/healthz", "/v1/readyz")  # tells nothing; who probes knows neither name nor token
_GUARDED = ("/v1/", "/metrics", "/mcp")  # needs the token; the pages hold no data

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'"  # no text of ours becomes markup
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}


class Access:
    """ASGI middleware that refuses whoever may not ask."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._hosts = {*LOOPBACK, settings.host.lower(), *(name.lower() for name in settings.hosts)}
        self._token = None if settings.token is None else _digest(settings.token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._complete(MutableHeaders(scope=message))
            await send(message)

        try:
            self._check(scope["path"], scope["method"], Headers(scope=scope))
        except Refused as refused:
            refused.headers["Connection"] = "close"  # its body is not read
            await refusal(refused)(scope, receive, send_safely)
            return
        await self._app(scope, receive, send_safely)

    def _complete(self, headers: MutableHeaders) -> None:
        for name, value in _HEADERS.items():
            headers[name] = value
        headers.setdefault("Content-Security-Policy", _POLICY)
        headers.setdefault("Cache-Control", "no-store")
        headers.setdefault("Cross-Origin-Resource-Policy", "cross-origin" if self._settings.origins else "same-origin")

    def _check(self, path: str, method: str, headers: Headers) -> None:
        if path in OPEN:
            return
        host = _name(headers.get("host", ""))
        if not self._known(host):
            raise Refused(421, "unknown_host", f"this server is not called {host[:100]!r}",
                          "start it with --allow-host NAME to be called by another name")  # fmt: skip
        self._check_origin(headers, host)
        _check_framing(method, headers)
        if self._token is not None and path.startswith(_GUARDED) and method != "OPTIONS":
            self._check_token(headers.get("authorization", ""))

    def _known(self, host: str) -> bool:
        """A name that resolves to this machine may belong to a page that is hostile; a number cannot."""
        return host in self._hosts or (not self._settings.local and _is_number(host))

    def _check_origin(self, headers: Headers, host: str) -> None:
        origin = headers.get("origin")
        if origin is None:
            page = headers.get("sec-fetch-mode") == "navigate"  # a link to a search is followed
            foreign = headers.get("sec-fetch-site") in ("cross-site", "same-site") and not page
            if foreign and not self._settings.origins:
                raise _foreign("another page")
        elif origin not in self._settings.origins and urlsplit_netloc(origin) != headers.get("host", "").lower():
            raise _foreign(origin[:100])

    def _check_token(self, given: str) -> None:
        scheme, _, token = given.partition(" ")
        assert self._token is not None
        if scheme.lower() != "bearer" or not hmac.compare_digest(_digest(token.strip()), self._token):
            raise Refused(401, "unauthorized", "the token is missing or wrong", "send Authorization: Bearer TOKEN",
                          headers={"WWW-Authenticate": "Bearer"})  # fmt: skip


def _check_framing(method: str, headers: Headers) -> None:
    """Refuse a request whose end a proxy may see elsewhere, and bodies that nothing reads."""
    chunked, length = "transfer-encoding" in headers, headers.get("content-length", "0")
    if chunked and "content-length" in headers:
        raise Refused(400, "invalid_request", "the request has two lengths", "send one of them")
    if method in ("GET", "HEAD") and (chunked or length != "0"):
        raise Refused(400, "invalid_request", f"a {method} request has no body", "send it with POST")


def urlsplit_netloc(origin: str) -> str:
    """Host and port of an origin; empty for one that has none, such as "null"."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def valid_hosts(names: Iterable[str]) -> bool:
    """Whether all of these are names of hosts, without scheme, port and wildcard."""
    return all(name and _name(name) == name.lower() and not set(name) & set("/*@ ") for name in names)


def _foreign(who: str) -> Refused:
    return Refused(403, "foreign_origin", f"{who} may not call this server",
                   "start it with --allow-origin ORIGIN to let another page call it")  # fmt: skip


def _name(host: str) -> str:
    """The name in a Host header, without the port."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    name, _, port = host.rpartition(":")
    return (name if name and port.isdecimal() and ":" not in name else host).removesuffix(".")


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _digest(token: str) -> bytes:
    """Of one length, so that the comparison tells nothing about that of the token."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
