"""What all schedules have in common: the plan of a budget, the group of images for one call, and a source of chance."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from vdistill.records import Judgment


@dataclass(frozen=True, slots=True)
class Plan:
    """How a budget is laid out.

    queries: the number of training queries, each of which has `calls_per_query`.
    depth: of a longer plan, of whose calls those of a training query are the first, so that what was asked under the
        longer one is not asked again; 0 for none.
    products: of the items, by id, where any two show the same; an item that is absent is a product of its own. No call
    shows two images of one product: which of them is nicer teaches nothing about the query.
    pointwise: the teacher scores each image by itself, so a query shows each once.
    scored: for it, the items of each query that have their score already.
    """

    calls_per_query: int
    images_per_call: int
    pool_size: int
    seed: int
    queries: int = 1
    depth: int = 0
    products: Mapping[str, str] = field(default_factory=dict)
    pointwise: bool = False
    scored: Mapping[str, Collection[str]] = field(default_factory=dict)

    def unscored(self, query: str, items: Sequence[str]) -> Sequence[str]:
        """The items that have no score yet."""
        known = self.scored.get(query)
        return [item for item in items if item not in known] if known else items

    def distinct(self, items: Iterable[str], shown: Iterable[str] = ()) -> list[str]:
        """The first item of each product, in order, without the products of those that are `shown` already."""
        if not self.products:
            known = set(shown)
            return [item for item in items if item not in known]
        before = {self._product(item) for item in shown}
        first: dict[tuple[bool, str], str] = {}
        for item in items:
            first.setdefault(self._product(item), item)
        return [item for product, item in first.items() if product not in before]

    def deal(self, items: Sequence[str], size: int) -> list[list[str]]:
        """Calls of `size` items of different products, in their order; fewer where the products left are fewer."""
        if not self.products:
            return [list(items[start : start + size]) for start in range(0, len(items), size)]
        calls, left = [], deque(items)
        while left:
            call: dict[tuple[bool, str], str] = {}
            later = []
            while left and len(call) < size:
                item = left.popleft()
                if call.setdefault(self._product(item), item) != item:
                    later.append(item)
            left.extendleft(reversed(later))
            calls.append([*call.values()])
        return calls

    def _product(self, item: str) -> tuple[bool, str]:
        return item in self.products, self.products.get(item, item)


@dataclass(frozen=True, slots=True)
class Group:
    """Images for one call, by item id in the order shown, and the number of the pool they come from.

    none: whether "none of these" can be said too.
    """

    query: str
    items: tuple[str, ...]
    pool: int | None = None
    none: bool = False


class Schedule(Protocol):
    """Decides what is shown next, one round for all queries at a time.

    Attributes:
        listens: whether later rounds depend on the answers to earlier ones.
    """

    listens: bool

    @property
    def left(self) -> int:
        """How many calls are still to come, at most."""
        ...

    def next_round(self, said: Sequence[Judgment]) -> Sequence[Group]:
        """The calls of the next round; none when the schedule is done. Each may be made only as it is reached.

        said: all judgments of its earlier calls; may be empty where it does not listen.
        """
        ...


def generator(seed: int, *names: str) -> np.random.Generator:
    """A random generator that depends on the seed and on what it is for, and on nothing else."""
    digest = hashlib.sha256("\0".join((str(seed), *names)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))


def by_hash(names: Iterable[str], seed: int, *purpose: str) -> list[str]:
    """A random order in which names stand alike whatever other names there are."""
    prefix = "\0".join((str(seed), *purpose))
    return sorted(names, key=lambda name: hashlib.sha256(f"{prefix}\0{name}".encode()).digest())
