"""A reranker on a server: vLLM's `/v1/rerank` and `/v1/score`, and services with the shape of Cohere and Jina."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vdistill.errors import TeacherError
from vdistill.label.prompts import CHARACTERS
from vdistill.label.teacher import Price
from vdistill.label.teachers.chat_answers import used_tokens
from vdistill.label.teachers.chat_endpoint import Endpoint, read_endpoint
from vdistill.label.teachers.chat_http import Patience
from vdistill.label.teachers.chat_terms import Agreement
from vdistill.label.teachers.endpoints import open_client
from vdistill.label.teachers.model_images import ImageCache, load_each
from vdistill.label.teachers.options import Memory, TeacherOptions
from vdistill.label.teachers.scores import logit, scored
from vdistill.records import Answer, Failure, Question

VERSION = "1"  # part of the key of answers
MOST_SIDE = 768
TOKENS_OF_TEXT, TOKENS_PER_IMAGE = 80, 800  # an estimate, for prices
_PATHS = ("/rerank", "/score")


@dataclass(frozen=True, slots=True)
class Form:
    """One way to ask: the path, and how images are written."""

    name: str
    path: str
    documents: Callable[[Sequence[str]], Any]

    def body(self, model: str, query: str, uris: Sequence[str]) -> dict[str, Any]:
        """The request."""
        documents = self.documents(uris)
        if self.path == "/score":
            return {"model": model, "data_1": query, "data_2": documents}
        return {"model": model, "query": query, "documents": documents, "top_n": len(uris), "return_documents": False}


def _part(uri: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": uri}}


FORMS = (
    Form("rerank", "/rerank", lambda uris: [{"content": [_part(uri)]} for uri in uris]),  # vLLM
    Form("rerank together", "/rerank", lambda uris: {"content": [_part(uri) for uri in uris]}),  # before 0.16
    Form("rerank images", "/rerank", lambda uris: [{"image": uri.partition(",")[2]} for uri in uris]),  # Jina: base64
    Form("rerank data", "/rerank", lambda uris: [{"image": uri} for uri in uris]),
    Form("score", "/score", lambda uris: [{"content": [_part(uri)]} for uri in uris]),
    Form("score together", "/score", lambda uris: {"content": [_part(uri) for uri in uris]}),
)


class RerankServer:
    """Scores the images of a question in one request. Which form a server understands is found out and remembered."""

    batch_size = 1
    looks = True
    pointwise = True

    def __init__(
        self, model: str, options: TeacherOptions, *, say: Callable[[str], None], patience: Patience | None = None
    ) -> None:
        """Nothing is sent yet. Raises TeacherError for an address, a key or prices that cannot be used."""
        self.name, self._model = f"rerank:{model}", model
        self.concurrency = options.concurrency * len(options.servers)
        bounds = f"{MOST_SIDE}px" if options.max_pixels is None else f"{MOST_SIDE}px/{options.max_pixels}px"
        self.prompt = f"{VERSION}/{bounds}"
        self._prices = options.price_of(model, self.name)
        self._images = ImageCache(MOST_SIDE, options.max_pixels)
        self._memory, self._lock = options.memory, threading.Lock()
        endpoints = [read_endpoint(one, options.key_name) for one in options.servers]
        self._place = f"reranker/{endpoints[0].place}/{model}"
        self._clients = {
            path: open_client([_at(one, path) for one in endpoints], model,
                              Agreement(f"{self._place}{path}", None, say), options, patience or Patience(), say)
            for path in _PATHS
        }  # fmt: skip
        self._form = _recalled(self._memory, self._place)

    def ask(self, questions: Sequence[Question]) -> list[Answer | Failure]:
        """Score the images of each question. Raises TeacherError where going on is useless."""
        return [self._ask(question) for question in questions]

    def price(self, question: Question) -> Price:
        """What a question would cost by the price table, None without one; tokens are estimated."""
        each = TOKENS_OF_TEXT + len(question.query) // CHARACTERS + TOKENS_PER_IMAGE
        tokens = each * len(question.images)
        return Price(tokens, self._usd(tokens) if self._prices else None, seconds=1.0)

    def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            client.close()

    def _ask(self, question: Question) -> Answer | Failure:
        uris = load_each(question.images, self._images.data_uri)
        if isinstance(uris, Failure):
            return uris
        if self._form is None:
            with self._lock:  # one question finds out for all
                if self._form is None:
                    return self._first(question, uris)
        return self._with(self._form, question, uris)

    def _first(self, question: Question, uris: Sequence[str]) -> Answer | Failure:
        """Ask in each form until one is understood."""
        refusals: list[Exception | Failure] = []
        for form in FORMS:
            try:
                said = self._with(form, question, uris)
            except TeacherError as error:
                if "404" not in error.message and "405" not in error.message:
                    raise
                refusals.append(error)
                continue
            if isinstance(said, Answer):
                self._form = form
                if self._memory:
                    self._memory.keep(self._place, form.name)
                return said
            refusals.append(said)
        failure = next((one for one in refusals if isinstance(one, Failure)), None)
        if failure is None and isinstance(refusals[0], TeacherError):
            raise TeacherError(
                f"no reranker answers at this address: {refusals[0].message}",
                hint="check --endpoint and the model's name; vLLM serves rerankers with --runner pooling",
            )
        return failure or Failure("the server understands no form of the question")

    def _with(self, form: Form, question: Question, uris: Sequence[str]) -> Answer | Failure:
        document = self._clients[form.path].complete(form.body(self._model, question.query, uris))
        if isinstance(document, Failure):
            return document
        used = used_tokens(document)
        tokens = used.prompt + used.completion
        usd = self._usd(tokens)
        scores = _scores(document, len(uris))
        if isinstance(scores, Failure):
            return replace(scores, tokens=tokens, cost_usd=usd)
        return scored(question, [logit(score) for score in scores], tokens, usd)

    def _usd(self, tokens: int) -> float:
        return tokens * self._prices[0] / 1e6 if self._prices else 0.0


def _scores(document: Any, count: int) -> list[float] | Failure:
    """The relevance of each image, in the order shown. Each must be there once and within [0, 1]: never a guess."""
    listed = document.get("results", document.get("data")) if isinstance(document, Mapping) else None
    found: dict[int, float] = {}
    for one in listed if isinstance(listed, list) else []:
        value = one.get("relevance_score", one.get("score")) if isinstance(one, Mapping) else None
        index = one.get("index") if isinstance(one, Mapping) else None
        if isinstance(value, int | float) and isinstance(index, int):
            found[index] = float(value)
    if sorted(found) != list(range(count)) or len(listed or []) != count:
        return Failure(f"the server gave {len(found)} scores of {count} images")
    if not all(0 <= score <= 1 for score in found.values()):
        return Failure("the server gives scores that are not between 0 and 1: serve the model with its activation")
    return [found[place] for place in range(count)]


def _at(endpoint: Endpoint, path: str) -> Endpoint:
    """The same server's address of another API; one that names the API is left as it is."""
    given = endpoint.url.path.removesuffix("/chat/completions").rstrip("/")
    for known in _PATHS:
        given = given.removesuffix(f"{known}/v1").removesuffix(known)
    url = endpoint.url.copy_with(path=f"{given}{path}")
    return replace(endpoint, url=url, place=str(url.copy_with(username=None, password=None, query=None)))


def _recalled(memory: Memory | None, place: str) -> Form | None:
    known = memory.recall(place) if memory else None
    return next((form for form in FORMS if form.name == known), None)
