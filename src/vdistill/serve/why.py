"""The routes that name the judgments behind a result, where the server was started with `--why`."""

from __future__ import annotations

from functools import partial
from typing import Any

import anyio
from starlette.requests import Request
from starlette.responses import Response

from vdistill.serve import asked as requests
from vdistill.serve import settings
from vdistill.serve.asked import Asked
from vdistill.serve.explanations import Explanations
from vdistill.serve.refusals import Refused, json_response, unavailable
from vdistill.serve.searches import item_id
from vdistill.serve.service import Service


async def why_get(service: Service, request: Request) -> Response:
    """GET /v1/why/{id}."""
    enabled(service)
    return json_response(await explained(service, item_id(request), requests.of_url(request, requests.WHY)))


async def why_post(service: Service, request: Request) -> Response:
    """POST /v1/why/{id}."""
    enabled(service)
    async with service.admission.body(request) as body:
        asked = await requests.of_body(request, body, requests.WHY)
        return json_response(await explained(service, item_id(request), asked))


def enabled(service: Service) -> Explanations:
    """What explains results. Raises Refused where the server does not."""
    if service.explanations is None:
        raise Refused(403, "not_enabled", "this server names no judgments", "start it with --why")
    return service.explanations


async def explained(service: Service, id_: str, asked: Asked) -> dict[str, Any]:
    """The judgments behind an item. Raises Refused as `Explanations.explained`, and where they are not ready soon."""
    explanations = enabled(service)
    images: dict[int, bytes] = {}
    if asked.by_image:  # they may be far away: nobody else is to wait for that
        images = await service.pools.images.run(partial(service.answers.images, asked))
    try:
        with anyio.fail_after(settings.WHY_SECONDS):
            return await service.pools.why.run(partial(explanations.explained, id_, asked, images))
    except TimeoutError:
        if explanations.preparing is None:
            raise
        done, total = explanations.preparing
        raise unavailable(f"training queries are encoded first, once: {done:,} of {total:,} so far",
                          "ask again in a moment") from None  # fmt: skip
