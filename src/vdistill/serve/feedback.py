"""The route of thumbs: what is asked, how often one may, and that it is wanted at all."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from vdistill.serve import asked as requests
from vdistill.serve.fields import Field, read_json
from vdistill.serve.refusals import Refused, json_response, wrong
from vdistill.serve.service import Service
from vdistill.serve.settings import MOST_LETTERS
from vdistill.serve.votes import vote_of

MOST_SHOWN = 200  # results of a list that a vote names
FIELDS = (
    Field("query", "text", "What was searched for."),
    Field("id", "text", "The result that is voted on."),
    Field("vote", "text", "up or down.", choices=("up", "down")),
    Field("undo", "boolean", "Take the same vote back.", False),
)


async def feedback(service: Service, request: Request) -> Response:
    """POST /v1/feedback."""
    votes = service.votes
    if votes is None:
        raise Refused(403, "not_enabled", "this server takes no feedback", "start it with --feedback")
    votes.pace.take(request.client.host if request.client else "")
    async with service.admission.body(request) as body:
        document = requests.json_object(request, body)
        shown, others = _shown(document.pop("shown", None)), _others(document.pop("votes", None))
        values = read_json(FIELDS, document)
        for name in ("query", "id", "vote"):
            if not (values[name] or "").strip():
                raise wrong(f"{name} is missing", 'send {"query", "id", "vote": "up" or "down", "shown": [ids]}')
    query = " ".join(values["query"].split())
    vote = vote_of(query, values["id"], values["vote"], shown, others)
    loop = asyncio.get_running_loop()
    return json_response(await loop.run_in_executor(votes.thread, lambda: votes.store(vote, undo=values["undo"])))


def _shown(given: Any) -> list[str]:
    if not isinstance(given, list) or not 2 <= len(given) <= MOST_SHOWN or not all(map(_is_id, given)):
        raise wrong(f"shown is not a list of 2 to {MOST_SHOWN} ids", "send the ids of the results as they are shown")
    return given


def _others(given: Any) -> dict[str, Any]:
    if given is None:
        return {}
    good = isinstance(given, dict) and len(given) <= MOST_SHOWN
    if not good or not all(_is_id(id_) and said in ("up", "down") for id_, said in given.items()):
        raise wrong("votes is not an object of ids with up or down", 'such as {"mug.jpg": "up"}')
    return dict(given)


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MOST_LETTERS and "\0" not in value
