"""A request as it came, in a query string, as JSON or as a form, becomes what is searched for and how."""

from __future__ import annotations

import base64
import binascii
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser
from starlette.requests import Request

from vdistill.query.retrieval import SearchOptions
from vdistill.query.terms import Term, parse, spoken
from vdistill.records import Per
from vdistill.serve.fields import Field, read_json, read_texts
from vdistill.serve.refusals import Refused, wrong
from vdistill.serve.settings import BODY_BYTES, MOST_DIVERSE, MOST_QUERIES, MOST_RESULTS, MOST_TERMS

What = Literal["text", "id", "image", "image_url"]

QUERY = Field("query", "words", "What you look for: a text, or words with + and - between them, as `vdistill query` "
                                "takes them.")  # fmt: skip
MODEL = Field("model", "text", "Which model answers: student or backbone; the student where there is one.")
K = Field("k", "integer", "How many results.", 10, 1, MOST_RESULTS)
OPTIONS = (
    K,
    Field("per", "text", "One result a product, or every image.", "product", choices=get_args(Per)),
    Field("where", "text", "SQL expression over the metadata, such as price < 20."),
    Field("diverse", "number", "How much results should differ from one another.", 0.0, 0, 1),
    Field("min_score", "number", "Minimum similarity.", None, -1, 1),
    Field("exact", "boolean", "Compare with every image, however many.", False),
)
HYBRID = Field("hybrid", "boolean", "Rank by the words in the items' texts too.", False)
MIN_FIT = Field("min_fit", "number", "Minimum probability that the teacher would accept a result; for one text.", None,
                0, 1)  # fmt: skip
SEARCH = (QUERY, *OPTIONS, HYBRID, MIN_FIT, MODEL)
COMPARE = (QUERY, *OPTIONS, HYBRID)
# With POST alone: a link that somebody follows must not cost anything.
RERANK = Field("rerank", "boolean", "Let a teacher order the first results, where the server has one.", False)
POSTED = (*SEARCH, RERANK)
WHY = (QUERY, MODEL)  # the judgments behind a result depend on nothing else
_DEFAULTS = {field.name: field.default for field in OPTIONS}
WEIGHT = Field("weight", "number", "How much it counts; below 0 it is to be avoided.", 1.0, -1000, 1000)
TERM = (
    Field("text", "text", "A text."),
    Field("id", "text", "An item of the index."),
    Field("image", "text", "An image file, in Base64."),
    Field("image_url", "text", "The address of an image, where the server fetches them."),
)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of what is searched for.  what: which kind.  value: a text, an id, an address or the bytes of an image."""

    what: What
    value: str | bytes
    weight: float = 1.0

    @property
    def spoken(self) -> Term:
        """How it is shown."""
        return Term("(image)" if isinstance(self.value, bytes) else self.value, self.weight)


@dataclass(frozen=True, slots=True)
class Asked:
    """A search."""

    parts: tuple[Part, ...]
    k: int
    options: SearchOptions
    model: str | None
    rerank: bool = False

    @property
    def text(self) -> str:
        """The parts as one would type them."""
        return spoken([part.spoken for part in self.parts])

    @property
    def by_image(self) -> bool:
        """Whether an image must be decoded and encoded."""
        return any(part.what in ("image", "image_url") for part in self.parts)


def of_url(request: Request, fields: Sequence[Field] = SEARCH) -> Asked:
    """The search in a query string."""
    values = read_texts(fields, multi(request.query_params.multi_items()))
    return asked(values, of_words(values))


async def of_body(request: Request, body: bytes, fields: Sequence[Field] = SEARCH) -> Asked:
    """The search in a JSON document or a form."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
        return await _of_form(request, body, fields)
    document = json_object(request, body)
    terms = document.pop("terms", None)
    values = read_json(fields, document)
    if terms is not None and values["query"] is not None:
        raise wrong("both query and terms are given", "give one of them")
    return asked(values, of_words(values) if terms is None else of_terms(terms))


def asked(values: Mapping[str, Any], parts: tuple[Part, ...]) -> Asked:
    """A search by the values of its fields; what none of them names is as by default."""
    values = {**_DEFAULTS, **values}
    if values["diverse"] and values["k"] > MOST_DIVERSE:
        raise wrong(
            f"k is more than {MOST_DIVERSE} and diverse is given", "ask for fewer results, or leave diverse out"
        )
    if values["where"] is not None and sys.version_info < (3, 11):
        raise wrong("where needs Python 3.11 on the server", "older ones cannot limit what a filter uses")
    options = SearchOptions(
        where=values["where"], exact=values["exact"], hybrid=bool(values.get("hybrid")),
        min_score=values["min_score"], diverse=values["diverse"], per=values["per"],
        min_fit=values.get("min_fit"),
    )  # fmt: skip
    return Asked(parts, values["k"], options, values.get("model"), bool(values.get("rerank")))


