"""What an agent may do with the index: `search`, `similar` and `item`, with images, all of it bounded; and `why`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from vdistill.bundle.items import kinds_of
from vdistill.serve import asked as requests
from vdistill.serve.fields import Field, read_json
from vdistill.serve.pictures import Picture
from vdistill.serve.refusals import Refused
from vdistill.serve.service import Service
from vdistill.serve.settings import SIDES
from vdistill.serve.why import explained

SIDE = SIDES[1]  # px, of the images beside results
MOST_IMAGES = 8
IMAGE_BYTES = 1_000_000  # of all images of an answer
VALUE_LETTERS = 500  # of a value of the metadata, beside results; of an item all of it
ANSWER_LETTERS = 40_000
_COLUMNS = 40  # that are named to the agent

_QUERY = Field("query", "text", "What you look for, in words: an object, a style, an occasion or a person to please.")
_ID = Field("id", "text", "The id of an item, from the results of a search.")
_K = Field("k", "integer", "How many results.", 5, 1, 50)
_IMAGES = Field("images", "integer", "How many of the first results come with their image.", 3, 0, MOST_IMAGES)
_SIZE = Field("size", "integer", "The longer side of the image at most, in pixels; 0 for none.", SIDES[2],
              choices=(0, *SIDES))  # fmt: skip
_TAKEN = ("where", "per", "diverse", "min_score")
_OPTIONS = (_K, _IMAGES, *(one for one in requests.OPTIONS if one.name in _TAKEN), requests.MODEL)


@dataclass(frozen=True, slots=True)
class Shown:
    """An answer: a text, and JPEG images, each with the line above it."""

    text: str
    images: tuple[tuple[str, bytes], ...] = ()


Handler: TypeAlias = Callable[[Service, Mapping[str, Any]], Awaitable[Shown]]


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool.  required: those of its fields that must be given."""

    name: str
    title: str
    told: str
    fields: tuple[Field, ...]
    required: tuple[str, ...]
    handler: Handler

    def schema(self, columns: str) -> dict[str, Any]:
        """The JSON schema of its arguments.  columns: of the metadata, for `where`."""
        told = {field.name: field.told + (columns if field.name == "where" else "") for field in self.fields}
        properties = {field.name: {**field.schema(), "description": told[field.name]} for field in self.fields}
        return {"type": "object", "properties": properties, "required": list(self.required),
                "additionalProperties": False}  # fmt: skip

    async def call(self, service: Service, given: Mapping[str, Any]) -> Shown:
        """The answer. Raises Refused and VdistillError, with a hint, for what cannot be answered."""
        values = read_json(self.fields, given)
        for name in self.required:
            if values[name] is None or not values[name].strip():
                raise Refused(400, "invalid_request", f"{self.name} needs {name}", _field(self.fields, name).told)
        return await self.handler(service, values)


async def _search(service: Service, values: Mapping[str, Any]) -> Shown:
    parts = requests.of_words({"query": [values["query"].strip()]})
    asked = requests.asked(values, parts)
    found = await service.pool_of(asked).run(lambda: service.answers.search(asked))
    return await _results(service, found, values)


async def _similar(service: Service, values: Mapping[str, Any]) -> Shown:
    asked = requests.asked(values, ())
    found = await service.pool_of(asked).run(lambda: service.answers.similar(values["id"], asked))
    return await _results(service, found, values)


async def _why(service: Service, values: Mapping[str, Any]) -> Shown:
    asked = requests.asked(values, requests.of_words({"query": [values["query"].strip()]}))
    found = await explained(service, values["id"], asked)
    found["items"] = [_brief(one) for one in found["items"]]
    return Shown(_text(found, ""))


async def _item(service: Service, values: Mapping[str, Any]) -> Shown:
    found = await service.pools.quick.run(lambda: service.answers.item(values["id"], values["model"]))
    found.pop("image")
    images, missing = await _images(service, [found] if values["size"] else [], values["model"], values["size"])
    return Shown(_text(found, missing), images)


