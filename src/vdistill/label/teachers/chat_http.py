"""Requests to an OpenAI-compatible server: passing faults are retried, those that no retry can change stop the run."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
import tenacity
from pyrate_limiter import Duration, Limiter, Rate

from vdistill.errors import TeacherError
from vdistill.label.teachers.chat_endpoint import Endpoint
from vdistill.label.teachers.chat_replies import Reply, read_reply
from vdistill.label.teachers.chat_route import find_route
from vdistill.label.teachers.chat_terms import Agreement
from vdistill.label.teachers.options import TeacherOptions
from vdistill.records import Failure

CONNECT = 10.0  # seconds to wait for a connection
# The limit on images in the words of vLLM's versions; some gateways send them with a 500.
_IMAGE_LIMIT = re.compile(r"at most (\d+) image|image\W{1,4}(\d+).{0,40}limit-mm-per-prompt", re.IGNORECASE)
_USELESS = (401, 402, 403, 404)  # wrong key, no credit, no permission, no such model
_NO_KEY = re.compile(r"api.?key.{0,20}(?:not valid|invalid|missing)|(?:invalid|missing|no).{0,20}api.?key", re.I)
_OF_THIS_QUESTION = re.compile(r"flagged|moderation|content.?(?:policy|filter)|safety", re.IGNORECASE)
_MAY_REFUSE_FIELDS = (400, 403, 422, 500, 501)
_OF_API = re.compile(r"/(?:chat/completions|rerank|score)$")
_UNREACHED = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError)
_MAY_PASS = (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, in seconds: for a response, and before another attempt (at first, and at the longest)."""

    timeout: float = 120.0
    attempts: int = 6
    backoff: float = 1.0
    longest: float = 60.0


class PassingFault(Exception):
    """A fault that may pass: worth another attempt, after `after` seconds if the server says so.

    busy: the server works, and has enough to do.
    """

    def __init__(self, reason: str, after: float | None = None, *, busy: bool = False) -> None:
        super().__init__(reason)
        self.after, self.busy = after or 0.0, busy


class UnreachedError(TeacherError):
    """There is no server, as far as one can tell: it never answered."""


