"""The pages: files that are read once, and sent again only where a browser does not have them as they are."""

from __future__ import annotations

import hashlib
import mimetypes
from pathlib import Path

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from vdistill.serve import openapi
from vdistill.serve.refusals import json_response

PAGE = Path(__file__).parent / "page"
_TYPES = {".js": "text/javascript", ".svg": "image/svg+xml"}  # a system may know others


def page_routes() -> list[Route]:
    """A route for each file of the search page, for the API's document and for its page."""

    async def document(request: Request) -> Response:
        return json_response(openapi.document())

    async def docs(request: Request) -> Response:
        return HTMLResponse(openapi.page())

    style = Path(__file__).with_name("docs.css")
    own = [Route("/openapi.json", document), Route("/docs", docs), _file("/docs.css", style)]
    files = [path for path in sorted(PAGE.rglob("*")) if path.suffix in (".html", ".css", ".js", ".svg")]
    return [*own, _file("/", PAGE / "index.html"), *(_file(f"/{path.relative_to(PAGE).as_posix()}", path)
                                                     for path in files)]  # fmt: skip


def _file(address: str, path: Path) -> Route:
    data = path.read_bytes()
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0]
    # By content: two versions of a file may have one size and, in a package, one time.
    headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()[:32]}"', "Cache-Control": "no-cache"}

    async def answer(request: Request) -> Response:
        if headers["ETag"] in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(data, headers=headers, media_type=kind)

    return Route(address, answer)
