"""The OpenAI-compatible chat API as a teacher: hosted models, vLLM, SGLang, Ollama."""

from __future__ import annotations

import base64
import io
import os
import random
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import httpx2
import tenacity

from vdistill.errors import ImageError, TeacherError
from vdistill.images import load
from vdistill.label.prompts import PROMPT_VERSION, SYSTEM, content, letters
from vdistill.label.teacher import Price
from vdistill.label.teachers.chat_answers import read_answer
from vdistill.records import Answer, Failure, Question

PUBLIC = "https://api.openai.com/v1"
KEYS = ("VDISTILL_API_KEY", "OPENAI_API_KEY")
LEAST_SIDE, MOST_SIDE = 28, 768
TOKENS_PER_IMAGE = 800  # a guess for prices, of a picture of this size


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for what, in seconds, and how often to try."""

    timeout: float = 120.0
    attempts: int = 6
    backoff: float = 1.0
    longest: float = 60.0


class _Passing(Exception):
    """Something that may pass: worth another try, after `after` seconds where the server says so."""

    def __init__(self, reason: str, after: float | None = None) -> None:
        super().__init__(reason)
        self.after = after


class OpenAITeacher:
    """Asks one question a request; log-probabilities of the letters where the server gives them."""

    batch_size = 1
    looks = True
    prompt = f"{PROMPT_VERSION}/{MOST_SIDE}px"

    def __init__(
        self,
        model: str,
        *,
        endpoint: str | None,
        concurrency: int,
        say: Callable[[str], None],
        patience: Patience | None = None,
        usd_per_million: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """Connect lazily. `usd_per_million` are the prices of input and output tokens.

        Raises TeacherError for an endpoint that is no URL.
        """
        self.name = f"openai:{model}"
        self.concurrency = concurrency
        self._model, self._say, self._patience, self._prices = model, say, patience or Patience(), usd_per_million
        self._url = _chat_url(endpoint)
        self._hard_said = False
        key = next((os.environ[name] for name in KEYS if os.environ.get(name)), None)
        self._client = httpx2.Client(
            timeout=self._patience.timeout,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            limits=httpx2.Limits(max_connections=concurrency),
        )

    def ask(self, questions: Sequence[Question]) -> list[Answer | Failure]:
        """Answer each question, in order. Raises TeacherError where going on is useless."""
        return [self._ask(question) for question in questions]

    def price(self, question: Question) -> Price:
        """What a question would cost by the price table; tokens are estimated."""
        tokens = 150 + TOKENS_PER_IMAGE * len(question.images)
        return Price(tokens=tokens, usd=self._cost(tokens, 1), seconds=1.0)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, question: Question) -> Answer | Failure:
        try:
            body = self._body(question)
        except ImageError as error:
            return Failure(f"a picture cannot be read: {error.message}")
        retry = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_Passing),
            stop=tenacity.stop_after_attempt(self._patience.attempts),
            wait=self._wait,
            reraise=True,
        )
        try:
            answer = retry(self._post, body)
        except _Passing as error:
            return Failure(f"gave up after {self._patience.attempts} tries: {error}")
        return answer if isinstance(answer, Failure) else self._read(answer, question)

    def _wait(self, state: tenacity.RetryCallState) -> float:
        """What the server asked for, else doubling with jitter; never longer than `longest`."""
        error = state.outcome.exception() if state.outcome else None
        after = getattr(error, "after", None)
        doubling = self._patience.backoff * 2 ** (state.attempt_number - 1) * random.uniform(0.5, 1.5)
        return float(min(doubling if after is None else after, self._patience.longest))

    def _post(self, body: dict[str, Any]) -> Any:
        """One request: the document, or a Failure. Raises _Passing for what may pass, TeacherError for what won't."""
        try:
            response = self._client.post(self._url, json=body)
        except (httpx2.TimeoutException, httpx2.TransportError) as error:
            raise _Passing(f"{type(error).__name__} from {self._url}") from error
        if response.status_code == 429 or response.status_code >= 500:
            raise _Passing(f"HTTP {response.status_code}: {_words(response)}", _retry_after(response))
        if response.status_code in (401, 403, 404):
            raise TeacherError(
                f"{self._url} refuses: HTTP {response.status_code}: {_words(response)}",
                hint=f"check --endpoint, the model name {self._model!r} and the key in {' or '.join(KEYS)}",
            )
        if response.status_code != 200:
            return self._refused(response)
        try:
            return response.json()
        except ValueError:
            return Failure("the server's answer is not JSON")

    def _refused(self, response: httpx2.Response) -> Failure:
        words = _words(response)
        limit = re.search(r"at most (\d+) (?:image|picture)", words, flags=re.IGNORECASE)
        if limit:
            raise TeacherError(
                f"the server takes at most {limit[1]} image(s) a prompt: {words}",
                hint=f"give --images-per-call {max(2, int(limit[1]))}, or raise the server's limit "
                "(vLLM: --limit-mm-per-prompt)",
            )
        return Failure(f"HTTP {response.status_code}: {words}")

    def _read(self, document: Any, question: Question) -> Answer | Failure:
        answer, soft = read_answer(document, question)
        if isinstance(answer, Failure):
            return answer
        if question.ask == "best" and not soft and not self._hard_said:
            self._hard_said = True
            self._say(f"{self.name} gives no log-probabilities: its bare answers are used, which say less a call")
        usage = document.get("usage") or {}
        sent, got = (int(usage.get(name) or 0) for name in ("prompt_tokens", "completion_tokens"))
        return Answer(answer.probabilities, answer.order, tokens=sent + got, cost_usd=self._cost(sent, got))

    def _cost(self, sent: int, got: int) -> float:
        return (sent * self._prices[0] + got * self._prices[1]) / 1e6

    def _body(self, question: Question) -> dict[str, Any]:
        parts = []
        for kind, part in content(question.query, [image.path for image in question.images], question.ask):
            if kind == "text":
                parts.append({"type": "text", "text": part})
            else:
                parts.append({"type": "image_url", "image_url": {"url": _data_uri(Path(str(part)))}})
        known = letters(len(question.images))
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": parts}],
            "temperature": 0,
            "top_p": 1,
        }
        if question.ask == "rank":
            return body | {"max_tokens": 4 * len(known)}
        # Servers that do not know `structured_outputs` ignore it; the answer is validated in any case.
        return body | {
            "max_tokens": 1,
            "logprobs": True,
            "top_logprobs": 20,
            "structured_outputs": {"choice": list(known)},
        }


