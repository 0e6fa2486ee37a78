"""An HTTP response as a document, or as an error with its status and words, wherever the server put them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

# Errors within an answer of status 200 may have a name for a code.
_NAMED = (
    (re.compile(r"rate.?limit|too.?many|resource.?exhausted|throttl", re.IGNORECASE), 429),
    (re.compile(r"insufficient|billing|payment|credit", re.IGNORECASE), 402),
    (re.compile(r"invalid.?api.?key|authentication|unauthori[sz]ed", re.IGNORECASE), 401),
    (re.compile(r"overloaded|unavailable|server.?error|internal|timeout", re.IGNORECASE), 503),
)
_LONGEST = 1000  # characters of an error that are read


@dataclass(frozen=True, slots=True)
class Reply:
    """A response as it is meant.

    status: 200, or that of the error, also of one within an answer of status 200. words: of the error, in one line.
    details: all that it says, one statement per line. after: seconds that the server asks to wait.
    """

    status: int
    document: Any = None
    words: str = ""
    details: str = ""
    after: float | None = None
    within: bool = False

    def __str__(self) -> str:
        where = " within an answer of HTTP 200" if self.within else ""
        return f"HTTP {self.status}{where}: {self.words}"


def read_reply(response: httpx2.Response, secrets: Sequence[str]) -> Reply:
    """What a response says; its words never hold a secret, which some servers repeat."""
    try:
        document = response.json()
    except ValueError:
        document = None
    status = response.status_code
    error = response.text if document is None else document
    if status == 200:
        error = _error_within(document)
        if error is None:
            return Reply(200, document)
        status = _status(error)
    details = words_of(error)
    for secret in secrets:
        details = details.replace(secret, "(the key)")
    words = " ".join(details.split("\n")[0].split())[:300]
    return Reply(status, document, words, details, _retry_after(response), within=response.status_code == 200)


def words_of(error: Any) -> str:
    """All that an error document says, one statement per line."""
    return "\n".join(_statements(error))[:_LONGEST]


def _error_within(document: Any) -> Any | None:
    """The error that an answer of status 200 holds instead of a choice, or within one."""
    if not isinstance(document, Mapping):
        return None
    if document.get("error"):
        return document["error"]
    if document.get("object") == "error":
        return document
    choices = document.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    return first.get("error") or None if isinstance(first, Mapping) else None


def _status(error: Any) -> int:
    """The status that the code of an error means; 400 if it has none that is known."""
    codes = [error.get(name) for name in ("code", "status", "type")] if isinstance(error, Mapping) else [error]
    for code in codes:
        if re.fullmatch(r"[45]\d\d", str(code)):
            return int(str(code))
    for pattern, status in _NAMED:
        if any(isinstance(code, str) and pattern.search(code) for code in codes):
            return status
    return 400


def _statements(error: Any) -> Iterator[str]:
    """What an error says, the message first; its parameter and code, pydantic's lists, what a gateway passes on."""
    if isinstance(error, list):
        for each in error:
            yield from _statements(each)
    elif isinstance(error, Mapping):
        yield from _of_object(error)
    else:
        yield str(error)


def _of_object(error: Mapping[str, Any]) -> Iterator[str]:
    inner = error.get("error") or error.get("detail")
    if inner:
        yield from _statements(inner)
    message = error.get("message") or error.get("msg")
    if message or not inner:
        place = ".".join(map(str, error["loc"])) + ": " if isinstance(error.get("loc"), list) else ""
        yield f"{place}{message or dict(error)}"
    if error.get("param"):
        yield f"{error['param']}: {str(error.get('code')).replace('_', ' ')}"
    elif isinstance(error.get("code"), str):
        yield error["code"]
    passed_on = error.get("metadata")
    if isinstance(passed_on, Mapping) and passed_on.get("raw"):
        yield from _statements(_parsed(passed_on["raw"]))


def _parsed(raw: Any) -> Any:
    try:
        return json.loads(raw)
    except (TypeError, ValueError):
        return raw


def _retry_after(response: httpx2.Response) -> float | None:
    """Seconds that the server asks to wait, which it says in milliseconds, in seconds or as a date."""
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            return max(0.0, unit * float(response.headers[name]))
        except (KeyError, ValueError):
            continue
    try:
        return max(0.0, parsedate_to_datetime(response.headers["retry-after"]).timestamp() - time.time())
    except (KeyError, ValueError, TypeError):
        return None
