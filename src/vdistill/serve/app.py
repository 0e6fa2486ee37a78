"""The ASGI application: the routes, what surrounds each answer, and the pages."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route as Path_

from vdistill.errors import VdistillError
from vdistill.serve.access import Access
from vdistill.serve.agents import over_http
from vdistill.serve.agents.over_http import OverHttp
from vdistill.serve.pages import page_routes
from vdistill.serve.refusals import Refused, refusal, translated, unavailable
from vdistill.serve.routes import ROUTES, Route
from vdistill.serve.service import Service
from vdistill.serve.settings import ANSWER_SECONDS

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
        routes=[*_routes(service), Path_(over_http.PATH, agents), *page_routes()], lifespan=lifespan,
        middleware=middleware, exception_handlers={HTTPException: _http_error},
    )  # fmt: skip
    made.router.redirect_slashes = False
    return made


def _routes(service: Service) -> list[Path_]:
    """One for each path, since a path with another method is an error of its own."""
    by_path: dict[str, dict[str, Route]] = {}
    for route in ROUTES:
        by_path.setdefault(route.path, {})[route.method] = route
    return [Path_(path, _endpoint(service, routes), methods=[*routes]) for path, routes in by_path.items()]


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
