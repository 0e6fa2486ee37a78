"""The routes that search, and those of single items."""

from __future__ import annotations

from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from vdistill.serve import asked as requests
from vdistill.serve.asked import Asked
from vdistill.serve.fields import Field, read_json, read_texts
from vdistill.serve.pictures import Picture
from vdistill.serve.refusals import unknown
from vdistill.serve.second_stage import reranked
from vdistill.serve.service import Service
from vdistill.serve.settings import MOST_SHOWN, SIDES

SIZE = Field("size", "integer", "The longer side at most, in pixels.", SIDES[1], choices=SIDES)
SOME = Field("k", "integer", "How many items.", 12, 1, MOST_SHOWN)
_IMAGE_SECONDS = 300


async def search_get(service: Service, request: Request) -> Response:
    """GET /v1/search."""
    return await _answered(service, requests.of_url(request))


async def search_post(service: Service, request: Request) -> Response:
    """POST /v1/search."""
    async with service.admission.body(request) as body:
        return await _answered(service, await requests.of_body(request, body, requests.POSTED))


async def batch(service: Service, request: Request) -> Response:
    """POST /v1/search/batch."""
    async with service.admission.body(request) as body:
        document = requests.json_object(request, body)
        texts = requests.texts(document.pop("queries", None), "queries")
        values = read_json((*requests.OPTIONS, requests.HYBRID, requests.MIN_FIT, requests.MODEL), document)
        searches = [requests.asked(values, requests.of_words({"query": [text.strip()]})) for text in texts]
        return _json(await service.json(service.pools.slow, lambda: service.answers.batch(searches)))


async def compare_get(service: Service, request: Request) -> Response:
    """GET /v1/compare."""
    return await _compared(service, requests.of_url(request, requests.COMPARE))


async def compare_post(service: Service, request: Request) -> Response:
    """POST /v1/compare."""
    async with service.admission.body(request) as body:
        return await _compared(service, await requests.of_body(request, body, requests.COMPARE))


async def similar(service: Service, request: Request) -> Response:
    """GET /v1/similar/{id}."""
    values = read_texts((*requests.OPTIONS, requests.MODEL), requests.multi(request.query_params.multi_items()))
    asked, id_ = requests.asked(values, ()), item_id(request)
    return _json(await service.json(service.pool_of(asked), lambda: service.answers.similar(id_, asked)))


async def item(service: Service, request: Request) -> Response:
    """GET /v1/items/{id}."""
    values = read_texts((requests.MODEL,), requests.multi(request.query_params.multi_items()))
    id_ = item_id(request)
    return _json(await service.json(service.pools.quick, lambda: service.answers.item(id_, values["model"])))


async def items(service: Service, request: Request) -> Response:
    """GET /v1/items."""
    values = read_texts((SOME, requests.MODEL), requests.multi(request.query_params.multi_items()))
    return _json(
        await service.json(service.pools.quick, lambda: service.answers.some_items(values["k"], values["model"]))
    )


async def filters(service: Service, request: Request) -> Response:
    """GET /v1/filters."""
    values = read_texts((requests.MODEL,), requests.multi(request.query_params.multi_items()))
    return _json(await service.json(service.pools.slow, lambda: service.answers.filters(values["model"])))


async def image(service: Service, request: Request) -> Response:
    """GET /v1/images/{id}."""
    values = read_texts((SIZE, requests.MODEL), requests.multi(request.query_params.multi_items()))
    id_, side, tags = item_id(request), values["size"], request.headers.get("if-none-match", "")

    def made() -> Response:
        picture = Picture.of(service, id_, values["model"])
        headers = {"ETag": f'"{picture.sha256[:32]}-{side}"', "Cache-Control": f"private, max-age={_IMAGE_SECONDS}"}
        if headers["ETag"] in tags:
            return Response(status_code=304, headers=headers)
        return Response(picture.jpeg(service, side), headers=headers, media_type="image/jpeg")

    return await service.pools.images.run(made)


def item_id(request: Request) -> str:
    """The id in the path. It is looked up in the index, and never a path of this machine."""
    found = str(request.path_params["id"])
    if not found or "\0" in found:
        raise unknown("there is no item without an id", "take an id from the results of a search")
    return found


async def _answered(service: Service, asked: Asked) -> Response:
    if asked.rerank:
        answer = await service.json(service.pools.second, partial(reranked, service.answers, asked, service.second))
    else:
        answer = await service.json(service.pool_of(asked), lambda: service.answers.search(asked))
    service.searched(asked)
    return _json(answer)


async def _compared(service: Service, asked: Asked) -> Response:
    answer = await service.json(service.pool_of(asked), lambda: service.answers.compare(asked))
    service.searched(asked)
    return _json(answer)


def _json(data: bytes) -> Response:
    return Response(data, media_type="application/json")
