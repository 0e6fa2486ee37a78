"""For a teacher that scores each image by itself: a query's images are shown once each, a few at a time.

A score is the same whatever is shown beside it, so there is no second round, nothing is narrowed down, and the budget
decides how many images of a query are scored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice, zip_longest

from vdistill.label.schedules.plan import Group, Plan, generator


def scored_once(query: str, pools: Sequence[Sequence[str]], plan: Plan) -> list[Group]:
    """The groups of one query: pools in turn, each image in one group at most, as many groups as the plan has calls.

    A group of one image, which cannot be compared, is left out.
    """
    rng = generator(plan.seed, "scored once", query)
    decks: list[list[Group]] = []
    for number in rng.permutation(len(pools)).tolist():
        pool = plan.unscored(query, pools[number])
        dealt = plan.deal([pool[place] for place in rng.permutation(len(pool))], plan.images_per_call)
        decks.append([Group(query, tuple(items), number) for items in dealt if len(items) > 1])
    return list(islice(in_turn(decks), plan.calls_per_query))


def scored_in_order(query: str, items: Sequence[str], plan: Plan) -> list[Group]:
    """The groups of one query over items in their order."""
    dealt = plan.deal(list(plan.unscored(query, items)), plan.images_per_call)
    return [Group(query, tuple(some)) for some in dealt if len(some) > 1][: plan.calls_per_query]


def in_turn(decks: Sequence[Sequence[Group]]) -> Iterator[Group]:
    """The first group of each deck, then the second of each, and so on."""
    return (group for group in chain.from_iterable(zip_longest(*decks)) if group is not None)
