"""The way to an endpoint: its proxy and certificates, as the environment sets them."""

from __future__ import annotations

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
        """For errors: "" or the proxy, without its password."""
        return f" through the proxy of {self.named}" if self.proxy else ""


def find_route(url: httpx2.URL) -> Route:
    """The way to `url`. Raises TeacherError for a proxy or certificates that cannot be used, naming the variable."""
    named, proxy = _proxy(url)
    encrypted = url.scheme == "https" or (proxy is not None and proxy.url.scheme == "https")
    return Route(_certificates() if encrypted else False, proxy, named)


def _certificates() -> ssl.SSLContext:
    for name in CERTIFICATES:
        path = os.environ.get(name)
        if path and not Path(path).exists():
            raise TeacherError(
                f"{name} is {path}, which does not exist",
                hint=f"unset {name}, or give the certificates of your network",
            )
    try:
        return httpx2.create_ssl_context()
    except (OSError, ssl.SSLError) as error:
        named = next((name for name in CERTIFICATES if os.environ.get(name)), "the system's certificates")
        raise TeacherError(f"{named} cannot be used: {error}", hint=f"fix or unset {named}") from error


def _proxy(url: httpx2.URL) -> tuple[str, httpx2.Proxy | None]:
    """The proxy for `url` and its setting's name; none for this machine itself, and for what NO_PROXY names."""
    if _is_here(url.host) or proxy_bypass(url.host) or _in_no_proxy_network(url.host):
        return "", None
    settings = getproxies()
    kind = next((kind for kind in (url.scheme, "all") if settings.get(kind)), None)
    if kind is None:
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
            f"{named} is {_without_password(value)}, which is no proxy that can be used",
            hint=f"write it as http://HOST:PORT or socks5://HOST:PORT, {otherwise}",
        ) from error
    if proxy.url.scheme.startswith("socks"):
        try:
            import socksio  # type: ignore[import-not-found,unused-ignore]  # noqa: F401
        except ImportError as error:
            raise TeacherError(
                f"{named} is a SOCKS proxy, which needs the package socksio",
                hint=f"pip install socksio, {otherwise}",
            ) from error
    return proxy


def _is_here(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _in_no_proxy_network(host: str) -> bool:
    """NO_PROXY may name networks, such as 192.168.0.0/16."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    for each in getproxies().get("no", "").split(","):
        try:
            if "/" in each and address in ipaddress.ip_network(each.strip(), strict=False):
                return True
        except ValueError:
            continue
    return False


def _without_password(value: str) -> str:
    before, at, after = value.rpartition("@")
    return f"{before.partition('://')[0]}://…@{after}" if at else value
