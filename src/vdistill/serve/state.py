"""The routes about the server itself."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from vdistill import __version__
from vdistill.bundle.items import kinds_of
from vdistill.serve.metrics import CONTENT_TYPE
from vdistill.serve.refusals import json_response
from vdistill.serve.service import Service
from vdistill.serve.settings import MOST_RESULTS, SIDES


async def info(service: Service, request: Request) -> Response:
    """GET /v1/info."""

    def told() -> dict[str, Any]:
        with service.indexes.lease() as found:
            searcher = found.named(None)
            return {
                "version": __version__, "model": searcher.model, "models": sorted(found.searchers),
                "items": len(searcher), "dim": searcher.manifest.dim, "created": searcher.manifest.created,
                "columns": searcher.store.items.use(kinds_of), "products": searcher.store.items.products.several,
                "image_search": bool(searcher.manifest.image_encoder), "image_urls": service.settings.image_urls,
                "sizes": list(SIDES), "most_results": MOST_RESULTS,
                "feedback": service.votes is not None, "why": service.explanations is not None,
                "rerank": service.second.depth if service.second else 0,
                "fit": sorted(name for name, one in found.searchers.items() if one.fit is not None),
            }  # fmt: skip

    return Response(await service.json(service.pools.quick, told), media_type="application/json")


async def healthz(service: Service, request: Request) -> Response:
    """GET /healthz."""
    return json_response({"status": "ok"})


async def readyz(service: Service, request: Request) -> Response:
    """GET /readyz."""
    with service.indexes.lease():
        return json_response({"status": "ok"})


async def metrics(service: Service, request: Request) -> Response:
    """GET /metrics."""
    return Response(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE})
