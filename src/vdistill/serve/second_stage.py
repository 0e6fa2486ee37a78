"""A search whose first hits a teacher orders, where the server was started with one and the request asks for it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from vdistill.query.documents import nothing_fits_well
from vdistill.query.second_stage import SecondStage, asked_text, reranked_document
from vdistill.serve.answers import Answers
from vdistill.serve.asked import Asked
from vdistill.serve.refusals import Refused, wrong


def reranked(answers: Answers, asked: Asked, second: SecondStage | None) -> dict[str, Any]:
    """The answer in the teacher's order, as far as that comes in time. Raises Refused for what cannot be asked."""
    if second is None:
        raise Refused(403, "not_enabled", "this server asks no teacher", "start it with --rerank N --teacher NAME")
    text = asked_text([part.spoken for part in asked.parts])
    if text is None or any(part.what != "text" for part in asked.parts):
        raise wrong("rerank: a teacher is asked about one text", "search by words alone, without + and -")
    started = time.perf_counter()
    document, hits = answers.found(replace(asked, k=max(asked.k, second.depth)))
    found = second.rerank(text, hits, asked.k)  # the index is let go of meanwhile
    by_id = {one["id"]: one for one in document["results"]}
    document["results"] = [{**by_id[hit.id], "rank": hit.rank} for hit in found.hits]
    document["nothing_fits_well"] = nothing_fits_well(found.hits, asked.options.min_fit)
    document["took_ms"] = round((time.perf_counter() - started) * 1000, 2)
    return reranked_document(document, found)
