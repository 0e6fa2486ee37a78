"""What a user wants to know before a model on this machine is set to work: how long it will take."""

from __future__ import annotations

from vdistill.label.teacher import Local, Teacher

LONG = 3600.0  # seconds from which a run is announced

_UNITS = ((86400.0, "day"), (3600.0, "hour"), (60.0, "minute"), (1.0, "second"))


def outlook(teacher: Teacher, calls: int, seconds: float) -> list[str]:
    """The time of a run on this machine, and what would take less; nothing for a teacher that answers elsewhere."""
    if not isinstance(teacher, Local) or seconds <= 0 or not calls:
        return []
    elsewhere = "; with --endpoint URL a server answers" if seconds > LONG else ""
    return [f"{calls:,} calls take about {spoken(seconds)} on {teacher.machine}{elsewhere}"]


def spoken(seconds: float) -> str:
    """Seconds in the unit that suits: "9 days", "an hour" is "1 hour"."""
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= 1.5 * size), _UNITS[-1])
    count = max(1, round(seconds / size))
    return f"{count} {unit}{'s' if count != 1 else ''}"
