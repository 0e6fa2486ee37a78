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


def hits_document(model: str, asked: str, hits: Sequence[Hit], took_ms: float) -> dict[str, Any]:
    """What `query --json` prints for one query."""
    results = []
    for hit in hits:
        found = hit_document(hit)
        results.append({"rank": found.pop("rank"), "id": found.pop("id"), "path": shown(hit.file), **found})
    return {"query": asked, "model": model, "results": results, "took_ms": took_ms}
