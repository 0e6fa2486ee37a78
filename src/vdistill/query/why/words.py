"""Judgments in words, for the terminal and for the page."""

from __future__ import annotations

from datetime import datetime, timezone

from vdistill.query.why.reasons import Reason, Shown

NAMED = 2  # images that an image was chosen over, by name; the others are counted


def verdict(reason: Reason) -> str:
    """What became of the image that the hit is like."""
    if reason.verdict == "against":
        return "shown, not chosen"
    return "chosen" if reason.place == 0 else f"liked, {_ordinal(reason.place + 1)} of {len(reason.shown)}"


def detail(reason: Reason, hit: str) -> str:
    """Which image that was, and what was chosen, over what.  hit: the id of the hit."""
    item = reason.item
    alike = "this image" if item.id == hit else f"{reason.item_similarity:.2f} like it"
    about = f"{item.title} ({alike}{_percent(item)})"
    if reason.place == 0:
        return f"{about} over {listed(reason.over)}" if reason.over else about
    return f"{about}; {reason.chosen.title}{_bracketed(reason.chosen)} was chosen"


def source(reason: Reason) -> str:
    """Who judged, and on which day (UTC)."""
    return f"{reason.teacher}, {datetime.fromtimestamp(reason.asked_at, timezone.utc):%Y-%m-%d}"


def listed(images: tuple[Shown, ...]) -> str:
    """The first few by title, and how many more."""
    titles = [image.title for image in images[:NAMED]]
    more = len(images) - len(titles)
    return f"{', '.join(titles)} and {more} more" if more else " and ".join(titles)


def _percent(image: Shown) -> str:
    return "" if image.probability is None else f", {_rounded(image.probability)}"


def _bracketed(image: Shown) -> str:
    return "" if image.probability is None else f" ({_rounded(image.probability)})"


def _rounded(probability: float) -> str:
    if probability in (0, 1) or 0.01 <= probability < 0.995:
        return f"{100 * probability:.0f} %"
    return "under 1 %" if probability < 0.5 else "over 99 %"


def _ordinal(place: int) -> str:
    ending = "th" if 10 < place % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(place % 10, "th")
    return f"{place}{ending}"
