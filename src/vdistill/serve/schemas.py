"""JSON schemas of requests and answers, as OpenAPI has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vdistill.serve.asked import MODEL, TERM, WEIGHT
from vdistill.serve.embeddings import OPENAI as OPENAI_FIELDS
from vdistill.serve.feedback import FIELDS as FEEDBACK_FIELDS
from vdistill.serve.feedback import MOST_SHOWN
from vdistill.serve.fields import Field
from vdistill.serve.settings import MOST_LETTERS, MOST_QUERIES, MOST_TERMS

_TEXT, _INTEGER, _NUMBER, _BOOLEAN = ({"type": name} for name in ("string", "integer", "number", "boolean"))
_NAME = {"type": ["string", "null"]}
_MAYBE = {"type": ["number", "null"]}
_VECTOR = {"type": "array", "items": _NUMBER}
_LONG = {"type": "string", "minLength": 1, "maxLength": MOST_LETTERS}
_TEXTS = {"type": "array", "items": _LONG, "minItems": 1, "maxItems": MOST_QUERIES}


def named(name: str) -> dict[str, Any]:
    """A reference to one of `SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def _object(**properties: Any) -> dict[str, Any]:
    """An object that has all of these."""
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _with(schema: dict[str, Any], **properties: Any) -> dict[str, Any]:
    """The same object, which may have these too: where a teacher was asked."""
    return {**schema, "properties": {**schema["properties"], **properties}}


def _of(fields: Sequence[Field]) -> dict[str, Any]:
    return {field.name: {**field.schema(), "description": field.told} for field in fields}


def search(fields: Sequence[Field]) -> dict[str, Any]:
    """The body of a search."""
    terms = {"type": "array", "items": named("Term"), "minItems": 1, "maxItems": MOST_TERMS}
    return {
        "type": "object", "properties": {**_of(fields), "terms": terms}, "additionalProperties": False,
        "oneOf": [{"required": ["query"]}, {"required": ["terms"]}],
    }  # fmt: skip


def batch(fields: Sequence[Field]) -> dict[str, Any]:
    """The body of several searches."""
    properties = {"queries": _TEXTS, **_of(fields)}
    return {"type": "object", "properties": properties, "required": ["queries"], "additionalProperties": False}


EMBED = {"type": "object", "properties": {"texts": _TEXTS, **_of([MODEL])}, "required": ["texts"],
         "additionalProperties": False}  # fmt: skip
OPENAI = {
    "type": "object", "properties": {"input": {"oneOf": [_LONG, _TEXTS]}, **_of(OPENAI_FIELDS)}, "required": ["input"],
    "additionalProperties": False,
}  # fmt: skip
FEEDBACK = {
    "type": "object", "additionalProperties": False, "required": ["query", "id", "vote", "shown"],
    "properties": {
        **_of(FEEDBACK_FIELDS),
        "shown": {"type": "array", "items": _TEXT, "minItems": 2, "maxItems": MOST_SHOWN,
                  "description": "The ids of the results, as they are shown."},
        "votes": {"type": "object", "additionalProperties": {"enum": ["up", "down"]},
                  "description": "The thumbs given in the same list before, by id."},
    },
}  # fmt: skip

_RESULT = {"id": _TEXT, "metadata": {"type": "object"}, "product": _NAME, "images": _INTEGER, "image": _TEXT}
SCHEMAS: dict[str, Any] = {
    "Error": _object(error=_object(message=_TEXT, hint=_TEXT, type=_TEXT)),
    "Term": {
        "type": "object", "properties": _of([*TERM, WEIGHT]), "additionalProperties": False,
        "oneOf": [{"required": [field.name]} for field in TERM],
    },
    "Result": _with(
        _object(rank=_INTEGER, score=_NUMBER, fit=_MAYBE, **_RESULT), student_rank=_INTEGER),
    "Answer": _with(
        _object(query=_TEXT, model=_TEXT, results={"type": "array", "items": named("Result")}, took_ms=_NUMBER,
                nothing_fits_well={"type": ["boolean", "null"]}, truncated=_BOOLEAN),
        reranked=_INTEGER, calls=_INTEGER, cost_usd=_NUMBER, notice=_NAME),
    "Answers": _object(answers={"type": "array", "items": named("Answer")}),
    "Comparison": _object(query=_TEXT, student=named("Answer"), backbone=named("Answer")),
    "Item": _object(model=_TEXT, **_RESULT),
    "Items": _object(items={"type": "array", "items": named("Item")}),
    "Filters": _object(
        filters={"type": "array", "items": _object(
            column=_TEXT, kind={"enum": ["values", "list", "boolean", "number", "date", "time"]},
            values={"type": "array", "items": _object(value={"type": ["string", "boolean"]}, items=_INTEGER)},
            least={"type": ["number", "string", "null"]}, most={"type": ["number", "string", "null"]},
        )},
        read=_INTEGER, items=_INTEGER,
    ),
    "Vectors": _object(model=_TEXT, dim=_INTEGER, vectors={"type": "array", "items": _VECTOR}),
    "Embeddings": _object(
        object={"const": "list"}, model=_TEXT, usage=_object(prompt_tokens=_INTEGER, total_tokens=_INTEGER),
        data={"type": "array", "items": _object(object={"const": "embedding"}, index=_INTEGER,
                                                embedding={"oneOf": [_VECTOR, _TEXT]})},
    ),
    "Models": _object(object={"const": "list"}, data={"type": "array", "items": _object(
        id=_TEXT, object={"const": "model"}, created=_INTEGER, owned_by=_TEXT)}),
    "Info": _object(
        version=_TEXT, model=_TEXT, models={"type": "array", "items": _TEXT}, items=_INTEGER, dim=_INTEGER,
        created=_NUMBER, columns={"type": "object", "additionalProperties": _TEXT}, products=_BOOLEAN,
        image_search=_BOOLEAN, image_urls=_BOOLEAN, sizes={"type": "array", "items": _INTEGER}, most_results=_INTEGER,
        feedback=_BOOLEAN, why=_BOOLEAN,
        rerank={**_INTEGER, "description": "How many of the first results a teacher orders; 0 where none is asked."},
        fit={"type": "array", "items": _TEXT, "description": "The models whose results have a fit."},
    ),
    "Reason": _object(
        query=_TEXT, similarity=_NUMBER, verdict={"enum": ["for", "against"]}, influence=_NUMBER, item=_TEXT,
        item_similarity=_NUMBER, place=_INTEGER, probability=_MAYBE, chosen=_TEXT, chosen_probability=_MAYBE,
        over={"type": "array", "items": _TEXT}, teacher=_TEXT, asked_at={"type": "string", "format": "date-time"},
    ),
    "Why": _object(
        query=_TEXT, model=_TEXT, id=_TEXT, why={"type": "array", "items": named("Reason")},
        items={"type": "array", "items": named("Item"),
               "description": "What was shown, as far as the index has it as it was judged."},
        took_ms=_NUMBER,
    ),
    "Feedback": _object(stored=_BOOLEAN, reason=_TEXT),
    "State": _object(status={"const": "ok"}),
}  # fmt: skip
