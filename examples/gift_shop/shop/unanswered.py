"""Queries that nothing in the shop answers: to learn from, to calibrate by, and to measure on."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

import numpy as np

from shop.stocks import Stock, gift_unanswered, gift_unanswered_train
from shop.stocks.gifts import GIFTS


@dataclass(frozen=True)
class UnansweredQueries:
    """train, heldout: of the workspace.  unseen: only `bench --unanswered` sees them."""

    train: list[str]
    heldout: list[str]
    unseen: list[str]


def unanswered_queries(stock: Stock, seed: int) -> UnansweredQueries:
    """Those of a shop; only the gift shop has some.

    The training ones have persons, tastes, colours and budgets as its other queries do, so that none of these tells
    them apart: a thing is asked for in two ways, what somebody does in two as well.
    """
    if stock is not GIFTS:
        return UnansweredQueries([], [], [])
    rng, words = np.random.default_rng([seed, 6]), stock.train
    spoken = [
        _one(words.OPENERS, rng).format(who=_one(words.PERSONS, rng), what=pastime) + _clauses(words, rng)
        for pastime in gift_unanswered_train.PASTIMES * 2
    ]
    things = [thing + _clauses(words, rng) for thing in gift_unanswered_train.THINGS]
    named = [f"{thing} for {_one(words.PERSONS, rng)}" for thing in gift_unanswered_train.THINGS]
    heldout, unseen = gift_unanswered.split()
    return UnansweredQueries(list(dict.fromkeys([*spoken, *things, *named])), list(heldout), list(unseen))


def _clauses(words: ModuleType, rng: np.random.Generator) -> str:
    """As often as in other queries a taste, a colour, a budget."""
    found = ""
    if rng.random() < 0.5:
        found += f", {_one(words.TASTES[_one(tuple(words.TASTES), rng)], rng)[0]}"
    if rng.random() < 0.5:
        found += f", {_one(words.COLOURS, rng)[0]}"
    if rng.random() < 0.4:
        found += f", {_one(words.BUDGETS[_one(tuple(words.BUDGETS), rng)], rng)[0]}"
    return found


def _one(choices: tuple, rng: np.random.Generator):  # noqa: ANN202
    return choices[int(rng.integers(len(choices)))]
