"""Search results as JSON, the same for the command and for the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from vdistill.records import Hit
from vdistill.sources import shown

if TYPE_CHECKING:
    from vdistill.query.why import Reason


def hit_document(hit: Hit) -> dict[str, Any]:
    """One result, without where its image is."""
    return {"rank": hit.rank, "id": hit.id, "score": round(hit.score, 6), "metadata": dict(hit.metadata),
            "product": hit.product, "images": hit.images, "fit": hit.fit}  # fmt: skip


WELL = 0.5  # the fit from which on the teacher is more likely to accept a hit than not


def nothing_fits_well(hits: Sequence[Hit], min_fit: float | None) -> bool | None:
    """Whether no hit is likely to be accepted; None where that is not known."""
    if not hits:
        return True if min_fit is not None else None
    fits = [hit.fit for hit in hits if hit.fit is not None]
    return max(fits) < WELL if fits else None


def hits_document(
    model: str, asked: str, hits: Sequence[Hit], took_ms: float, why: Sequence[Sequence[Reason]] | None = None,
    min_fit: float | None = None,
) -> dict[str, Any]:  # fmt: skip
    """What `query --json` prints for one query.

    why: the judgments that explain each hit, where that was asked for.  min_fit: that was asked for.
    """
    results = []
    for place, hit in enumerate(hits):
        found = hit_document(hit)
        results.append({"rank": found.pop("rank"), "id": found.pop("id"), "path": shown(hit.file), **found})
        if why is not None:
            results[-1]["why"] = [reason_document(reason) for reason in why[place]]
    return {"query": asked, "model": model, "results": results, "took_ms": took_ms,
            "nothing_fits_well": nothing_fits_well(hits, min_fit)}  # fmt: skip


def reason_document(reason: Reason) -> dict[str, Any]:
    """A judgment that explains a hit; `over` and the places are in the teacher's order, best first."""
    from datetime import datetime, timezone

    asked_at = datetime.fromtimestamp(reason.asked_at, timezone.utc).isoformat(timespec="seconds")
    return {
        "query": reason.query,
        "similarity": round(reason.similarity, 4),
        "verdict": reason.verdict,
        "influence": round(reason.influence, 6),
        "item": reason.item.id,
        "item_similarity": round(reason.item_similarity, 4),
        "place": reason.place + 1,
        "probability": reason.item.probability,
        "chosen": reason.chosen.id,
        "chosen_probability": reason.chosen.probability,
        "over": [image.id for image in reason.over],
        "teacher": reason.teacher,
        "asked_at": asked_at,
    }
