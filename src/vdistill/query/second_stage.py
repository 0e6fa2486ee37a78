"""The seam of a second stage: a teacher looks at the first hits of a search and puts them in another order."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from vdistill.errors import VdistillError
from vdistill.query.terms import Term
from vdistill.records import Hit

_DURATION = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*(ms|s|)")


@dataclass(frozen=True, slots=True)
class Reranked:
    """A search in its new order.

    hits: with their new ranks.  student_rank: by id, what their ranks were.  judged: how many the teacher has looked
    at, now or before.  calls, cost_usd: of this search alone.  notice: why some or all of the order is the student's
    all the same; "" where the teacher was asked to the end.
    """

    hits: tuple[Hit, ...]
    student_rank: Mapping[str, int]
    judged: int = 0
    calls: int = 0
    cost_usd: float = 0.0
    notice: str = ""


class SecondStage(Protocol):
    """Re-orders hits.

    Attributes:
        depth: how many of the first hits.
    """

    depth: int

    @property
    def spent(self) -> tuple[int, float]:
        """Calls and US dollars since it was opened."""
        ...

    def rerank(self, text: str, hits: Sequence[Hit], k: int) -> Reranked:
        """The first `k` hits in the new order; hits beyond the depth stay behind those within."""
        ...

    def close(self) -> None:
        """Release what it holds."""
        ...


def in_order(hits: Sequence[Hit], order: Sequence[str], k: int, **told: Any) -> Reranked:
    """The first `k` of the hits: those of `order` (ids) first, then the others; with what is to be told beside it."""
    of = {hit.id: hit for hit in hits}
    first = [of[key] for key in order]
    ids = frozenset(order)
    moved = [*first, *(hit for hit in hits if hit.id not in ids)][:k]
    found = tuple(replace(hit, rank=rank) for rank, hit in enumerate(moved, start=1))
    return Reranked(found, {hit.id: hit.rank for hit in hits}, **told)


def reranked_document(document: dict[str, Any], found: Reranked) -> dict[str, Any]:
    """The JSON of a search with what its second stage adds."""
    for one in document["results"]:
        one["student_rank"] = found.student_rank[one["id"]]
    return {**document, "reranked": found.judged, "calls": found.calls, "cost_usd": round(found.cost_usd, 6),
            "notice": found.notice or None}  # fmt: skip


def asked_text(terms: Sequence[Term]) -> str | None:
    """The text that a teacher can be asked about; None for images, and for mixtures of several terms."""
    if len(terms) != 1 or not isinstance(terms[0].what, str) or terms[0].weight <= 0:
        return None
    return " ".join(terms[0].what.split()) or None


def seconds_of(duration: str) -> float:
    """The seconds in `800ms`, `1.5s` or `2`. Raises VdistillError for anything else."""
    found = _DURATION.fullmatch(duration.strip().lower())
    seconds = float(found[1]) / (1000 if found[2] == "ms" else 1) if found else 0.0
    if not 0 < seconds <= 3600:
        raise VdistillError(f"--within is {duration!r}", hint="a time such as 800ms, 1.5s or 2 (seconds)")
    return seconds
