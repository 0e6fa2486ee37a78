"""How this process behaves to web servers: whether it does what they say to robots, and when it hangs up."""

from __future__ import annotations

from collections.abc import Callable

_obey: list[Callable[[], bool]] = [lambda: True]


def obey_robots(obey: Callable[[], bool]) -> None:
    """Settle it; `obey` is asked when the first image is fetched."""
    _obey[0] = obey


def manners() -> Callable[[], bool]:
    """What was settled last."""
    return _obey[0]


def hang_up() -> None:
    """Send no further request for what is wanted now: the program was interrupted."""
    _calls[0] += 1


def calls() -> int:
    """Counts how often somebody hung up."""
    return _calls[0]


_calls = [0]
