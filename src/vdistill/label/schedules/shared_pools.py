"""Breadth for training: queries share pools of images, and each query's calls are spread over all pools.

One image forward of the student serves the comparisons of many queries, and breadth taught better students than depth
at equal calls.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from vdistill.label.schedules.plan import Group, Plan, generator

# How the images of a guided call are spread over the guide's scores: (quantile range, share of the slots).
BANDS = ((0.0, 0.7, 0.2), (0.7, 0.9, 0.2), (0.9, 0.95, 0.2), (0.95, 1.0, 0.4))


def pools(items: Sequence[str], plan: Plan) -> list[list[str]]:
    """Cut the training items into shuffled pools; no more pools than a query has calls, so that each can be used."""
    rng = generator(plan.seed, "pools")
    shuffled = [items[i] for i in rng.permutation(len(items))]
    size = max(plan.pool_size, plan.images_per_call)
    count = max(1, min(round(len(items) / size) or 1, plan.calls_per_query))
    used = shuffled[: count * size] if len(items) > count * size * 1.5 else shuffled
    return [list(part) for part in np.array_split(np.array(used, dtype=object), count)]


def training_groups(
    query: str,
    pools: Sequence[Sequence[str]],
    plan: Plan,
    guide: Mapping[str, float] | None = None,
) -> list[Group]:
    """The calls of one training query: pools in turn, in each the images not shown yet.

    `guide` gives a score per item; with it each call takes its images from bands of the scores, the top bands most.
    """
    rng = generator(plan.seed, "train", query, repr(sorted((guide or {}).items())))
    decks = [_deck(pool, plan, rng, guide) for pool in pools]
    order = rng.permutation(len(pools))
    return [
        Group(query, tuple(decks[number].pop(0)), pool=int(number))
        for turn in range(plan.calls_per_query)
        if decks[number := order[turn % len(pools)]]
    ]


def _deck(
    pool: Sequence[str], plan: Plan, rng: np.random.Generator, guide: Mapping[str, float] | None
) -> list[list[str]]:
    """Calls ready to be dealt from one pool."""
    if guide is not None:
        return banded_calls(pool, plan, rng, guide)
    size = plan.images_per_call
    deck: list[list[str]] = []
    while len(deck) < plan.calls_per_query:
        shuffled = [pool[i] for i in rng.permutation(len(pool))]
        deck += [shuffled[start : start + size] for start in range(0, max(len(pool) - size + 1, 1), size)]
    return deck


def banded_calls(
    pool: Sequence[str], plan: Plan, rng: np.random.Generator, guide: Mapping[str, float]
) -> list[list[str]]:
    """Calls of one query with images from bands of the guide's scores, in random order."""
    ranked = sorted(pool, key=lambda item: (guide[item], item))
    size = min(plan.images_per_call, len(ranked))
    bands = [ranked[int(low * len(ranked)) : max(int(high * len(ranked)), int(low * len(ranked)) + 1)]
             for low, high, _ in BANDS]  # fmt: skip
    calls = []
    for _ in range(plan.calls_per_query):
        call: list[str] = []
        for band, (_, _, share) in zip(reversed(bands), reversed(BANDS), strict=True):
            fresh = [item for item in band if item not in call]
            call += list(rng.permutation(np.array(fresh, dtype=object))[: max(1, round(share * size))])
        rest = [item for item in rng.permutation(np.array(ranked, dtype=object)) if item not in call]
        call = (call + rest)[:size]
        calls.append([call[i] for i in rng.permutation(len(call))])
    return calls
