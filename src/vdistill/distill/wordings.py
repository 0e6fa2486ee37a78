"""The wordings of the training queries: each query as it was asked, and in other words that share its judgments.

A student that meets a wish in one wording learns the words; in several, the wish. So each call of an epoch stands under
a wording of its query that is drawn anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vdistill.arrays import Ints

_STREAM = 1  # of chance, beside the one that cuts the epoch into steps


@dataclass(frozen=True)
class Asked:
    """In which wording each of m calls stands: rows (m,) of `vectors` (w, dim), unit vectors."""

    vectors: Tensor
    rows: Ints


@dataclass(frozen=True)
class Wordings:
    """The wordings of q queries as w vectors.

    vectors: (w, dim) unit vectors; the wordings of a query follow one another, the query as it was asked comes first.
    first: (q,) row of each query as it was asked.  count: (q,) how many wordings it has, 1 or more.
    """

    vectors: Tensor
    first: Ints
    count: Ints

    @property
    def originals(self) -> Tensor:
        """(q, dim) the queries as they were asked."""
        return self.vectors[self._rows(self.first)]

    def drawn(self, queries: Ints, seed: int, epoch: int) -> Asked:
        """For each of m calls, given by their queries (m,), one of the query's wordings, all equally likely."""
        rng = np.random.default_rng([seed, epoch, _STREAM])
        others = np.floor(rng.random(len(queries)) * self.count[queries]).astype(np.int64)
        return Asked(self.vectors, self.first[queries] + others)

    def part(self, queries: Ints) -> Wordings:
        """The wordings of these queries."""
        count = self.count[queries]
        first = np.cumsum(count) - count
        rows = np.arange(count.sum()) + np.repeat(self.first[queries] - first, count)
        return Wordings(self.vectors[self._rows(rows)], first, count)

    def _rows(self, rows: Ints) -> Tensor:
        return torch.from_numpy(rows).to(self.vectors.device)


def texts_of(queries: Sequence[str], paraphrases: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """The texts of each query's wordings, as it was asked first."""
    return [[query, *paraphrases.get(query, ())] for query in queries]


def wordings_of(vectors: Tensor, texts: Sequence[Sequence[str]]) -> Wordings:
    """The wordings whose vectors (w, dim) are in the order of `texts`."""
    count = np.array([len(some) for some in texts], np.int64)
    return Wordings(vectors, np.cumsum(count) - count, count)
