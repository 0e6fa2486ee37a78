"""What a user wants to know before a model on this machine is set to work: what comes first, and how long it takes."""

from __future__ import annotations

from collections.abc import Sequence

from vdistill.label.teacher import Local, Teacher
from vdistill.records import Question, ShownImage

LONG = 3600.0  # seconds from which a run is announced

_UNITS = ((86400.0, "day"), (3600.0, "hour"), (60.0, "minute"), (1.0, "second"))


def outlook(teacher: Teacher, calls: int, seconds: float) -> list[str]:
    """Of a plan: downloads, and the time of so many calls; nothing for a teacher that answers elsewhere."""
    if not isinstance(teacher, Local) or not calls:
        return []
    return [*teacher.needs(), *([_time(teacher, calls, seconds)] if seconds else [])]


def announcement(teacher: Teacher, calls: int, images: Sequence[ShownImage]) -> list[str]:
    """Before a run of up to so many calls that show so many images: how long it takes, where that is long."""
    if not isinstance(teacher, Local) or not calls or not images:
        return []
    seconds = calls * teacher.price(Question("", tuple(images))).seconds
    return [_time(teacher, calls, seconds)] if seconds > LONG else []


def spoken(seconds: float) -> str:
    """Seconds in the unit that suits: "9 days", "2 hours"."""
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= 1.5 * size), _UNITS[-1])
    count = max(1, round(seconds / size))
    return f"{count} {unit}{'s' if count != 1 else ''}"


def _time(teacher: Local, calls: int, seconds: float) -> str:
    elsewhere = "; with --endpoint URL a server answers them" if seconds > LONG else ""
    return f"{calls:,} calls take about {spoken(seconds)} on {teacher.machine}{elsewhere}"
