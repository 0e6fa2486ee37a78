"""What to show next: breadth for training, depth for the held-out judgments.

Training queries share pools of images, so that one image forward of the student serves many comparisons, and each
query's calls are spread over all pools: breadth taught better students than depth at equal calls. Held-out queries
are judged in rounds: everything once, then regrouped by the current estimate and narrowed to the top, because what
`bench` needs from them is a trustworthy ranking.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# How the images of a guided call are spread over the guide's scores: (quantile range, share of the slots).
BANDS = ((0.0, 0.7, 0.2), (0.7, 0.9, 0.2), (0.9, 0.95, 0.2), (0.95, 1.0, 0.4))


@dataclass(frozen=True, slots=True)
class Plan:
    """How a budget is laid out."""

    calls_per_query: int
    images_per_call: int
    pool_size: int
    seed: int


@dataclass(frozen=True, slots=True)
class Group:
    """Images for one call, by item id in the order shown, and the pool they come from."""

    query: str
    items: tuple[str, ...]
    pool: int | None = None


def pools(items: Sequence[str], plan: Plan) -> list[list[str]]:
    """Cut the training items into shuffled pools; no more pools than a query has calls, so that each can be used."""
    rng = _rng(plan.seed, "pools")
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
    rng = _rng(plan.seed, "train", query, repr(sorted((guide or {}).items())))
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
        return _banded(pool, plan, rng, guide)
    size = plan.images_per_call
    deck: list[list[str]] = []
    while len(deck) < plan.calls_per_query:
        shuffled = [pool[i] for i in rng.permutation(len(pool))]
        deck += [shuffled[start : start + size] for start in range(0, max(len(pool) - size + 1, 1), size)]
    return deck


def _banded(pool: Sequence[str], plan: Plan, rng: np.random.Generator, guide: Mapping[str, float]) -> list[list[str]]:
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


def heldout_pool(items: Sequence[str], plan: Plan) -> list[str]:
    """The held-out items that are judged: as many as three fifths of a query's calls can show once."""
    most = max(plan.images_per_call, int(0.6 * plan.calls_per_query * plan.images_per_call))
    order = _rng(plan.seed, "heldout").permutation(len(items))
    return sorted(items[i] for i in order[:most])


def narrowing_round(
    query: str,
    items: Sequence[str],
    estimate: NDArray[np.float64] | None,
    turn: int,
    left: int,
    plan: Plan,
) -> list[Group]:
    """The calls of one round over fewer and fewer of the best items. At most `left` calls.

    `estimate` (n,) holds the current utilities of `items`; neighbours in its order are shown together, because
    comparing like with like tells most, and every other round is shifted by half a call, so that groups mix. Each
    round keeps the share of the items with which the rounds together just use up the budget (a geometric series).
    """
    rng = _rng(plan.seed, "narrow", query, str(turn))
    size = min(plan.images_per_call, len(items))
    keep = min(max(1 - len(items) / (size * plan.calls_per_query), 0.2), 0.9)
    noise = rng.permutation(len(items))
    order = noise if estimate is None else np.lexsort((noise, -estimate))
    active = order[: max(size, round(len(items) * keep**turn))]
    shift = [0] if turn % 2 else []
    starts = shift + list(range(size // 2 if shift else 0, len(active), size))
    groups = []
    for start in starts[:left]:
        first = min(start, len(active) - size)  # the last call is filled up with neighbours
        chosen = rng.permutation(active[first : first + size])
        groups.append(Group(query, tuple(items[i] for i in chosen)))
    return groups


def _rng(seed: int, *names: str) -> np.random.Generator:
    """A generator that depends on what it is for and on nothing else."""
    digest = hashlib.sha256("\0".join((str(seed), *names)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "big"))
