"""Who is asked a question: drawn by a hash of it, so that whatever else is asked makes no difference."""

from __future__ import annotations

from collections.abc import Sequence

from vdistill.label.questions import identity_of
from vdistill.records import Question


def drawn(question: Question, shares: Sequence[float]) -> tuple[int, ...]:
    """The numbers of all teachers: the one who is asked first, and then who stands in if it is gone.

    Each is asked first with the probability of its share.
    """
    return drawn_at(_place(question), shares)


def drawn_at(place: float, shares: Sequence[float]) -> tuple[int, ...]:
    """The same by a number in [0, 1)."""
    first = len(shares) - 1
    while first and (shares[first] <= 0 or place < sum(shares[:first])):
        first -= 1
    others = sorted((number for number in range(len(shares)) if number != first), key=lambda one: -shares[one])
    return (first, *others)


def all_at(number: int, quotas: Sequence[int]) -> tuple[int, ...]:
    """The numbers of all teachers who are asked a question of a plan, by its number; each is asked the first ones."""
    return tuple(member for member, quota in enumerate(quotas) if number < quota)


def _place(question: Question) -> float:
    """A number in [0, 1)."""
    return int.from_bytes(identity_of(question)[:7], "big") / 2**56
