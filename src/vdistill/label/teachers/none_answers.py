"""Rankings and hard choices in which "none of these" stands, as answers about the images."""

from __future__ import annotations

from collections.abc import Sequence

from vdistill.records import Answer


def ranked(order: Sequence[int], images: int) -> Answer:
    """The answer in an order of positions, best first; the position `images`, where it is there, is none of these."""
    if images not in order:
        return Answer(order=tuple(order))
    return Answer(order=tuple(place for place in order if place != images), accepted=list(order).index(images))


def taken(position: int, images: int, none: bool) -> Answer:
    """The hard choice of a position; `none` says whether the position `images` was offered."""
    if position == images:
        return Answer(none=1.0)
    return Answer(tuple(float(place == position) for place in range(images)), none=0.0 if none else None)
