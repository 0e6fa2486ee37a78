"""The OpenAPI document, and a page of documentation that loads nothing, both from the table of routes."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from vdistill import __version__
from vdistill.serve.fields import Field
from vdistill.serve.routes import ROUTES, Route
from vdistill.serve.schemas import SCHEMAS, named

_ALWAYS = (400, 401, 403, 421, 429, 500, 503)


@functools.cache
def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    paths: dict[str, Any] = {}
    for route in ROUTES:
        path = re.sub(r"\{(\w+):path\}", r"{\1}", route.path)
        paths.setdefault(path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "vdistill", "version": __version__, "description": "Search a catalog of images."},
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    }


def page() -> str:
    """The routes as a page of HTML."""
    from jinja2 import Environment, PackageLoader

    pages = Environment(
        loader=PackageLoader("vdistill.serve", "."), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    schemas = {name: json.dumps(schema, indent=1) for name, schema in SCHEMAS.items()}
    return pages.get_template("docs.html.j2").render(paths=document()["paths"], schemas=schemas, dumps=_indented)


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": route.told,
        "operationId": f"{route.method.lower()}_{re.sub('[^a-z]+', '_', route.path.partition('{')[0]).strip('_')}",
        "parameters": _parameters(route),
        "responses": _responses(route),
    }
    if route.body is not None:
        content = {"application/json": {"schema": route.body}}
        if route.form:
            content["multipart/form-data"] = {"schema": _form(route.body)}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _parameters(route: Route) -> list[dict[str, Any]]:
    names = re.findall(r"\{(\w+):path\}", route.path)
    found = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"},
         "description": "The item's id; slashes stay as they are."}
        for name in names
    ]  # fmt: skip
    return [*found, *(_parameter(field) for field in route.fields)]


def _parameter(field: Field) -> dict[str, Any]:
    return {
        "name": field.name, "in": "query", "required": field.kind == "words", "description": field.told,
        "schema": field.schema(),
    }  # fmt: skip


def _form(body: dict[str, Any]) -> dict[str, Any]:
    """The same fields in a form, and images as files instead of terms."""
    fields = {name: schema for name, schema in body["properties"].items() if name != "terms"}
    image = {"type": "string", "format": "binary", "description": "An image file; several are mixed."}
    return {"type": "object", "properties": {**fields, "image": image}}


def _responses(route: Route) -> dict[str, Any]:
    if isinstance(route.answer, str):
        good: dict[str, Any] = {"content": {route.answer: {}}}
    else:
        good = {"content": {"application/json": {"schema": route.answer}}}
    return {"200": {"description": "The answer.", **good}, **_refusals(sorted({*_ALWAYS, *route.refusals}))}


def _refusals(statuses: Sequence[int]) -> dict[str, Any]:
    error = {"content": {"application/json": {"schema": named("Error")}}}
    return {
        str(status): {"description": HTTPStatus(status).phrase, **(error if status >= 400 else {})}
        for status in statuses
    }


def _indented(value: Any) -> str:
    return json.dumps(value, indent=1)
