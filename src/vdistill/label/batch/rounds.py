"""All questions that can be asked before any further answer is in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from vdistill.database import Database
from vdistill.label.asking import WINDOW
from vdistill.label.questions import Keyed
from vdistill.label.turns import Side, mixed

TRIES = 2  # how often a question is asked in the jobs of one command


def questions(
    sides: Sequence[Side], database: Database, session: str, reused: Callable[[int], None]
) -> Iterator[Keyed]:
    """Those of all rounds that the stored answers lead to, without what is answered or under way.

    A side whose schedule listens waits where answers of its round are missing. reused: is told how many are stored.
    """
    waiting: set[str] = set()
    while open_sides := [side for side in sides if side.split not in waiting and side.waiting()]:
        counts = [side.waiting() for side in open_sides]
        taken = mixed(counts, [side.take(count) for side, count in zip(open_sides, counts, strict=True)])
        listening = {side.split for side in open_sides if side.schedule.listens}
        while part := list(islice(taken, WINDOW)):
            keys = [key for key, _ in part]
            known, failed = database.answered(keys), database.batch_jobs.failures(session, keys)
            reused(len(known))
            left = [one for one in part if one[0] not in known and failed.get(one[0], 0) < TRIES]
            waiting |= {asked.split for _, asked in left} & listening
            pending = database.batch_jobs.under_way([key for key, _ in left])
            yield from (one for one in left if one[0] not in pending)
        for side in open_sides:
            if side.split not in waiting:
                side.note(database.answers)
