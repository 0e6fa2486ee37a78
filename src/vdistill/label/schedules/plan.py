"""What all schedules have in common: the plan of a budget, the group of images for one call, and a source of chance."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vdistill.records import Judgment


@dataclass(frozen=True, slots=True)
class Plan:
    """How a budget is laid out. queries: the number of training queries, each of which has `calls_per_query`."""

    calls_per_query: int
    images_per_call: int
    pool_size: int
    seed: int
    queries: int = 1


@dataclass(frozen=True, slots=True)
class Group:
    """Images for one call, by item id in the order shown, and the number of the pool they come from."""

    query: str
    items: tuple[str, ...]
    pool: int | None = None


class Schedule(Protocol):
    """Decides what is shown next, one round for all queries at a time."""

    @property
    def left(self) -> int:
        """How many calls are still to come, at most."""
        ...

    def next_round(self, said: Sequence[Judgment]) -> list[Group]:
        """The calls of the next round; none when the schedule is done. said: all judgments of its earlier calls."""
        ...


def generator(seed: int, *names: str) -> np.random.Generator:
    """A random generator that depends on the seed and on what it is for, and on nothing else."""
    digest = hashlib.sha256("\0".join((str(seed), *names)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))
