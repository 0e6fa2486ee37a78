"""Results as a page: one HTML file that contains its images and loads nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vdistill.images import quiet
from vdistill.images.thumbnails import thumbnail_or_reason
from vdistill.records import Hit
from vdistill.sources.read_ahead import readers

if TYPE_CHECKING:
    from vdistill.query.why import Reason
    from vdistill.query.why.pictures import Pictured


@dataclass(frozen=True, slots=True)
class Card:
    """One result on the page.

    image: a data: URI; without it `missing` says why.  reasons: the judgments that explain it, None if not asked for.
    """

    hit: Hit
    title: str
    details: tuple[str, ...]
    image: str | None
    missing: str
    reasons: tuple[Pictured, ...] | None = None


def render(
    query: str,
    hits: Sequence[Hit],
    *,
    compare: Sequence[Hit] | None = None,
    model: str = "student",
    why: Sequence[Sequence[Reason]] | None = None,
) -> str:
    """The page for the hits of one query; with `compare` the backbone's hits stand beside them.

    why: the judgments that explain each hit, which are shown below it.

    Images that can no longer be read are shown as placeholders with the reason.
    """
    from jinja2 import Environment, PackageLoader

    columns = [("backbone", compare), (model, hits)] if compare is not None else [(model, hits)]
    pages = Environment(loader=PackageLoader("vdistill.query", "."), autoescape=True, trim_blocks=True,
                        lstrip_blocks=True)  # fmt: skip
    files = [hit.file for _, found in columns for hit in found or ()]
    with quiet(), readers(files) as executor:
        cards = [(name, list(executor.map(_card, found))) for name, found in columns]
    if why is not None:
        from vdistill.query.why.pictures import pictured

        cards[-1] = (
            model,
            [replace(card, reasons=found) for card, found in zip(cards[-1][1], pictured(why), strict=True)],
        )
    return pages.get_template("gallery.html.j2").render(query=query, columns=cards, why=why is not None)


def _card(hit: Hit) -> Card:
    image, missing = thumbnail_or_reason(hit.source)
    title = str(hit.metadata.get("title") or hit.metadata.get("name") or hit.id)
    details = tuple(
        f"{name}: {value}"
        for name, value in hit.metadata.items()
        if name not in ("title", "name", "description") and isinstance(value, str | int | float) and value != ""
    )
    fit = () if hit.fit is None else (f"fit: {hit.fit:.2f}",)
    product = (f"product {hit.product}, {hit.images:,} images",) if hit.images > 1 else ()
    return Card(hit, title, (*fit, *product, *details[:3]), image, missing)
