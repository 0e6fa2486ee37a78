"""Judgments with small images of what was shown, for the page of results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from vdistill.images import quiet
from vdistill.images.thumbnails import thumbnail_or_reason
from vdistill.query.why import words
from vdistill.query.why.reasons import Reason, Shown
from vdistill.sources import source_at
from vdistill.sources.read_ahead import readers

SIDE = 112  # px


@dataclass(frozen=True, slots=True)
class Pictured:
    """A judgment on the page.  images: what was shown, best first, each with a data: URI; None where it is gone."""

    reason: Reason
    images: tuple[tuple[Shown, str | None], ...]

    @property
    def verdict(self) -> str:
        """What the teacher said of the image that the result is like."""
        return words.verdict(self.reason)

    @property
    def source(self) -> str:
        """Who said it, when, and of how near a query."""
        return f"query similarity {self.reason.similarity:.2f} · {words.source(self.reason)}"

    def sentence(self, hit: str) -> str:
        """What goes on after the verdict.  hit: the id of the result."""
        return f": {words.detail(self.reason, hit)}"


def pictured(why: Sequence[Sequence[Reason]]) -> list[tuple[Pictured, ...]]:
    """The judgments with their images, each of which is read once. One that cannot be read is left out."""
    files = {image.file for found in why for reason in found for image in reason.shown if image.file}
    order = sorted(files)
    with quiet(), readers(order) as executor:
        small = dict(zip(order, executor.map(_small, order), strict=True))
    return [
        tuple(
            Pictured(reason, tuple((image, small.get(image.file or "")) for image in reason.shown)) for reason in found
        )
        for found in why
    ]


def _small(file: str) -> str | None:
    return thumbnail_or_reason(source_at(file), SIDE)[0]
