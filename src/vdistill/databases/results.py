"""What counts as a result of a database: what is good enough, and for a product the best of its items."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vdistill.databases.engine import Found
from vdistill.query.ranking import fused
from vdistill.query.retrieval import SPARE, Fits

_IMAGES = 4  # of a product, when nothing is known yet


@dataclass(frozen=True, slots=True)
class Least:
    """What a result must reach, None for what was not asked for.  fits: needed for a `fit`."""

    score: float | None
    fit: float | None
    fits: Fits | None

    def reached_by(self, found: Sequence[Found]) -> list[Found]:
        """Those that reach it, in the same order."""
        scores = np.array([one.score for one in found])
        good = np.ones(len(found), bool)
        if self.score is not None:
            good &= scores >= self.score
        if self.fit is not None and self.fits is not None:
            good &= self.fits(scores).round(4) >= self.fit
        return [found[place] for place in np.flatnonzero(good).tolist()]


class Results:
    """What counts as a result: an item, or a product, which the best of its items stands for."""

    def __init__(self, per_product: bool, least: Least) -> None:
        self._per_product, self._least = per_product, least

    def best(self, ask: Callable[[int], list[Found]], k: int) -> list[Found]:
        """The `k` results with the highest scores to six digits, ties by id."""
        return self._enough(ask, k, lambda found: sorted(found, key=lambda one: (-one.score, one.id)))[:k]

    def first(self, ask: Callable[[int], list[Found]], k: int) -> list[Found]:
        """The first `k` results, in the order in which they are found."""
        return self._enough(ask, k, list)[:k]

    def together(self, near: Sequence[Found], matching: Sequence[Found]) -> list[Found]:
        """Both rankings by reciprocal rank fusion; of a product the nearest item stands for it."""
        of = {self._result(one): one for one in [*matching, *near]}
        rankings = [[of[self._result(one)].id for one in ranking] for ranking in (near, matching)]
        by_id = {one.id: one for one in of.values()}
        return [by_id[id_] for id_ in fused(rankings)]

    def _enough(
        self, ask: Callable[[int], list[Found]], k: int, order: Callable[[list[Found]], Iterable[Found]]
    ) -> list[Found]:
        """Asks for more until `k` results are among them, however many items one product has."""
        count = k + SPARE
        while True:
            found = ask(count)
            good = self._least.reached_by([replace(one, score=round(one.score, 6)) for one in found])
            results = self._distinct(order(good))
            if len(results) >= k or len(found) < count or len(good) < len(found):
                return results
            count *= _IMAGES

    def _distinct(self, found: Iterable[Found]) -> list[Found]:
        distinct: dict[tuple[str, str], Found] = {}
        for one in found:
            distinct.setdefault(self._result(one), one)
        return list(distinct.values())

    def _result(self, found: Found) -> tuple[str, str]:
        return ("product", found.product) if self._per_product and found.product is not None else ("item", found.id)
