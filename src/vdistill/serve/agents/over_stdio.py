"""MCP over stdin and stdout, for an agent that starts the server itself. Nothing else is printed there."""

from __future__ import annotations

import asyncio

from mcp.server.stdio import stdio_server

from vdistill.serve.agents.protocol import mcp_server
from vdistill.serve.run import limit_sqlite
from vdistill.serve.service import Service


def run(service: Service) -> None:
    """Answer until stdin is closed."""
    limit_sqlite()
    asyncio.run(_serve(service))


async def _serve(service: Service) -> None:
    server = mcp_server(service)
    async with service.running(), stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())
