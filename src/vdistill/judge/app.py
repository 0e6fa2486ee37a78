"""The judge page over HTTP: its files, and what it asks of the sitting."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from vdistill.errors import ImageError, VdistillError
from vdistill.judge.sitting import Choice, MovedOnError, Shown, Sitting
from vdistill.serve.access import Access
from vdistill.serve.pages import PAGE as SEARCH_PAGE
from vdistill.serve.refusals import Refused, json_response, refusal, unknown, wrong
from vdistill.serve.settings import SIDES, Settings
from vdistill.serve.thumbnails import Thumbnails

PAGE = Path(__file__).parent / "page"
BODY_BYTES = 4096
LONGEST = 3600.0  # seconds that an answer is said to have taken, at most
TAB = "x-tab"  # the header by which a tab of the browser names itself

T = TypeVar("T")
Found = Callable[[], list[dict[str, Any]]]


@dataclass
class Judging:
    """What the routes share. All of the sitting is done in one thread, as its database belongs to that.

    found: the agreement of the judges.  token: what the page must know.  ended: called once, when the person is done.
    """

    sitting: Sitting
    found: Found
    thumbnails: Thumbnails
    thread: ThreadPoolExecutor
    token: str
    ended: Callable[[], None] = lambda: None
    _tab: str | None = None
    _images: dict[str, Shown] = field(default_factory=dict)

    async def run(self, work: Callable[[], T]) -> T:
        """The result of `work` in the sitting's thread."""
        return await asyncio.get_running_loop().run_in_executor(self.thread, work)

    def check_tab(self, tab: str, *, take: bool = False) -> None:
        """Raise Refused where another tab has the sitting. take: it from whoever has it."""
        if take or self._tab is None:
            self._tab = tab
        if self._tab != tab:
            raise Refused(409, "elsewhere", "this sitting is open in another tab", "go on here, or there")

    def leave(self, tab: str) -> None:
        """A tab was closed."""
        if self._tab == tab:
            self._tab = None

    def state(self) -> dict[str, Any]:
        """What the page shows: never what a model thinks, nor what an image is called."""
        sitting, shown = self.sitting, self.sitting.current
        last = sitting.history[-1] if sitting.history else None
        if shown is not None:
            self._images = {shown.key: shown}
        return {
            "person": sitting.person.name, "done": sitting.done, "count": sitting.count, "skipped": sitting.skipped,
            "seconds": round(sitting.seconds, 1),
            "question": None if shown is None else {
                "key": shown.key, "query": shown.question.query, "images": len(shown.question.images)},
            "last": None if last is None else {"key": last.shown.key, "choice": last.choice},
            "agreement": self.found() if shown is None else None,
        }  # fmt: skip

    def image(self, key: str, place: int, side: int) -> bytes:
        """A small image of the present question."""
        shown = self._images.get(key)
        if shown is None or not 0 <= place < len(shown.question.images):
            raise unknown("there is no such image in this question")
        image = shown.question.images[place]
        try:
            return self.thumbnails.get(image.sha256, image.source, side)
        except ImageError as error:
            raise Refused(404, "image_unreadable", f"this image cannot be read: {error.message}") from error


def application(judging: Judging) -> Starlette:
    """The application of one sitting."""

    def route(path: str, answer: Callable[[Judging, Request], Awaitable[Response]], method: str) -> Route:
        async def answered(request: Request) -> Response:
            try:
                return await answer(judging, request)
            except ClientDisconnect:
                return Response(status_code=400)
            except VdistillError as error:
                return refusal(_translated(error))

        return Route(path, answered, methods=[method])

    routes = [
        route("/v1/sitting", _sitting, "GET"), route("/v1/images/{key}/{place:int}", _image, "GET"),
        route("/v1/answer", _answer, "POST"), route("/v1/undo", _undo, "POST"), route("/v1/take", _take, "POST"),
        route("/v1/leave", _leave, "POST"), route("/v1/finish", _finish, "POST"),
        Mount("/style", StaticFiles(directory=SEARCH_PAGE / "style")),
        Mount("/", StaticFiles(directory=PAGE, html=True)),
    ]  # fmt: skip
    return Starlette(
        routes=routes, exception_handlers={HTTPException: _http_error},
        middleware=[Middleware(Access, settings=Settings(token=judging.token))],
    )  # fmt: skip


