"""Where chat completions are posted, and which key goes there."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

import httpx2

from vdistill.errors import TeacherError

PUBLIC = "https://api.openai.com/v1"
KEY, OPENAI_KEY = "VDISTILL_API_KEY", "OPENAI_API_KEY"
KEYS = (KEY, OPENAI_KEY)

_AZURE = (".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com")
# A part of a path that names the API: a version, or the API that it is compatible with.
_NAMES_API = re.compile(r"v\d+(?:alpha|beta)?\d*|openai|deployments|compatible-mode")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and the headers it is sent.

    place: the address without what may be secret in it. strict: it refuses fields that it does not know.
    withheld: OPENAI_API_KEY is set, and is not sent to this address.
    """

    url: httpx2.URL
    place: str
    headers: Mapping[str, str]
    secrets: tuple[str, ...]
    strict: bool
    withheld: bool

    def remedy(self, status: int) -> str:
        """What helps where this server refuses with `status`."""
        if status in (401, 403) and self.withheld:
            return (
                f"{OPENAI_KEY} is sent to {httpx2.URL(PUBLIC).host} alone: for this server set {KEY}, "
                f"or give --api-key-env {OPENAI_KEY}"
            )
        if status == 404:
            return (
                "check the model's name and the address: --endpoint may be the whole path, "
                "https://…/chat/completions, which stays as it is"
            )
        return f"check --endpoint, the model's name, the account's credit, and the key in {' or '.join(KEYS)}"


def read_endpoint(endpoint: str | None, key_name: str | None = None) -> Endpoint:
    """Where `endpoint` points (OpenAI's own service where it is None), with the key for it from the environment.

    key_name: the environment variable that holds the key; without it VDISTILL_API_KEY, and OPENAI_API_KEY for OpenAI's
    own service. Raises TeacherError for an invalid address or key.
    """
    url = _chat_url(endpoint)
    key = _named_key(key_name) if key_name is not None else _usual_key(url)
    azure = url.host.endswith(_AZURE) or "/deployments/" in url.path
    headers = {}
    if key:  # Azure's own keys have a header of their own; the tokens of its signed-in users do not
        headers = {"api-key": key} if azure and not key.startswith("eyJ") else {"Authorization": f"Bearer {key}"}
    named = [value for name, value in url.params.items() if re.search(r"key|token|secret|sig", name, re.IGNORECASE)]
    return Endpoint(
        url=url,
        place=str(url.copy_with(username=None, password=None, query=None)),
        headers=headers,
        secrets=tuple(text for text in (key, url.password, *named) if text),
        strict=azure or url.host == httpx2.URL(PUBLIC).host or _is_openai(url),
        withheld=key is None and bool(os.environ.get(OPENAI_KEY, "").strip()),
    )


def _chat_url(endpoint: str | None) -> httpx2.URL:
    """Where to post: a whole path and one that names the API stay as they are, a bare address gets /v1.

    The query part is kept.
    """
    try:
        url = httpx2.URL((endpoint or PUBLIC).strip())
    except httpx2.InvalidURL:
        url = httpx2.URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise TeacherError("--endpoint is not a valid URL", hint="for example --endpoint http://localhost:8000")
    path = url.path.rstrip("/")
    if path.endswith("/chat/completions"):
        return url.copy_with(path=path)
    if not path and url.host.endswith(_AZURE):
        path = "/openai/v1"
    if not any(_NAMES_API.fullmatch(part) for part in path.split("/")):
        path = f"{path}/v1"
    return url.copy_with(path=f"{path}/chat/completions")


def _named_key(name: str) -> str:
    # The user may have given the key itself by mistake: what was given is repeated only where it cannot be one.
    if not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise TeacherError(
            "--api-key-env is not the name of an environment variable", hint="give its name, not the key itself"
        )
    key = _key_in(name)
    if key is None:
        shown = f" {name}" if re.fullmatch(r"[A-Z][A-Z_]*", name) else ""
        raise TeacherError(f"the environment variable{shown} of --api-key-env is not set", hint="export the key")
    return key


def _usual_key(url: httpx2.URL) -> str | None:
    return _key_in(KEY) or (_key_in(OPENAI_KEY) if _is_openai(url) else None)


def _is_openai(url: httpx2.URL) -> bool:
    """Whether an address is OpenAI's own, over an encrypted connection."""
    return url.scheme == "https" and (url.host == "api.openai.com" or url.host.endswith(".api.openai.com"))


def _key_in(name: str) -> str | None:
    key = os.environ.get(name, "").strip()
    if key and not (key.isascii() and key.isprintable()):
        raise TeacherError(f"the key in {name} has characters that no key has", hint=f"set {name} again")
    return key or None