class ChatClient:
    """Posts chat completions; may be used from several threads at once."""

    def __init__(self, endpoint: Endpoint, agreement: Agreement, options: TeacherOptions, patience: Patience) -> None:
        """Nothing is sent yet. Raises TeacherError for a proxy or certificates that cannot be used."""
        self._endpoint, self._agreement, self._patience = endpoint, agreement, patience
        self._route = find_route(endpoint.url)
        self._reached = False
        per_minute = options.calls_per_minute
        self._limit = Limiter(Rate(per_minute, Duration.MINUTE)) if per_minute else None
        self._client = httpx2.Client(
            timeout=httpx2.Timeout(patience.timeout, connect=min(CONNECT, patience.timeout)),
            headers=dict(endpoint.headers),
            limits=httpx2.Limits(max_connections=options.concurrency),
            follow_redirects=False,  # the key goes where it was meant to go, and nowhere else
            trust_env=False,  # what it sets is in the route
            proxy=self._route.proxy,
            verify=self._route.verify,
        )

    def complete(self, body: Mapping[str, Any]) -> Any:
        """The JSON document of a completion, or a Failure with the reason why there is none.

        Raises TeacherError where going on is useless: no such server, key or model, or too many images for it.
        """
        retry = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(PassingFault),
            stop=tenacity.stop_after_attempt(self._patience.attempts),
            wait=self._wait,
            reraise=True,
        )
        try:
            return retry(self.attempt, body)
        except PassingFault as fault:
            return Failure(f"gave up after {self._patience.attempts} tries: {fault}")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _wait(self, state: tenacity.RetryCallState) -> float:
        """Doubling with jitter, or what the server asked for where that is longer; never longer than `longest`.

        A server that asks for 0 seconds and goes on refusing would otherwise use up all attempts at once.
        """
        doubling = self._patience.backoff * 2 ** (state.attempt_number - 1) * random.uniform(0.5, 1.5)
        fault = state.outcome.exception() if state.outcome else None
        after = fault.after if isinstance(fault, PassingFault) else 0.0
        return float(min(max(doubling, after), self._patience.longest))

    @property
    def place(self) -> str:
        """The server's address, without what may be secret in it."""
        return self._endpoint.place

    def models(self) -> dict[str, str] | None:
        """What the server says that it serves: by name, what that is of; None where it does not say, or means others.

        Raises UnreachedError and PassingFault where it does not answer.
        """
        if self._endpoint.strict:  # it lists models, and is asked for deployments
            return None
        root = _OF_API.sub("", self._endpoint.url.path)
        try:
            response = self._client.get(self._endpoint.url.copy_with(path=f"{root}/models"), timeout=CONNECT)
            listed = response.json()["data"] if response.status_code == 200 else None
            return None if listed is None else {str(one["id"]): str(one.get("root") or "") for one in listed}
        except _UNREACHED as error:
            raise self._unreached(error) from error
        except httpx2.HTTPError as error:
            raise PassingFault(f"{type(error).__name__} from {self.place}") from error
        except (ValueError, TypeError, KeyError, AttributeError):
            return None  # no such list

    def attempt(self, body: Mapping[str, Any]) -> Any:
        """As `complete`, once: raises PassingFault for what may pass.

        A request that is refused for one of its fields is made again as the server accepts it.
        """
        while True:
            sent = self._agreement.terms.applied(body)
            response = self._send(sent)
            if isinstance(response, Failure):
                return response
            self._reached = True
            reply = read_reply(response, self._endpoint.secrets)
            if reply.status == 200:
                self._agreement.accepted()
                return Failure("the server's answer is not JSON") if reply.document is None else reply.document
            refuses = reply.status in _MAY_REFUSE_FIELDS
            if not (refuses and self._agreement.refused(reply.details, body, sent)):
                return self._failed(reply)

    def _failed(self, reply: Reply) -> Failure:
        """The failure that an error is.

        Raises PassingFault for what may pass, TeacherError for what no further call can change.
        """
        limit = _IMAGE_LIMIT.search(reply.details)
        if limit:
            raise _too_many(int(limit[1] or limit[2]), reply.words)
        of_question = reply.status == 403 and _OF_THIS_QUESTION.search(reply.details)
        no_key = reply.status == 400 and _NO_KEY.search(reply.details)  # Gemini says so
        if (reply.status in _USELESS and not of_question) or no_key or "insufficient_quota" in reply.details:
            hint = self._endpoint.remedy(401 if no_key else reply.status)
            raise TeacherError(f"{self._endpoint.place} refuses: {reply}", hint=hint)
        if reply.status == 429 or reply.status >= 500:
            raise PassingFault(str(reply), reply.after, busy=reply.status == 429)
        return Failure(str(reply))

    def _send(self, body: Mapping[str, Any]) -> httpx2.Response | Failure:
        if self._limit is not None:
            self._limit.try_acquire("calls", blocking=True)
        place = self._endpoint.place
        try:
            return self._client.post(self._endpoint.url, json=body)
        except _UNREACHED as error:
            if self._reached:
                raise PassingFault(f"cannot connect to {place}{self._route.through}") from error
            raise self._unreached(error) from error
        except _MAY_PASS as error:
            raise PassingFault(f"{type(error).__name__} from {place}") from error
        except httpx2.HTTPError as error:
            return Failure(f"{type(error).__name__} from {place}")

    def _unreached(self, error: httpx2.HTTPError) -> TeacherError:
        hint = "check --endpoint, and that the server is running"
        if self._route.proxy:
            hint = f"check {self._route.named}, or set NO_PROXY={self._endpoint.url.host} to go there without a proxy"
        elif "CERTIFICATE" in str(error):
            hint = "set SSL_CERT_FILE to a file with the certificates that your network uses"
        return UnreachedError(f"cannot reach {self._endpoint.place}{self._route.through}: {error}", hint=hint)


def _too_many(limit: int, words: str) -> TeacherError:
    fewer = f"give --images-per-call {limit}, or" if limit > 1 else "--images-per-call is at least 2, so"
    return TeacherError(
        f"the server accepts at most {limit} image(s) per question: {words}",
        hint=f"{fewer} raise the server's limit (vLLM: --limit-mm-per-prompt '{{\"image\": 8}}')",
    )
