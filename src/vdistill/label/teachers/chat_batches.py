"""The batch API of an OpenAI-compatible server: files are uploaded, jobs created, found again and read back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import tenacity

from vdistill.errors import TeacherError
from vdistill.label.teachers.chat_endpoint import Endpoint
from vdistill.label.teachers.chat_http import Patience
from vdistill.label.teachers.chat_replies import Reply, read_reply
from vdistill.label.teachers.chat_route import find_route

PATH = "/v1/chat/completions"  # what the questions of a job are posted to
WINDOW = "24h"  # within which a job ends; no server knows another
MARK = "vdistill"  # the name of our metadata
_PAGE, _PAGES = 100, 50  # jobs of a listing that are searched

T = TypeVar("T")


class _PassingFault(Exception):
    """A fault that may pass."""


class UnknownFate(Exception):
    """A request that may have arrived, or not."""


@dataclass(frozen=True, slots=True)
class ServerJob:
    """A job as the server tells it.  reason: of a failed one.  done, total: its questions."""

    id: str
    status: str
    files: tuple[str, ...] = ()
    reason: str = ""
    done: int = 0
    total: int = 0

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> ServerJob:
        """Read one of a response; a server may leave out all but id and status, and write the latter in capitals."""
        counts, errors = document.get("request_counts") or {}, document.get("errors") or {}
        listed = errors.get("data") if isinstance(errors, Mapping) else None
        first: Mapping[str, Any] = listed[0] if listed else {}
        files = (document.get(name) for name in ("output_file_id", "error_file_id"))
        done = sum(int(counts.get(name) or 0) for name in ("completed", "failed"))
        return cls(
            id=str(document.get("id")),
            status=str(document.get("status")).lower(),
            files=tuple(str(file) for file in files if file),
            reason=str(first.get("message") or first.get("code") or ""),
            done=done,
            total=int(counts.get("total") or 0),
        )


class BatchClient:
    """Talks to one server. Not for several threads."""

    def __init__(self, endpoint: Endpoint, patience: Patience) -> None:
        """Nothing is sent yet. Raises TeacherError for a proxy or certificates that cannot be used."""
        self._endpoint, self._patience = endpoint, patience
        route = find_route(endpoint.url)
        self._through = route.through
        self._client = httpx2.Client(
            timeout=httpx2.Timeout(patience.timeout, connect=min(10.0, patience.timeout)),
            headers=dict(endpoint.headers), follow_redirects=False, trust_env=False, proxy=route.proxy,
            verify=route.verify,
        )  # fmt: skip

    @property
    def place(self) -> str:
        """The server's address, without what may be secret in it."""
        return self._endpoint.place

    def upload(self, path: Path, name: str) -> str:
        """Upload a file of requests; its id."""

        def send() -> Reply:
            with path.open("rb") as file:
                files = {"file": (f"{MARK}-{name}.jsonl", file, "application/jsonl")}
                return self._send("POST", "files", data={"purpose": "batch"}, files=files)

        return str(self._document(self._retried(send)).get("id"))

    def create(self, file_id: str, name: str) -> ServerJob:
        """Create a job. Raises UnknownFate where the server may have created it without saying so."""
        body = {"input_file_id": file_id, "endpoint": PATH, "completion_window": WINDOW, "metadata": {MARK: name}}
        try:
            reply = self._send("POST", "batches", json=body, headers={"Idempotency-Key": f"{MARK}-{name}"})
        except _PassingFault as fault:
            raise UnknownFate(str(fault)) from fault
        if reply.status >= 500:
            raise UnknownFate(str(reply))
        return ServerJob.of(self._document(reply))

    def find(self, name: str, file_id: str | None) -> ServerJob | None:
        """The job that was created under this name, or from this file; None where the server lists none."""
        for document in self._listed():
            metadata = document.get("metadata") or {}
            if metadata.get(MARK) == name or (file_id and document.get("input_file_id") == file_id):
                return ServerJob.of(document)
        return None

    def job(self, job_id: str) -> ServerJob | None:
        """A job as it is now; None where the server knows it no more."""
        reply = self._retried(lambda: self._send("GET", f"batches/{job_id}"))
        return None if reply.status == 404 else ServerJob.of(self._document(reply))

    def content(self, file_id: str) -> str:
        """The lines of a file."""

        def get() -> httpx2.Response:
            return self._response("GET", f"files/{file_id}/content")

        response = self._retried(get)
        if response.status_code != 200:
            self._document(read_reply(response, self._endpoint.secrets))
        return str(response.content.decode("utf-8", "replace"))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _listed(self) -> Iterator[Mapping[str, Any]]:
        after: str | None = None
        for _ in range(_PAGES):
            page: dict[str, Any] = {"limit": _PAGE} | ({"after": after} if after else {})
            found = self._document(self._retried(partial(self._send, "GET", "batches", params=page)))
            listed = [one for one in found.get("data") or [] if isinstance(one, Mapping)]
            yield from listed
            if not found.get("has_more") or not listed:
                return
            after = str(listed[-1].get("id"))

    def _retried(self, send: Callable[[], T]) -> T:
        """Try again what may pass and repeats nothing."""
        patience = self._patience

        def passing(found: T) -> bool:
            status = found.status_code if isinstance(found, httpx2.Response) else getattr(found, "status", 200)
            return bool(status == 429 or status >= 500)

        retry = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_PassingFault) | tenacity.retry_if_result(passing),
            stop=tenacity.stop_after_attempt(patience.attempts),
            wait=tenacity.wait_random_exponential(patience.backoff, patience.longest),
            retry_error_callback=lambda state: state.outcome.result() if state.outcome else None,
        )
        try:
            return retry(send)
        except _PassingFault as fault:
            raise TeacherError(str(fault), hint="run the same command again: nothing is asked twice") from fault

    def _send(self, method: str, path: str, **what: Any) -> Reply:
        return read_reply(self._response(method, path, **what), self._endpoint.secrets)

    def _response(
        self, method: str, path: str, *, params: Mapping[str, Any] | None = None, **what: Any
    ) -> httpx2.Response:
        url = self._url(path)
        for name, value in (params or {}).items():
            url = url.copy_set_param(name, value)
        try:
            return self._client.request(method, url, **what)
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError) as error:
            raise TeacherError(
                f"cannot reach {self.place}{self._through}: {error}", hint="check --endpoint; nothing was lost"
            ) from error
        except httpx2.HTTPError as error:
            raise _PassingFault(f"{type(error).__name__} from {self.place}") from error

    def _url(self, path: str) -> httpx2.URL:
        root = self._endpoint.url.path.removesuffix("/chat/completions")
        root = root.partition("/deployments/")[0]  # Azure: batches belong to no deployment
        return self._endpoint.url.copy_with(path=f"{root}/{path}")

    def _document(self, reply: Reply) -> Mapping[str, Any]:
        if reply.status in (200, 201) and isinstance(reply.document, Mapping):
            return reply.document
        missing = reply.status in (404, 405, 501)
        hint = (
            "this server may have no batch API: leave --batch out" if missing else self._endpoint.remedy(reply.status)
        )
        raise TeacherError(f"{self.place} refuses: {reply}", hint=hint)