def of_words(values: Mapping[str, Any]) -> tuple[Part, ...]:
    """The parts of a query in words. A name of a file is a text: who asks from elsewhere sees no files."""
    words = values["query"]
    if words is None:
        raise wrong("nothing is looked for", 'give a query, such as "query": "gift for a gardener"')
    terms = parse(words, images=False)
    if len(terms) > MOST_TERMS:
        raise wrong(f"the query has more than {MOST_TERMS} parts", "leave some out")
    return tuple(Part("text", str(term.what), term.weight) for term in terms)


def of_terms(terms: Any) -> tuple[Part, ...]:
    """The parts of a query in JSON."""
    if not isinstance(terms, list) or not terms or len(terms) > MOST_TERMS:
        raise wrong(f"terms is not a list of 1 to {MOST_TERMS} parts", '"terms": [{"text": "cosy", "weight": 2}]')
    return tuple(_of_term(term) for term in terms)


def json_object(request: Request, body: bytes) -> dict[str, Any]:
    """The JSON object in a body. Raises Refused for anything else."""
    kind = request.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refused(415, "unsupported_media_type", f"cannot read {kind[:100]!r}",
                      "send Content-Type: application/json")  # fmt: skip
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        raise wrong("the body is not JSON", 'send an object, such as {"query": "red mug"}') from None
    if not isinstance(document, dict):
        raise wrong("the body is not a JSON object", 'send an object, such as {"query": "red mug"}')
    return document


def texts(values: Any, name: str, most: int = MOST_QUERIES) -> list[str]:
    """A JSON list of texts that are not empty. Raises Refused for anything else."""
    if not isinstance(values, list) or not 1 <= len(values) <= most:
        raise wrong(f"{name} is not a list of 1 to {most} texts", "send more in further requests")
    found = [Field(name, "text", "Texts.").checked(value) for value in values]
    if not all(text.strip() for text in found):
        raise wrong(f"{name} has an empty text", "leave it out")
    return found


def multi(items: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Names with all their values."""
    found: dict[str, list[str]] = {}
    for name, value in items:
        found.setdefault(name, []).append(value)
    return found


async def _of_form(request: Request, body: bytes, fields: Sequence[Field]) -> Asked:
    """Fields as in a query string, and files named `image`."""
    form = await _form(request, body)
    try:
        images = [await _image(name, file) for name, file in form.multi_items() if isinstance(file, UploadFile)]
    finally:
        await form.close()
    values = read_texts(fields, multi([(name, text) for name, text in form.multi_items() if isinstance(text, str)]))
    parts = of_words(values) if values["query"] is not None or not images else ()
    if len(parts) + len(images) > MOST_TERMS:
        raise wrong(f"the query has more than {MOST_TERMS} parts", "leave some out")
    return asked(values, (*parts, *images))


async def _form(request: Request, body: bytes) -> FormData:
    async def stream() -> Any:
        yield body
        yield b""

    try:
        if request.headers["content-type"].lower().startswith("multipart"):
            return await _InMemory(request.headers, stream(), max_files=MOST_TERMS, max_fields=64).parse()
        return await FormParser(request.headers, stream(), max_fields=64).parse()
    except (MultiPartException, ValueError, KeyError) as error:
        raise wrong(f"the form cannot be read: {str(error)[:200]}", "send multipart/form-data") from None


class _InMemory(MultiPartParser):
    """The body is in memory already: files on a disk would only be slower, and there may be no disk to write on."""

    spool_max_size = BODY_BYTES + 1


async def _image(name: str, file: UploadFile) -> Part:
    if name != "image":
        raise wrong(f"there is no field {name[:100]!r} for a file", "send the file as image")
    return Part("image", await file.read())


def _of_term(term: Any) -> Part:
    if not isinstance(term, dict):
        raise wrong("a part of terms is not an object", '"terms": [{"text": "cosy", "weight": 2}]')
    image = term.get("image")
    rest = {name: value for name, value in term.items() if name != "image"}
    values = read_json((*(field for field in TERM if field.name != "image"), WEIGHT), rest)
    weight = values.pop("weight")
    given = [(what, value) for what, value in [*values.items(), ("image", image)] if value is not None]
    if len(given) != 1:
        raise wrong("a part of terms has not one of text, id, image and image_url", '{"text": "cosy", "weight": 2}')
    if not weight:
        raise wrong("a part of terms has the weight 0", "leave it out, or give another weight")
    what, value = given[0]
    return Part(what, _decoded(value) if what == "image" else value, weight)  # type: ignore[arg-type]


def _decoded(image: Any) -> bytes:
    try:
        return base64.b64decode(image, validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise wrong("an image is not in Base64", "send it in a form instead: -F image=@photo.jpg") from None
