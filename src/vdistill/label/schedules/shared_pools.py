"""Breadth for training: queries share pools of images, and each query's calls are spread over all pools.

The student encodes an image once for the comparisons of many queries, and breadth teaches more than depth at equal
calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, pairwise, repeat

import numpy as np

from vdistill.arrays import Ints
from vdistill.label.schedules.plan import Group, Plan, generator

# Each guided call has one image of the share that the guide likes best. More of them teach less: a student learns more
# from comparisons with what does not fit than among images that fit about equally well.
GUIDED_SHARE = 0.05

SHOWN = 4  # how often each image should be shown before more images are taken


def pools(items: Sequence[str], plan: Plan) -> list[list[str]]:
    """The training items in shuffled pools: as many that all queries together show each image SHOWN times or more."""
    rng = generator(plan.seed, "pools")
    shuffled = [items[i] for i in rng.permutation(len(items)).tolist()]
    size = max(plan.pool_size, plan.images_per_call)
    positions = plan.queries * plan.calls_per_query * plan.images_per_call
    count = max(1, min(round(len(items) / size), max(plan.calls_per_query, positions // (SHOWN * size))))
    used = shuffled[: count * size] if len(items) > count * size * 1.5 else shuffled
    each, more = divmod(len(used), count)  # the first ones have one more
    ends = [number * each + min(number, more) for number in range(count + 1)]
    return [used[start:end] for start, end in pairwise(ends)]


def training_groups(
    query: str,
    pools: Sequence[Sequence[str]],
    plan: Plan,
    guide: Mapping[str, float] | None = None,
    first: int | None = None,
) -> list[Group]:
    """The calls of one training query: pools in turn, in each the images not shown yet.

    guide: the score of each item; with it each call has one of the images with the highest scores.
    first: how many calls of the plan are wanted; None for all.
    """
    # Only for the pools that this query uses is a deck of calls made.
    drawn = generator(plan.seed, "which pools", query).permutation(len(pools))[: plan.calls_per_query]
    ranked = {int(number): _ranked(pools[number], guide) for number in np.sort(drawn)}
    # Another guide gives another draw; the last digits of its scores, which differ between machines, do not.
    favourites = [(some, round(guide[some[0]], 3)) for some in ranked.values()] if guide else []
    rng = generator(plan.seed, "train", query, repr(favourites))
    if guide is None and not plan.products:
        decks = _plain_decks({number: pools[number] for number in ranked}, plan, rng)
    else:
        decks = {number: iter(_deck(pools[number], plan, rng, some)) for number, some in ranked.items()}
    order = rng.permutation(list(decks)).tolist()
    turns = range(plan.calls_per_query if first is None else min(first, plan.calls_per_query))
    return [Group(query, tuple(next(decks[number])), number) for turn in turns for number in [order[turn % len(order)]]]


def _plain_decks(
    pools: Mapping[int, Sequence[str]], plan: Plan, rng: np.random.Generator
) -> dict[int, Iterator[list[str]]]:
    """As `_deck` for each of these pools, with the same draws, where nothing but chance decides: many at once."""
    decks: dict[int, Iterator[list[str]]] = {}
    for count, run in groupby(pools, key=lambda number: len(pools[number])):
        numbers, size = list(run), min(plan.images_per_call, count)
        if size < 1:
            decks |= {number: repeat([]) for number in numbers}
            continue
        dealt = count // size
        rounds = -(-plan.calls_per_query // dealt)
        shuffled = rng.permuted(np.tile(np.arange(count), (len(numbers) * rounds, 1)), axis=1)
        calls = shuffled[:, : dealt * size].reshape(len(numbers), rounds * dealt, size)
        decks |= {number: _dealt(pools[number], rows) for number, rows in zip(numbers, calls, strict=True)}
    return decks


def _dealt(pool: Sequence[str], calls: Ints) -> Iterator[list[str]]:
    """The items of calls (m, size), given as places in the pool, as they are asked for."""
    return ([pool[place] for place in call.tolist()] for call in calls)


def _ranked(pool: Sequence[str], guide: Mapping[str, float] | None) -> list[str]:
    """A pool by the guide's scores, best first; empty without a guide."""
    return [] if guide is None else sorted(pool, key=lambda item: (-guide[item], item))


def _deck(pool: Sequence[str], plan: Plan, rng: np.random.Generator, ranked: Sequence[str]) -> list[list[str]]:
    """The calls that one pool gives. ranked: the pool by the guide, empty without one."""
    best = ranked[: max(round(GUIDED_SHARE * len(pool)), 1)]
    size = min(plan.images_per_call, len(plan.distinct(pool))) - bool(best)
    if size < 1:  # nothing to compare
        return [list(pool[:1])] * plan.calls_per_query
    deck: list[list[str]] = []
    while len(deck) < plan.calls_per_query:
        dealt = plan.deal([pool[i] for i in rng.permutation(len(pool))], size)
        full = [call for call in dealt if len(call) == size]
        deck += [_with_one(call, best, pool, plan, rng) for call in full] if best else full
    return deck


def _with_one(
    call: list[str], best: Sequence[str], pool: Sequence[str], plan: Plan, rng: np.random.Generator
) -> list[str]:
    """The call with one more image at a random position: one of the best that it lacks, else any."""
    left = plan.distinct(best, call) or plan.distinct(pool, call)
    joined = [*call, left[int(rng.integers(len(left)))]]
    return [joined[i] for i in rng.permutation(len(joined))]
