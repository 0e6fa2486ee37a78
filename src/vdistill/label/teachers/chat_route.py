"""The proxy and the certificates on the way to an endpoint, as the environment sets them.

httpx2 can read them too, but it would reach this machine through a proxy, and its errors do not name the variable that
is wrong.
"""

from __future__ import annotations

import importlib.util
import ipaddress
import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.request import getproxies, proxy_bypass

import httpx2

from vdistill.errors import TeacherError

CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
SCHEMES = ("http", "https", "socks5", "socks5h")


@dataclass(frozen=True, slots=True)
class Route:
    """How a server is reached. proxy: its address; named: the setting that it comes from."""

    verify: ssl.SSLContext | bool
    proxy: httpx2.Proxy | None = None
    named: str = ""

    @property
    def through(self) -> str:
        """For errors: "", or which proxy, without its password."""
        return f" through the proxy of {self.named}" if self.proxy else ""


def find_route(url: httpx2.URL) -> Route:
    """The way to `url`. Raises TeacherError for a proxy or certificates that cannot be used, naming the variable."""
    named, proxy = _proxy(url)
    encrypted = url.scheme == "https" or (proxy is not None and proxy.url.scheme == "https")
    return Route(_certificates() if encrypted else False, proxy, named)


def _certificates() -> ssl.SSLContext:
    named = [name for name in CERTIFICATES if os.environ.get(name)]
    for name in named:
        if not Path(os.environ[name]).exists():
            raise TeacherError(
                f"{name} is {os.environ[name]}, which does not exist",
                hint=f"unset {name}, or give the certificates of your network",
            )
    try:
        return httpx2.create_ssl_context()
    except (OSError, ssl.SSLError) as error:
        source = named[0] if named else "the system's certificates"
        raise TeacherError(f"{source} cannot be used: {error}", hint=f"fix or unset {source}") from error


def _proxy(url: httpx2.URL) -> tuple[str, httpx2.Proxy | None]:
    """The proxy for `url` and the name of its setting; none for what is reached directly."""
    settings = getproxies()
    kind = next((kind for kind in (url.scheme, "all") if settings.get(kind)), None)
    if kind is None or _is_direct(url.host, settings.get("no", "")):
        return "", None
    value = settings[kind]
    names = (f"{kind}_proxy", f"{kind.upper()}_PROXY")
    named = next((name for name in names if os.environ.get(name) == value), "the system's proxy settings")
    return named, _checked(value if "://" in value else f"http://{value}", named, url.host)


def _checked(value: str, named: str, host: str) -> httpx2.Proxy:
    otherwise = f"or unset {named}; NO_PROXY={host} goes there without a proxy"
    try:
        proxy = httpx2.Proxy(value)
        if proxy.url.scheme not in SCHEMES or not proxy.url.host:
            raise ValueError(value)
    except (ValueError, httpx2.InvalidURL) as error:
        raise TeacherError(
            f"{named} is {_without_password(value)}, which is not a proxy that can be used",
            hint=f"write it as http://HOST:PORT or socks5://HOST:PORT, {otherwise}",
        ) from error
    if proxy.url.scheme.startswith("socks") and importlib.util.find_spec("socksio") is None:
        raise TeacherError(
            f"{named} is a SOCKS proxy, which needs the package socksio", hint=f"pip install socksio, {otherwise}"
        )
    return proxy


def _is_direct(host: str, no_proxy: str) -> bool:
    """Whether a host is this machine, or exempt by NO_PROXY, which may name networks such as 192.168.0.0/16."""
    if host == "localhost" or host.endswith(".localhost") or proxy_bypass(host):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    exempt = any(_is_in(address, part.strip()) for part in no_proxy.split(",") if "/" in part)
    return exempt or address.is_loopback or address.is_unspecified


def _is_in(address: ipaddress.IPv4Address | ipaddress.IPv6Address, network: str) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _without_password(value: str) -> str:
    before, at, after = value.rpartition("@")
    return f"{before.partition('://')[0]}://…@{after}" if at else value
