"""Who of a jury did what, for the report and for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vdistill.evaluation.agreement import between
from vdistill.label.asking import Tally
from vdistill.label.jury.members import Member
from vdistill.label.jury.shares import Offer
from vdistill.preferences import Trust
from vdistill.records import Judgment


def agreements(names: Sequence[str], core: Sequence[Judgment]) -> dict[str, float | None]:
    """For each teacher how often it takes the same image as another, the mean over the others; None where unknown."""
    of_each = {name: [one for one in core if one.teacher == name] for name in names}
    found: dict[str, float | None] = {}
    for name in names:
        both = [between(of_each[name], of_each[other]) for other in names if other != name]
        known = [one.share for one in both if one is not None]
        found[name] = round(float(np.mean(known)), 4) if known else None
    return found


def rows(
    members: Sequence[Member], given: Sequence[float], offers: Sequence[Offer], core: Sequence[Judgment], images: int
) -> tuple[dict[str, Any], ...]:
    """What the report says of each teacher; the keys are those of `label --json`.

    images: of a call of those who compare them.
    """
    agreed = agreements([member.name for member in members], core)
    return tuple(
        of_teacher(member.name, member.tally, member.seconds)
        | known_of(share, offer, 1 if member.scores else images)
        | {"agreement": agreed[member.name], "gone": member.why or None}
        for member, share, offer in zip(members, given, offers, strict=True)
    )


def of_teacher(name: str, tally: Tally, seconds: float) -> dict[str, Any]:
    """What one teacher did and cost.  seconds: of its calls, as many at once as it takes."""
    return {
        "name": name, "calls": tally.calls, "judgments": tally.judgments, "reused": tally.reused,
        "failed": tally.failed, "images_shown": tally.images_shown, "tokens": tally.tokens,
        "cost_usd": round(tally.cost_usd, 6), "seconds": round(seconds, 3),
    }  # fmt: skip


def known_of(share: float, offer: Offer, images: int) -> dict[str, Any]:
    """What its share of the calls is, and what the core showed of it.  bits: of a call of so many images."""
    trust = offer.trust
    if trust is None:
        return {"share": share, "noise": None, "bits": None, "bits_per_usd": None}
    bits = bits_of_call(trust, images) * offer.answered
    return {
        "share": share, "noise": round(trust.noise, 4), "bits": round(bits, 4),
        "bits_per_usd": round(bits / offer.usd, 2) if offer.usd else None,
    }  # fmt: skip


def bits_of_call(trust: Trust, images: int) -> float:
    """The information in a call; a single image has a score."""
    return trust.bits(images) if images > 1 else trust.bits_of_number


def told(teachers: Sequence[Mapping[str, Any]], questions: int, *, pointwise: bool) -> str:
    """Who gets how much and why, in a line."""
    of = "of the images" if pointwise else "of the calls"
    parts = []
    for one in sorted(teachers, key=lambda row: -row["share"]):
        why = [] if one["bits"] is None else [f"{one['bits']:.2g} bits a call"]
        why += [f"{one['bits_per_usd']:,.4g} bits a dollar"] if one.get("bits_per_usd") else []
        why += [f"takes what the others take in {one['agreement']:.0%}"] if one["agreement"] is not None else []
        reasons = f" ({', '.join(why)})" if why else ""
        parts.append(f"{one['name']} {one['share']:.0%}{reasons}")
    if not questions:
        return f"there are too few calls for a common core, so the jury shares them alike: {'; '.join(parts)}"
    return f"after {questions:,} questions that all were asked, {of} get {'; '.join(parts)}"
