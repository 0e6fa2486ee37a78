"""The address of a database as users give it, and what of it may be shown: never a password."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlencode

from vdistill.errors import VdistillError

DEFAULT_NAME = "vdistill"
FOLDER = "qdrant+path:"
FORMS = "postgresql://USER@HOST/DATABASE, qdrant://HOST:PORT or qdrant+path:DIR"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")
_SCHEMES = {"postgresql": "postgresql", "postgres": "postgresql", "qdrant": "qdrant", "qdrant+https": "qdrant"}
_HOST = re.compile(r"(\[[0-9A-Fa-f:.%]+\]|[^\[\]:,@]*)(:\d{0,5})?")
_SECRET = frozenset({"password", "sslpassword"})


@dataclass(frozen=True, slots=True)
class Address:
    """Where vectors are kept.

    engine: "postgresql" or "qdrant".  location: what the engine's client is given; it may hold a password.
    name: of the table, or of the collection.  shown: the address in messages and results.
    secrets: what no message may hold.
    """

    engine: str
    location: str = field(repr=False)
    name: str
    shown: str
    secrets: tuple[str, ...] = field(repr=False, default=())

    def redacted(self, text: str) -> str:
        """A foreign message without the password that it may quote."""
        for secret in self.secrets:
            for form in {secret, quote(secret, safe="")}:
                text = text.replace(form, "***")
        return text


def parse(text: str) -> Address:
    """The address in `text`. Raises VdistillError, which quotes nothing that may be part of a password."""
    if text.startswith(FOLDER):
        return _folder(text.removeprefix(FOLDER))
    scheme, separator, rest = text.partition("://")
    engine = _SCHEMES.get(scheme.lower()) if separator else None
    if engine is None:
        named = f" {scheme!r}" if separator and re.fullmatch(r"[\w+.-]{1,20}", scheme) else ""
        raise VdistillError(f"no database is known by such an address{named}", hint=f"give {FORMS}")
    authority, slash, rest = re.fullmatch(r"([^/?]*)(/?)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
    path, _, query = rest.partition("?") if slash else ("", "", rest.removeprefix("?"))
    user, _, hosts = authority.rpartition("@")
    if "@" in user or "@" in rest or not all(_HOST.fullmatch(one) for one in hosts.split(",")):
        # Nothing of it is shown: what follows an unescaped @, / or ? may be the rest of a password.
        raise _unreadable()
    parts = _Parts(scheme.lower(), user, hosts, path, _options(query))
    return _postgresql(parts) if engine == "postgresql" else _qdrant(parts)


def _options(query: str) -> list[tuple[str, str]]:
    """Names and values, where a plus is a plus, as for libpq."""
    pairs = [one.partition("=") for one in query.split("&") if one]
    return [(unquote(name), unquote(value)) for name, _, value in pairs]


@dataclass(frozen=True)
class _Parts:
    scheme: str
    user: str
    hosts: str
    path: str
    options: list[tuple[str, str]]

    def name(self, option: str) -> str:
        return _checked(next((value for name, value in self.options if name == option), DEFAULT_NAME), option)


def _postgresql(parts: _Parts) -> Address:
    """Libpq reads the address, without our own option `table`."""
    kept = [(name, value) for name, value in parts.options if name != "table"]
    secrets = [value for name, value in kept if name in _SECRET]
    if ":" in parts.user:
        secrets.append(unquote(parts.user.partition(":")[2]))
    user = f"{parts.user}@" if parts.user else ""
    options = f"?{urlencode(kept, quote_via=quote)}" if kept else ""
    hosts = parts.hosts or next((value for name, value in kept if name == "host"), "")
    return Address(
        "postgresql",
        f"postgresql://{user}{parts.hosts}/{parts.path}{options}",
        parts.name("table"),
        f"postgresql://{hosts}/{parts.path}",
        tuple(secret for secret in secrets if secret),
    )


def _qdrant(parts: _Parts) -> Address:
    if parts.user:
        raise VdistillError("an address of Qdrant has no user and no password", hint="give the key as QDRANT_API_KEY")
    unknown = [name for name, _ in parts.options if name != "collection"]
    if unknown or parts.path.strip("/") or not parts.hosts or "," in parts.hosts:
        raise VdistillError(
            "the address of Qdrant is not of the form qdrant://HOST:PORT",
            hint="another collection is qdrant://HOST:PORT?collection=NAME; over TLS qdrant+https://HOST:PORT",
        )
    web = "https" if parts.scheme == "qdrant+https" else "http"
    port = "" if re.search(r":\d+$", parts.hosts) else ":6333"
    host = parts.hosts.rstrip(":")
    return Address("qdrant", f"{web}://{host}{port}", parts.name("collection"), f"{parts.scheme}://{host}{port}")


def _folder(rest: str) -> Address:
    folder, separator, option = rest.rpartition("?collection=")
    folder, name = (folder, option) if separator else (rest, DEFAULT_NAME)
    if not folder:
        raise VdistillError("qdrant+path: names no folder", hint="e.g. qdrant+path:vectors")
    return Address("qdrant", folder, _checked(name, "collection"), f"{FOLDER}{folder}")


def _checked(name: str, option: str) -> str:
    if _NAME.fullmatch(name):
        return name
    raise VdistillError(
        f"{option}={name!r} cannot be the name of a {option}", hint="use up to 40 letters, digits and underscores"
    )


def _unreadable() -> VdistillError:
    return VdistillError(
        "the address of the database cannot be read",
        hint="in a password write @ as %40, / as %2F, : as %3A, ? as %3F; or leave it out, and set PGPASSWORD "
        "or a line in ~/.pgpass",
    )
