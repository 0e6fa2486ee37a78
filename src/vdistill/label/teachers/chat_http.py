"""Requests to an OpenAI-compatible server: what may pass is tried again, what will not stops the run."""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import tenacity
from pyrate_limiter import Duration, Limiter, Rate

from vdistill.errors import TeacherError
from vdistill.records import Failure

PUBLIC = "https://api.openai.com/v1"
KEYS = ("VDISTILL_API_KEY", "OPENAI_API_KEY")
# Fields that some servers or models refuse; the answer can be read without them.
DISPENSABLE = ("structured_outputs", "top_k", "top_logprobs", "logprobs", "max_tokens", "temperature", "top_p")

# The limit on images in the words of vLLM's versions; some gateways send them with a 500.
_IMAGE_LIMIT = re.compile(r"at most (\d+) image|image\W{1,4}(\d+).{0,40}limit-mm-per-prompt", re.IGNORECASE)
_USELESS = (401, 402, 403, 404)  # wrong key, no credit, no permission, no such model
_UNREACHED = (httpx2.ConnectError, httpx2.ConnectTimeout)
_MAY_PASS = (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for what, in seconds, and how often to try."""

    timeout: float = 120.0
    connect: float = 10.0
    attempts: int = 6
    backoff: float = 1.0
    longest: float = 60.0


class _Passing(Exception):
    """Something that may pass: worth another try, after `after` seconds where the server says so."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class ChatClient:
    """Posts chat completions; may be used from several threads at once."""

    def __init__(
        self, endpoint: str | None, *, concurrency: int, patience: Patience, calls_per_minute: int | None = None
    ) -> None:
        """Read the key from the environment; nothing is sent yet. Raises TeacherError for an odd endpoint or key."""
        self._url = _chat_url(endpoint)
        self._place = str(self._url.copy_with(username=None, password=None, query=None))
        self._patience = patience
        self._key = _key()
        self._dropped: frozenset[str] = frozenset()
        self._reached = False
        self._limit = Limiter(Rate(calls_per_minute, Duration.MINUTE)) if calls_per_minute else None
        self._client = httpx2.Client(
            timeout=httpx2.Timeout(patience.timeout, connect=min(patience.connect, patience.timeout)),
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            limits=httpx2.Limits(max_connections=concurrency),
            follow_redirects=False,  # the key goes where it was meant to go, and nowhere else
        )

    @property
    def is_public(self) -> bool:
        """Whether this is OpenAI's own service, which refuses fields that it does not know."""
        return self._url.host == httpx2.URL(PUBLIC).host

    def complete(self, body: Mapping[str, Any]) -> Any:
        """The JSON document of a completion, or a Failure with the reason why there is none.

        Raises TeacherError where going on is useless: no such server, key or model, or too many images for it.
        """
        retry = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Passing),
            stop=tenacity.stop_after_attempt(self._patience.attempts),
            wait=self._wait,
            reraise=True,
        )
        try:
            return retry(self._post, body)
        except _Passing as error:
            return Failure(f"gave up after {self._patience.attempts} tries: {error}")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _wait(self, state: tenacity.RetryCallState) -> float:
        """What the server asked for, else doubling with jitter; never longer than `longest`."""
        error = state.outcome.exception() if state.outcome else None
        after = getattr(error, "after", None)
        doubling = self._patience.backoff * 2 ** (state.attempt_number - 1) * random.uniform(0.5, 1.5)
        return float(min(doubling if after is None else after, self._patience.longest))

    def _post(self, body: Mapping[str, Any]) -> Any:
        response = self._send({name: value for name, value in body.items() if name not in self._dropped})
        if isinstance(response, Failure):
            return response
        self._reached = True
        status = response.status_code
        if status != 200:
            self._stop_where_useless(response)
        if status == 429 or status >= 500:
            raise _Passing(f"HTTP {status}: {self._words(response)}", _retry_after(response))
        if status in (400, 422) and self._drops(response, body):
            return self._post(body)
        return self._document(response)

    def _stop_where_useless(self, response: httpx2.Response) -> None:
        """Raise TeacherError for what no later call can change."""
        words = self._words(response)
        limit = _IMAGE_LIMIT.search(words)
        if limit:
            raise _too_many(int(limit[1] or limit[2]), words)
        if response.status_code in _USELESS or "insufficient_quota" in response.text:
            raise TeacherError(
                f"{self._place} refuses: HTTP {response.status_code}: {words}",
                hint=f"check --endpoint, the model's name, the account's credit, and the key in {' or '.join(KEYS)}",
            )

    def _send(self, body: Mapping[str, Any]) -> httpx2.Response | Failure:
        if self._limit is not None:
            self._limit.try_acquire("calls", blocking=True)
        try:
            return self._client.post(self._url, json=body)
        except _UNREACHED as error:
            if self._reached:
                raise _Passing(f"cannot connect to {self._place}") from error
            raise TeacherError(
                f"cannot reach {self._place}: {error}", hint="check --endpoint, and that the server is running"
            ) from error
        except _MAY_PASS as error:
            raise _Passing(f"{type(error).__name__} from {self._place}") from error
        except httpx2.HTTPError as error:
            return Failure(f"{type(error).__name__} from {self._place}")

    def _drops(self, response: httpx2.Response, body: Mapping[str, Any]) -> bool:
        """Leave out from now on the field that the server refuses; whether there was one."""
        words = response.text
        sent = [name for name in DISPENSABLE if name in body and name not in self._dropped]
        refused = next((name for name in sent if re.search(rf"\b{name}\b", words)), None)
        if refused is None:
            return False
        self._dropped |= {refused}
        return True

    def _document(self, response: httpx2.Response) -> Any:
        if response.status_code != 200:
            return Failure(f"HTTP {response.status_code}: {self._words(response)}")
        try:
            return response.json()
        except ValueError:
            return Failure("the server's answer is not JSON")

    def _words(self, response: httpx2.Response) -> str:
        """What the server says of an error, in one short line; never the key, which some servers repeat."""
        try:
            document = response.json()
            error = document.get("error", document) if isinstance(document, dict) else document
            text = str(error.get("message", error) if isinstance(error, dict) else error)
        except ValueError:
            text = response.text
        if self._key:
            text = text.replace(self._key, "(the key)")
        return " ".join(text.split())[:300]


