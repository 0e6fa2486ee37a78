"""Results as a page: one HTML file that holds its pictures and asks nobody for anything."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from vdistill.images import quiet
from vdistill.images.thumbnails import shown
from vdistill.records import Hit


@dataclass(frozen=True, slots=True)
class Card:
    """One result as the page shows it. `picture` is a data: URI; without it `missing` says why."""

    hit: Hit
    title: str
    details: tuple[str, ...]
    image: str | None
    missing: str


@dataclass(frozen=True, slots=True)
class Column:
    """The results of one model."""

    name: str
    cards: tuple[Card, ...]


def render(query: str, hits: Sequence[Hit], *, compare: Sequence[Hit] | None = None, model: str = "student") -> str:
    """The page for the hits of one query; with `compare` the backbone's hits stand beside them.

    Pictures that cannot be read any more are shown as placeholders with the reason.
    """
    from jinja2 import Environment, PackageLoader

    columns = [Column(model, _cards(hits))]
    if compare is not None:
        columns.insert(0, Column("backbone", _cards(compare)))
    pages = Environment(loader=PackageLoader("vdistill.query", "."), autoescape=True, trim_blocks=True,
                        lstrip_blocks=True)  # fmt: skip
    return pages.get_template("gallery.html.j2").render(query=query, columns=columns)


def _cards(hits: Sequence[Hit]) -> tuple[Card, ...]:
    with quiet(), ThreadPoolExecutor() as executor:
        return tuple(executor.map(_card, hits))


def _card(hit: Hit) -> Card:
    image, missing = shown(hit.path)
    title = str(hit.metadata.get("title") or hit.metadata.get("name") or hit.id)
    details = tuple(
        f"{name}: {value}"
        for name, value in hit.metadata.items()
        if name not in ("title", "name", "description") and isinstance(value, str | int | float) and value != ""
    )
    return Card(hit, title, details[:3], image, missing)
