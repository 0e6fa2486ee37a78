"""The table of routes: what each answers, what it may be asked, and what its answers look like."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from starlette.requests import Request
from starlette.responses import Response

from vdistill.serve import asked, embeddings, feedback, schemas, searches, state, why
from vdistill.serve.fields import Field
from vdistill.serve.service import Service

Handler: TypeAlias = Callable[[Service, Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Route:
    """A route.

    fields: of the query string.  body: the JSON schema of the body; with `form` it may come as a form too.
    answer: the JSON schema of the answer, or its content type.  refusals: statuses beside those that all have.
    """

    method: str
    path: str
    handler: Handler
    told: str
    fields: tuple[Field, ...] = ()
    body: dict[str, Any] | None = None
    form: bool = False
    answer: dict[str, Any] | str = "application/json"
    refusals: tuple[int, ...] = ()
    limited: bool = True  # counts among the requests that are answered at once


_SIMILAR = (*asked.OPTIONS, asked.MODEL)
_ANSWER = schemas.named("Answer")

ROUTES = (
    Route("GET", "/v1/search", searches.search_get, "Search by words.", asked.SEARCH, answer=_ANSWER,
          refusals=(404,)),
    Route("POST", "/v1/search", searches.search_post, "Search by words, images, items and mixtures of them.",
          body=schemas.search(asked.POSTED), form=True, answer=_ANSWER, refusals=(403, 404, 408, 413, 415)),
    Route("POST", "/v1/search/batch", searches.batch, "Several searches by words, each answered as if alone.",
          body=schemas.batch((*asked.OPTIONS, asked.HYBRID, asked.MIN_FIT, asked.MODEL)),
          answer=schemas.named("Answers"),
          refusals=(404, 408, 413, 415)),
    Route("GET", "/v1/compare", searches.compare_get, "The student's results beside the backbone's.", asked.COMPARE,
          answer=schemas.named("Comparison"), refusals=(404,)),
    Route("POST", "/v1/compare", searches.compare_post, "The student's results beside the backbone's.",
          body=schemas.search(asked.COMPARE), form=True, answer=schemas.named("Comparison"),
          refusals=(403, 404, 408, 413, 415)),
    Route("GET", "/v1/similar/{id:path}", searches.similar, "What looks like an item.", _SIMILAR, answer=_ANSWER,
          refusals=(404,)),
    Route("GET", "/v1/items", searches.items, "A few items, spread over the index.", (searches.SOME, asked.MODEL),
          answer=schemas.named("Items"), refusals=(404,)),
    Route("GET", "/v1/filters", searches.filters, "What the items can be filtered by: values and ranges of columns.",
          (asked.MODEL,), answer=schemas.named("Filters"), refusals=(404,)),
    Route("GET", "/v1/items/{id:path}", searches.item, "An item.", (asked.MODEL,), answer=schemas.named("Item"),
          refusals=(404,)),
    Route("GET", "/v1/images/{id:path}", searches.image, "The image of an item, as a JPEG.",
          (searches.SIZE, asked.MODEL), answer="image/jpeg", refusals=(304, 404)),
    Route("POST", "/v1/embed", embeddings.embed, "Texts to unit vectors.", body=schemas.EMBED,
          answer=schemas.named("Vectors"), refusals=(404, 408, 413, 415)),
    Route("POST", "/v1/embeddings", embeddings.openai, "Texts to unit vectors, as OpenAI's API has it.",
          body=schemas.OPENAI, answer=schemas.named("Embeddings"), refusals=(404, 408, 413, 415)),
    Route("POST", "/v1/feedback", feedback.feedback, "A thumb up or down of a result, as a judgment.",
          body=schemas.FEEDBACK, answer=schemas.named("Feedback"), refusals=(403, 404, 408, 413, 415)),
    Route("GET", "/v1/why/{id:path}", why.why_get, "The judgments that taught the student about a result.", asked.WHY,
          answer=schemas.named("Why"), refusals=(404,)),
    Route("POST", "/v1/why/{id:path}", why.why_post, "The same for a search by images, items and mixtures.",
          body=schemas.search(asked.WHY), form=True, answer=schemas.named("Why"), refusals=(404, 408, 413, 415)),
    Route("GET", "/v1/models", embeddings.models, "The models, as OpenAI's API lists them.",
          answer=schemas.named("Models")),
    Route("GET", "/v1/info", state.info, "What is served: models, number of items, columns of the metadata.",
          answer=schemas.named("Info")),
    Route("GET", "/healthz", state.healthz, "Whether the process is alive.", answer=schemas.named("State"),
          limited=False),
    Route("GET", "/readyz", state.readyz, "Whether there is an index to search.", answer=schemas.named("State"),
          limited=False),
    Route("GET", "/metrics", state.metrics, "Counters for Prometheus.", answer="text/plain", limited=False),
)  # fmt: skip
