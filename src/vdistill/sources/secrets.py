"""Secrets that URLs may hold: they are kept out of messages, and out of what is written."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

_USER = re.compile(r"(?<=://)[^/@\s?#]*@")
_PATH = re.compile(r"(\w[\w+.-]*://[^\s?#'\"<>/]+)[^\s'\"<>]*")
_QUERY = re.compile(r"(\w[\w+.-]*://[^\s?'\"<>]*)\?[^\s'\"<>]*")
_SIGNED = re.compile(
    r"(x-amz-|x-goog-|x-ms-)?(signature|credential|security-token)|sig|token|access_token|auth|key|api_?key|secret|"
    r"password|passwd|awsaccesskeyid|googleaccessid|hmac|jwt|session|sessionid",
    re.IGNORECASE,
)


def shown(locator: str) -> str:
    """The locator without the query of a URL, which may hold a signature, and without who asks."""
    return _USER.sub("", locator.partition("?")[0]) if "://" in locator else locator


def without_secrets(text: str) -> str:
    """A message of others, with each URL in it as `shown`."""
    return _USER.sub("", _QUERY.sub(r"\1", text))


def without_paths(text: str) -> str:
    """A message of others, each URL in it cut after the host: so it is the same for all files of a place."""
    return _PATH.sub(r"\1", _USER.sub("", text))


def holds_secret(url: str) -> bool:
    """Whether a URL has a password, or a signature or key in its query."""
    if "://" not in url:
        return False
    query = url.partition("?")[2].partition("#")[0]
    user = _USER.search(url)
    return bool(user and ":" in user[0]) or any(_SIGNED.fullmatch(name) for name, _ in parse_qsl(query))
