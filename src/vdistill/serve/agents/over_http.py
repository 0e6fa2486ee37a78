"""MCP over HTTP, at /mcp of the server: each request stands alone, and counts among those that are answered at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from vdistill.errors import VdistillError
from vdistill.serve.refusals import Refused, refusal, translated, unavailable
from vdistill.serve.service import Service
from vdistill.serve.settings import ANSWER_SECONDS

if TYPE_CHECKING:
    from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

PATH = "/mcp"


class OverHttp:
    """ASGI application. The SDK is imported when the first agent asks."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._manager: StreamableHTTPSessionManager | None = None
        self._starting = asyncio.Lock()
        self._ending = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """While the server runs."""
        try:
            yield
        finally:
            self._ending.set()
            if self._running is not None:
                await self._running

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a POST; there is nothing to be had by GET, since each request stands alone."""
        started, request = time.perf_counter(), Request(scope, receive)
        status = [500]

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                status[0] = message["status"]
            await send(message)

        refused = await self._answer(request, scope, noted)
        if refused is not None:
            await refused(scope, receive, noted)
        seconds = time.perf_counter() - started
        self._service.metrics.answered(PATH, status[0], seconds)
        self._service.log(f"{request.method} {PATH} {status[0]} {seconds * 1000:.1f} ms")

    async def _answer(self, request: Request, scope: Scope, send: Send) -> Response | None:
        """What is refused; None where the SDK has answered."""
        service = self._service
        try:
            if request.method != "POST":
                raise Refused(405, "method_not_allowed", "Method Not Allowed", "send requests with POST",
                              headers={"Allow": "POST"})  # fmt: skip
            with service.admission.request(), anyio.fail_after(ANSWER_SECONDS):
                async with service.admission.body(request) as body:
                    manager = await self._opened()
                    await manager.handle_request(scope, _again(body), send)
        except VdistillError as error:
            return refusal(translated(error))
        except TimeoutError:
            return refusal(unavailable("the answer takes too long", "ask for less, or try again"))
        except ClientDisconnect:
            return Response(status_code=400)
        return None

    async def _opened(self) -> StreamableHTTPSessionManager:
        async with self._starting:
            if self._manager is None:
                manager, ready = _manager(self._service), asyncio.Event()
                self._running = asyncio.create_task(self._run(manager, ready))
                await ready.wait()
                self._manager = manager
        return self._manager

    async def _run(self, manager: StreamableHTTPSessionManager, ready: asyncio.Event) -> None:
        """In a task of its own: the SDK's tasks end where they began."""
        async with manager.run():
            ready.set()
            await self._ending.wait()


def _manager(service: Service) -> StreamableHTTPSessionManager:
    try:
        from mcp.server.streamable_http_manager import StreamableHTTPSessionManager

        from vdistill.serve.agents.protocol import mcp_server
    except ModuleNotFoundError as error:
        raise Refused(501, "not_installed", "this server lacks the package mcp",
                      "install it there: pip install 'vdistill[mcp]'") from error  # fmt: skip
    return StreamableHTTPSessionManager(mcp_server(service), json_response=True, stateless=True)


def _again(body: bytes) -> Receive:
    """The body, which was read within its limits, once more."""
    left: list[Any] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        if left:
            found: Message = left.pop()
            return found
        await asyncio.Event().wait()  # the caller is still there
        raise AssertionError

    return receive
