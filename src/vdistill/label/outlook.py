"""What to expect before a model runs on this machine: downloads, and how long it will take."""

from __future__ import annotations

from vdistill.label.stage import Stage
from vdistill.label.teacher import Local, Teacher

LONG = 3600.0  # seconds from which a run is announced

_UNITS = ((86400.0, "day"), (3600.0, "hour"), (60.0, "minute"), (1.0, "second"))


def outlook(teacher: Teacher, calls: int, seconds: float) -> list[str]:
    """For a plan: downloads, and how long its calls take; nothing for a teacher that runs elsewhere."""
    if not isinstance(teacher, Local) or not calls:
        return []
    return [*teacher.needs(), *([_time(teacher, calls, seconds)] if seconds else [])]


def announcement(teacher: Teacher, stage: Stage) -> list[str]:
    """Before a run: how long it takes at most, where that is long."""
    if not isinstance(teacher, Local):
        return []
    calls = stage.most_calls
    seconds = calls * teacher.price(stage.example(stage.plan.images_per_call)).seconds
    return [_time(teacher, calls, seconds)] if seconds > LONG else []


def spoken(seconds: float) -> str:
    """Seconds in the unit that fits: "9 days", "2 hours"."""
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= 1.5 * size), _UNITS[-1])
    count = max(1, round(seconds / size))
    return f"{count} {unit}{'s' if count != 1 else ''}"


def _time(teacher: Local, calls: int, seconds: float) -> str:
    elsewhere = "; with --endpoint URL a server answers them" if seconds > LONG else ""
    return f"{calls:,} calls take about {spoken(seconds)} on {teacher.machine}{elsewhere}"
