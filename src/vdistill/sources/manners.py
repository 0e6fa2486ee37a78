"""Whether this process does what web servers say to robots."""

from __future__ import annotations

from collections.abc import Callable

_obey: list[Callable[[], bool]] = [lambda: True]


def obey_robots(obey: Callable[[], bool]) -> None:
    """Settle it; `obey` is asked when the first image is fetched."""
    _obey[0] = obey


def manners() -> Callable[[], bool]:
    """What was settled last."""
    return _obey[0]
