"""Requests that are not answered: `{"error": {"message", "hint", "type"}}` and a status that programs understand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from vdistill.errors import VdistillError
from vdistill.serve.settings import RETRY_SECONDS


class Refused(VdistillError):
    """A request that is not answered.  kind: `type` of the error.  closes: the connection, its body is not read."""

    def __init__(
        self, status: int, kind: str, message: str, hint: str = "", *, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message, hint)
        self.status = status
        self.kind = kind
        self.headers = dict(headers or {})


def wrong(message: str, hint: str = "") -> Refused:
    """The request cannot be understood."""
    return Refused(400, "invalid_request", message, hint)


def unknown(message: str, hint: str = "") -> Refused:
    """There is no such thing."""
    return Refused(404, "not_found", message, hint)


def too_large(message: str, hint: str = "") -> Refused:
    """The body is not read to its end, so the connection cannot go on."""
    return Refused(413, "too_large", message, hint, headers={"Connection": "close"})


def busy() -> Refused:
    """Too much is being asked at once."""
    later = {"Retry-After": str(RETRY_SECONDS)}
    return Refused(429, "too_many_requests", "too many requests at once", "try again in a moment", headers=later)


def unavailable(message: str, hint: str = "") -> Refused:
    """Nothing can be answered now; it may be soon."""
    return Refused(503, "unavailable", message, hint, headers={"Retry-After": str(RETRY_SECONDS)})


def translated(error: VdistillError) -> Refused:
    """What a search refuses is a wrong request; in the words of the API."""
    if isinstance(error, Refused):
        return error
    words = [text.replace("--where", "where").replace("-k 10", '"k": 10') for text in (error.message, error.hint)]
    return unknown(*words) if words[0].endswith("is not indexed") else wrong(*words)


def refusal(error: Refused) -> Response:
    """The answer to a request that is refused."""
    document = {"error": {"message": error.message, "hint": error.hint, "type": error.kind}}
    return json_response(document, error.status, error.headers)


def json_response(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON document."""
    return Response(json_bytes(document), status, headers, media_type="application/json")


def json_bytes(document: Any) -> bytes:
    """A JSON document in UTF-8; with escapes where a text holds what UTF-8 cannot."""
    try:
        return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