def _too_many(limit: int, words: str) -> TeacherError:
    fewer = f"give --images-per-call {limit}, or" if limit > 1 else "--images-per-call is at least 2, so"
    return TeacherError(
        f"the server takes at most {limit} image(s) a question: {words}",
        hint=f"{fewer} raise the server's limit (vLLM: --limit-mm-per-prompt '{{\"image\": 8}}')",
    )


def _chat_url(endpoint: str | None) -> httpx2.URL:
    """Where to post: the endpoint may end in /v1 or in the whole path, and its query part is kept."""
    try:
        url = httpx2.URL(endpoint or PUBLIC)
    except httpx2.InvalidURL:
        url = httpx2.URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise TeacherError("--endpoint is no URL", hint="for example --endpoint http://localhost:8000")
    base = url.path.rstrip("/").removesuffix("/chat/completions").removesuffix("/v1")
    return url.copy_with(path=f"{base}/v1/chat/completions")


def _key() -> str | None:
    for name in KEYS:
        key = os.environ.get(name, "").strip()
        if key and not (key.isascii() and key.isprintable()):
            raise TeacherError(f"the key in {name} has characters that no key has", hint=f"set {name} again")
        if key:
            return key
    return None


def _retry_after(response: httpx2.Response) -> float | None:
    """Seconds that the server asks to wait: a number or a date."""
    value = response.headers.get("Retry-After")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (ValueError, TypeError):
        return None
