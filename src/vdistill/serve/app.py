"""The ASGI application: the routes, what surrounds each answer, and the pages."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Mount
from starlette.routing import Route as Path_
from starlette.staticfiles import StaticFiles

from vdistill.errors import VdistillError
from vdistill.serve import openapi
from vdistill.serve.access import Access
from vdistill.serve.agents import over_http
from vdistill.serve.agents.over_http import OverHttp
from vdistill.serve.refusals import Refused, json_response, refusal, translated, unavailable
from vdistill.serve.routes import ROUTES, Route
from vdistill.serve.service import Service
from vdistill.serve.settings import ANSWER_SECONDS

PAGE = Path(__file__).parent / "page"
_LOG = logging.getLogger("vdistill.serve")


def application(service: Service) -> Starlette:
    """The application of one server."""
    agents = OverHttp(service)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with service.running(), agents.open():
            yield

    middleware = [Middleware(Access, settings=service.settings)]
    if service.settings.origins:
        middleware.append(Middleware(
            CORSMiddleware, allow_origins=service.settings.origins, allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"], expose_headers=["Retry-After"],
        ))  # fmt: skip
    made = Starlette(
        routes=[*_routes(service), Path_(over_http.PATH, agents), *_pages()], lifespan=lifespan, middleware=middleware,
        exception_handlers={HTTPException: _http_error},
    )  # fmt: skip
    made.router.redirect_slashes = False
    return made


def _routes(service: Service) -> list[Path_]:
    """One for each path, since a path with another method is an error of its own."""
    by_path: dict[str, dict[str, Route]] = {}
    for route in ROUTES:
        by_path.setdefault(route.path, {})[route.method] = route
    return [Path_(path, _endpoint(service, routes), methods=[*routes]) for path, routes in by_path.items()]


def _pages() -> list[Any]:
    async def document(request: Request) -> Response:
        return json_response(openapi.document())

    async def docs(request: Request) -> Response:
        return HTMLResponse(openapi.page())

    async def style(request: Request) -> Response:
        return FileResponse(Path(__file__).with_name("docs.css"), media_type="text/css")

    own = [Path_("/openapi.json", document), Path_("/docs", docs), Path_("/docs.css", style)]
    return [*own, Mount("/", StaticFiles(directory=PAGE, html=True))]


def _endpoint(service: Service, routes: dict[str, Route]) -> Any:
    """What answers a path: counted, limited, and with each error as JSON."""

    async def answer(request: Request) -> Response:
        route = routes["GET" if request.method == "HEAD" else request.method]
        started = time.perf_counter()
        response = await _answered(service, route, request)
        seconds = time.perf_counter() - started
        service.metrics.answered(route.path, response.status_code, seconds)
        service.log(f"{route.method} {route.path} {response.status_code} {seconds * 1000:.1f} ms")
        return response

    return answer


async def _answered(service: Service, route: Route, request: Request) -> Response:
    try:
        with service.admission.request() if route.limited else nullcontext(), anyio.fail_after(ANSWER_SECONDS):
            return await route.handler(service, request)
    except VdistillError as error:
        return refusal(translated(error))
    except TimeoutError:
        return refusal(unavailable("the answer takes too long", "ask for less, or try again"))
    except ClientDisconnect:
        return Response(status_code=400)  # nobody reads it
    except Exception:
        _LOG.exception("an error that should not be: please report it")
        return refusal(Refused(500, "internal_error", "something went wrong in the server", "its log says what"))


async def _http_error(request: Request, error: Exception) -> Response:
    """What Starlette refuses: unknown paths and methods."""
    assert isinstance(error, HTTPException)
    kinds = {404: "not_found", 405: "method_not_allowed"}
    headers = dict(error.headers or {})
    return refusal(Refused(error.status_code, kinds.get(error.status_code, "invalid_request"), str(error.detail),
                           "see /docs", headers=headers))  # fmt: skip
