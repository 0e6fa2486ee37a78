"""Which calls offer "none of these": every fourth of a query, so that it has a zero after a few calls.

The zero is one number for each query, and each such answer measures it about as well as it measures one image; a
quarter of 10 calls gives two or three measurements, of 40 calls ten. More would cost: a model without probabilities
that says "none" prefers nothing. Which fourth depends on the query, so that with one to three calls a query a quarter
of the queries has a zero. Calls are counted as the schedule makes them, so early ones, which show anything, and late
ones, which show the best, are offered it alike.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from vdistill.database import Database
from vdistill.errors import VdistillError
from vdistill.label.schedules import Group
from vdistill.label.teacher import Teacher, none_version, pointwise
from vdistill.workspace import Workspace

EVERY = 4


def offers_none(
    given: bool | None, teacher: Teacher, workspace: Workspace | None, say: Callable[[str], None], *, typed: bool = True
) -> bool:
    """Whether calls offer "none of these": as the user says, else where an audit has found that the teacher says it.

    typed: whether it was said of this teacher; else it is a default, of which those who cannot say it make no use.
    Raises VdistillError where the user wants it of a teacher that cannot.
    """
    if pointwise(teacher):
        if given and typed:
            say(f'{teacher.name} scores each image by itself: even odds are its "none of these", and no call offers it')
        return False
    if not none_version(teacher):
        if given and typed:
            raise VdistillError(
                f'{teacher.name} cannot say "none of these"',
                hint="leave --none out; a table says it with a row of an empty item for each query, see docs/fit.md",
            )
        return False
    if given is not None:
        return given
    with Database.existing(workspace) as database:
        found = database.setting(setting_of(teacher)) if database else None
    if found:
        say(
            'every fourth call offers "none of these", as the audit found that the teacher says it (--no-none: none do)'
        )
    return bool(found)


def each_offers_none(
    given: bool | None,
    teachers: Sequence[Teacher],
    workspace: Workspace | None,
    say: Callable[[str], None],
    *,
    typed: bool = True,
) -> list[bool]:
    """As `offers_none`, of the teachers of a jury: those that cannot say it answer the same questions without it."""
    able = [bool(none_version(teacher)) for teacher in teachers]
    if given and typed and any(able):
        for teacher in (one for one, can in zip(teachers, able, strict=True) if not can):
            say(f'{teacher.name} cannot say "none of these": only the others are offered it')
        typed = False
    return [offers_none(given, teacher, workspace, say, typed=typed) for teacher in teachers]


def setting_of(teacher: Teacher) -> str:
    """The setting that keeps whether an audit has found that a teacher says "none of these"."""
    return f"none/{teacher.name}/{teacher.prompt}/{none_version(teacher)}"


@dataclass
class NoneShare:
    """Counts the calls of each query. offered: whether any call offers it."""

    offered: bool
    _calls: Counter[str] = field(default_factory=Counter)

    def marked(self, group: Group) -> Group:
        """The next call of a query, with "none of these" where it is its turn."""
        if not self.offered:
            return group
        number = self._calls[group.query]
        self._calls[group.query] += 1
        first = hashlib.sha256(f"none\0{group.query}".encode()).digest()[0] % EVERY
        return replace(group, none=number % EVERY == first)
