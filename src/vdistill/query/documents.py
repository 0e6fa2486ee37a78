"""Search results as JSON, the same for the command and for the server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vdistill.records import Hit
from vdistill.sources import shown


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
    model: str, asked: str, hits: Sequence[Hit], took_ms: float, min_fit: float | None = None
) -> dict[str, Any]:
    """What `query --json` prints for one query. min_fit: that was asked for."""
    results = []
    for hit in hits:
        found = hit_document(hit)
        results.append({"rank": found.pop("rank"), "id": found.pop("id"), "path": shown(hit.file), **found})
    return {"query": asked, "model": model, "results": results, "took_ms": took_ms,
            "nothing_fits_well": nothing_fits_well(hits, min_fit)}  # fmt: skip
