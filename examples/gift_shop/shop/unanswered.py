"""Queries that nothing in the shop answers: to learn from, to calibrate by, and to measure on."""

from __future__ import annotations

from dataclasses import dataclass

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
    """Those of a shop; only the gift shop has some. Some of the training ones sound like its other queries."""
    if stock is not GIFTS:
        return UnansweredQueries([], [], [])
    rng, words = np.random.default_rng([seed, 6]), stock.train
    spoken = [
        words.OPENERS[rng.integers(len(words.OPENERS))].format(
            who=words.PERSONS[rng.integers(len(words.PERSONS))], what=pastime
        )
        for pastime in gift_unanswered_train.PASTIMES
    ]
    heldout, unseen = gift_unanswered.split()
    return UnansweredQueries([*spoken, *gift_unanswered_train.THINGS], list(heldout), list(unseen))