async def _sitting(judging: Judging, request: Request) -> Response:
    judging.check_tab(_tab(request))
    return json_response(await judging.run(judging.state))


async def _take(judging: Judging, request: Request) -> Response:
    judging.check_tab(_tab(request), take=True)
    return json_response(await judging.run(judging.state))


async def _leave(judging: Judging, request: Request) -> Response:
    judging.leave(_tab(request))
    return Response(status_code=204)


async def _answer(judging: Judging, request: Request) -> Response:
    judging.check_tab(_tab(request))
    said = await _document(request)
    key, choice, seconds = str(said.get("question")), _choice(judging, said.get("choice")), _seconds(said)

    def answered() -> dict[str, Any]:
        judging.sitting.answer(key, choice, seconds)
        return judging.state()

    return json_response(await judging.run(answered))


async def _undo(judging: Judging, request: Request) -> Response:
    judging.check_tab(_tab(request))
    key = str((await _document(request)).get("question"))

    def undone() -> dict[str, Any]:
        judging.sitting.undo(key)
        return judging.state()

    return json_response(await judging.run(undone))


async def _finish(judging: Judging, request: Request) -> Response:
    judging.check_tab(_tab(request))
    found = await judging.run(judging.found)
    asyncio.get_running_loop().call_later(0.3, judging.ended)  # when this answer has been sent
    return json_response({"agreement": found, "done": judging.sitting.done})


async def _image(judging: Judging, request: Request) -> Response:
    size = request.query_params.get("size", "")
    side = int(size) if size in map(str, SIDES) else SIDES[2]
    key, place = request.path_params["key"], request.path_params["place"]
    data = await asyncio.to_thread(judging.image, key, place, side)
    return Response(data, media_type="image/jpeg")


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    kind = "not_found" if status == 404 else "invalid_request"
    return refusal(Refused(status, kind, "there is no such page" if status == 404 else "this cannot be asked"))


def _translated(error: VdistillError) -> Refused:
    if isinstance(error, Refused):
        return error
    if isinstance(error, MovedOnError):
        return Refused(409, "moved_on", error.message, error.hint)
    return Refused(507, "not_stored", error.message, error.hint)


def _tab(request: Request) -> str:
    tab = request.headers.get(TAB, "")
    if not 8 <= len(tab) <= 64 or not tab.isalnum():
        raise wrong("the tab does not say which one it is", "open the page anew")
    return tab


async def _document(request: Request) -> dict[str, Any]:
    held = b""
    async for part in request.stream():
        held += part
        if len(held) > BODY_BYTES:
            raise Refused(413, "too_large", "too much was sent", headers={"Connection": "close"})
    try:
        said = json.loads(held)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise wrong("the body is no JSON object", "open the page anew")
    return said


def _choice(judging: Judging, said: object) -> Choice:
    if said == "none" or said == "skip":
        return "none" if said == "none" else "skip"
    current = judging.sitting.current
    last = judging.sitting.history[-1].shown if judging.sitting.history else None
    most = max((len(one.question.images) for one in (current, last) if one is not None), default=0)
    if isinstance(said, bool) or not isinstance(said, int) or not 0 <= said < most:
        raise wrong("choice is neither the place of an image, nor none, nor skip", "open the page anew")
    return said


def _seconds(said: dict[str, Any]) -> float:
    given = said.get("seconds")
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        raise wrong("seconds is no number", "open the page anew")
    return min(max(float(given), 0.0), LONGEST)