TOOLS = (
    Tool("search", "Search the catalog",
         "Find items of an image catalog by words. The model knows what things look like and what they are good for, "
         "so say what is wanted in full: 'a gift for a mother who loves gardening'.",
         (_QUERY, *_OPTIONS, requests.HYBRID, requests.MIN_FIT), ("query",), _search),
    Tool("similar", "Find similar items", "Find what looks like an item, without other images of the same product.",
         (_ID, *_OPTIONS), ("id",), _similar),
    Tool("item", "Show an item", "All that is known of an item, and its image.", (_ID, _SIZE, requests.MODEL), ("id",),
         _item),
)  # fmt: skip
WHY = Tool("why", "Explain a result",
           "Which judgments taught the model whether an item answers a search: the training query that was judged, "
           "what was chosen over what, by whom, and whether that speaks for the item or against it.",
           (_QUERY, _ID), ("query", "id"), _why)  # fmt: skip


def offered(service: Service) -> tuple[Tool, ...]:
    """The tools of this server: `why` only where it explains results."""
    return TOOLS if service.explanations is None else (*TOOLS, WHY)


def named(service: Service, name: str) -> Tool:
    """A tool. Raises Refused where there is none."""
    tools = offered(service)
    for tool in tools:
        if tool.name == name:
            return tool
    known = ", ".join(tool.name for tool in tools)
    raise Refused(404, "not_found", f"there is no tool {name[:100]!r}", f"known: {known}")


def columns(service: Service) -> str:
    """The columns of the metadata in words; empty where there is no index now."""
    try:
        with service.indexes.lease() as found:
            kinds = found.named(None).store.items.use(kinds_of)
    except Refused:
        return ""
    shown = [f"{name[:60]} ({kind})" for name, kind in list(kinds.items())[:_COLUMNS]]
    return f" Columns: {', '.join(shown)}." if shown else ""


async def _results(service: Service, found: dict[str, Any], values: Mapping[str, Any]) -> Shown:
    results = found["results"] = [_brief(one) for one in found["results"]]
    images, missing = await _images(service, results[: values["images"]], values["model"], SIDE)
    return Shown(_text(found, missing), images)


def _brief(one: dict[str, Any]) -> dict[str, Any]:
    """A result or an item, without the address of its image and with short values."""
    one.pop("image")
    return {**one, "metadata": {name: _short(value) for name, value in one["metadata"].items()}}


async def _images(
    service: Service, results: Sequence[Mapping[str, Any]], model: str | None, side: int
) -> tuple[tuple[tuple[str, bytes], ...], str]:
    """The images of results, and a line about those that are missing."""
    found: list[tuple[str, bytes]] = []
    missing, room = [], IMAGE_BYTES
    for one in results:
        try:
            data = await service.pools.images.run(lambda: Picture.of(service, one["id"], model).jpeg(service, side))  # noqa: B023
        except Refused as error:
            missing.append(f"{one['id']}: {error.message}")
            continue
        if len(data) > room:
            missing.append(f"{one['id']}: the images of an answer have {IMAGE_BYTES:,} bytes at most")
            continue
        room -= len(data)
        found.append((f"{one['rank']}. {one['id']}" if "rank" in one else one["id"], data))
    return tuple(found), "".join(f"\nno image of {line}" for line in missing)


def _text(document: Any, more: str) -> str:
    text = json.dumps(document, ensure_ascii=False, indent=1)
    if len(text) > ANSWER_LETTERS:
        text = f"{text[:ANSWER_LETTERS]}\n(cut here: ask for fewer results)"
    return _sent(text + more)


def _sent(text: str) -> str:
    """With replacements for what UTF-8 cannot hold, such as bytes in the name of a file."""
    return text.encode("utf-8", "backslashreplace").decode()


def _short(value: Any) -> Any:
    return f"{value[:VALUE_LETTERS]}…" if isinstance(value, str) and len(value) > VALUE_LETTERS else value


def _field(fields: Sequence[Field], name: str) -> Field:
    return next(field for field in fields if field.name == name)
