"""How many lists a search has to read: measured when a file is written, by true neighbours of some of its vectors."""

from __future__ import annotations

import numpy as np

from vdistill.bundle.list_table import Fit
from vdistill.bundle.lists import ENOUGH, LEAST

ASKED = 256  # vectors whose neighbours are looked for
_NEAREST = 13  # of each: half of what a search for ten results fetches
_FOUND = 0.98  # share of them whose lists are to be read
_MOST_DOUBT = 8.0


class TrueNeighbours:
    """The vectors nearest to `asked` (a, dim), unit vectors, among all that are added."""

    def __init__(self, asked: np.ndarray) -> None:
        self.asked = asked
        self.scores = np.full((len(asked), _NEAREST + 1), -np.inf, np.float32)  # the first is the vector itself
        self.lists = np.zeros((len(asked), _NEAREST + 1), np.int64)

    def add(self, vectors: np.ndarray, lists: np.ndarray) -> None:
        """vectors: (n, dim).  lists: (n,) the list of each."""
        scores = np.concatenate([self.scores, self.asked @ vectors.T], axis=1)
        numbers = np.concatenate([self.lists, np.broadcast_to(lists, (len(self.asked), len(lists)))], axis=1)
        best = np.argpartition(-scores, _NEAREST, axis=1)[:, : _NEAREST + 1]
        self.scores, self.lists = np.take_along_axis(scores, best, 1), np.take_along_axis(numbers, best, 1)


def fitted(near: TrueNeighbours, centres: np.ndarray, sizes: np.ndarray) -> Fit:
    """What `ListShard.search` decides by.  centres: (lists, dim) as they are compared.  sizes: (lists,)."""
    likely = near.asked @ centres.T
    own = near.lists[np.arange(len(near.asked)), near.scores.argmax(axis=1)]
    slope = float(likely[np.arange(len(own)), own].mean())
    rest = near.asked @ near.asked.T - likely[:, own] * slope
    np.fill_diagonal(rest, 0)
    noise = float(rest.std())
    if noise <= 0:
        return Fit(slope, 0.0, 0.0)
    reached = near.scores.min(axis=1, keepdims=True)
    needed = (reached - slope * np.take_along_axis(likely, near.lists, 1)) / noise
    order = np.argsort(-likely, axis=1)
    first = (np.cumsum(sizes[order], axis=1) - sizes[order] < ENOUGH) | (np.arange(len(sizes)) < LEAST)
    read = np.zeros(likely.shape, bool)
    np.put_along_axis(read, order, first, 1)
    needed[np.take_along_axis(read, near.lists, 1)] = 0
    return Fit(slope, noise, float(np.clip(np.quantile(needed, _FOUND), 0, _MOST_DOUBT)))