def _chat_url(endpoint: str | None) -> str:
    base = (endpoint or PUBLIC).rstrip("/")
    if not re.match(r"https?://[^/]+", base):
        raise TeacherError(f"--endpoint {endpoint!r} is no URL", hint="for example --endpoint http://localhost:8000")
    base = base.removesuffix("/chat/completions")
    return f"{base if base.endswith('/v1') else f'{base}/v1'}/chat/completions"


def _data_uri(path: Path) -> str:
    """A picture as an inline JPEG, its sides between LEAST_SIDE and MOST_SIDE pixels."""
    image = load(path, MOST_SIDE)
    scale = min(1.0, MOST_SIDE / max(image.size))
    size = tuple(max(LEAST_SIDE, round(side * scale)) for side in image.size)
    if size != image.size:
        image = image.resize((size[0], size[1]))
    data = io.BytesIO()
    image.save(data, "JPEG", quality=90)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"


def _words(response: httpx2.Response) -> str:
    """What the server says of an error, in one short line."""
    try:
        document = response.json()
        error = document.get("error", document) if isinstance(document, dict) else document
        text = error.get("message", error) if isinstance(error, dict) else error
    except ValueError:
        text = response.text
    return " ".join(str(text).split())[:300]


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
    except ValueError:
        return None
