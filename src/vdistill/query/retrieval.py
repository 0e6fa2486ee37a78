"""The items of an index that fit a vector best: filtered, scored, and ranked."""

from __future__ import annotations

import contextlib
import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias, get_args

import numpy as np

from vdistill.bundle import shards
from vdistill.bundle.items import Row
from vdistill.bundle.products import Product
from vdistill.bundle.store import Store
from vdistill.errors import VdistillError
from vdistill.inputs.lines import well_formed
from vdistill.query.ranking import diversified, fused
from vdistill.query.results import Results
from vdistill.records import Hit, Per
from vdistill.sources import joined

if TYPE_CHECKING:
    from vdistill.query.filters import Limits

SPARE = 16  # fetched beyond k, so that ties at the end are ordered by id too
_ROUGH = 4  # times as many are fetched where i8 finds them, then scored by the more precise vectors beside it
_FILTERS = 16  # expressions whose items are kept: 8 bytes an item
POOL, LEAST = 5, 100  # candidates where a later step decides the order: so many times k, and at least so many
ONE_TEXT = "min-fit: the fit is known for a query that is one text"


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """What hits must fulfil, and how they are ranked; explained at `Searcher.search`."""

    where: str | None = None
    exact: bool = False
    hybrid: bool = False
    min_score: float | None = None
    diverse: float = 0.0
    per: Per = "product"
    min_fit: float | None = None


Fits: TypeAlias = Callable[[np.ndarray], np.ndarray]  # from the cosines (n,) of a query's hits to their fits (n,)


@dataclass(frozen=True)
class _Request:
    """vector: (dim,).  allowed: keys of the items that fulfil the filter, None without one.  results: what counts.

    fits: None where nothing is known of them.
    """

    vector: np.ndarray
    allowed: np.ndarray | None
    exact: bool
    min_score: float | None
    results: Results
    min_fit: float | None = None
    fits: Fits | None = None


def checked(vector: np.ndarray, k: int, options: SearchOptions, dim: int) -> np.ndarray:
    """The vector as it is searched with. Raises VdistillError where there is nothing to be found with it."""
    diverse = options.diverse
    if options.per not in get_args(Per):
        raise VdistillError(f"per={options.per!r} is neither 'product' nor 'image'", hint="leave it out")
    if options.min_fit is not None and not 0 <= options.min_fit <= 1:
        raise VdistillError(f"min_fit={options.min_fit:g} is not between 0 and 1", hint="try 0.5")
    if k < 1:
        raise VdistillError(f"cannot find {k} items", hint="ask for at least one: -k 10")
    if not 0 <= diverse <= 1:
        raise VdistillError(f"diverse={diverse:g} is not between 0 and 1", hint="try 0.3")
    if vector.shape != (dim,):
        raise VdistillError(f"a vector of shape {vector.shape} in an index of dimension {dim}",
                            hint="encode queries with this index's own encoder")  # fmt: skip
    if not np.isfinite(vector).all():
        raise VdistillError("the query's vector is not finite", hint="the model may be damaged: distill it again")
    return np.ascontiguousarray(vector, np.float32)


def require_fit(known: bool, *, text: bool) -> None:
    """Raise VdistillError where a `min_fit` cannot be kept."""
    if not known:
        raise VdistillError(
            "min-fit: this index knows no fit",
            hint='let a teacher that can say "none of these" judge held-out queries (`vdistill label --none`), '
            "then run `vdistill index`",
        )
    if not text:
        raise VdistillError(ONE_TEXT, hint="leave it out for others")


class Retriever:
    """Finds items in an open index. May be shared between threads."""

    def __init__(self, store: Store, limits: Limits | None = None) -> None:
        self._store = store
        self._limits = limits
        self._filtered: OrderedDict[str, np.ndarray] = OrderedDict()  # the last expressions, the keys that fulfil them

    def hits(
        self, vector: np.ndarray, k: int, options: SearchOptions, words: str, fits: Fits | None = None
    ) -> list[Hit]:
        """The `k` best results for a unit vector (dim,), best first; `words` are what a hybrid search looks for.

        fits: what the hits get for a fit; needed for a `min_fit`.
        """
        vector = checked(vector, k, options, self._store.entry.dim)
        allowed = None if options.where is None else self._allowed(options.where)
        products = self._store.items.products
        results = Results(products if options.per == "product" and products.several else None)
        request = _Request(vector, allowed, options.exact, options.min_score, results, options.min_fit, fits)
        pool = max(POOL * k, LEAST) if options.hybrid or options.diverse else k
        near = self._ranked(request, *self._nearest(request, pool), pool)
        hits = self._with_words(near, request, words, pool) if options.hybrid else [*near.values()]
        if options.diverse:
            scores = -np.arange(len(hits), dtype=float) if options.hybrid else np.array([hit.score for hit in hits])
            vectors = self._store.vectors(self._store.items.keys_of([hit.id for hit in hits]))
            hits = [hits[place] for place in diversified(scores, vectors, k, options.diverse)]
        return [replace(hit, rank=rank) for rank, hit in enumerate(hits[:k], start=1)]

    def _allowed(self, where: str) -> np.ndarray:
        """Keys of the items that fulfil the expression, ascending; found once for a batch of queries."""
        from vdistill.query.filters import OWN, matching_keys

        found = self._filtered.pop(where, None)
        if found is None:
            found = self._store.items.filter(lambda items: matching_keys(items, where, self._limits or OWN))
        self._filtered[where] = found
        if len(self._filtered) > _FILTERS:
            with contextlib.suppress(KeyError):  # another thread was faster
                self._filtered.popitem(last=False)
        return found

    def has_filtered(self, where: str) -> bool:
        """Whether the items that fulfil the expression are known already."""
        return where in self._filtered

    def _nearest(self, request: _Request, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Keys and scores of enough allowed items for the `k` nearest results, with all that tie with the last."""
        allowed, store = request.allowed, self._store
        if allowed is not None and len(allowed) <= max(shards.FLAT, k):
            return allowed, self._cosines(allowed, request.vector)
        rough = _ROUGH if store.entry.dtype == "i8" else 1
        wanted = rough * (request.results.images(k) + SPARE)
        while True:
            keys, scores = store.nearest(request.vector, wanted, request.exact)
            passed = np.ones(len(keys), bool) if store.stored == store.entry.count else store.items.live(keys)
            if allowed is not None:
                passed &= np.isin(keys, allowed)
            keys, best = keys[passed], scores[passed]
            held = request.results.covered(keys, k)
            enough = held is not None and len(best) > rough * held and best[held - 1] > best[-1]
            if enough or wanted >= store.stored:
                break
            wanted *= 4
        vector = request.vector
        return keys, self._cosines(keys, vector) if request.exact else store.scores(keys, best, vector)

    def _cosines(self, keys: np.ndarray, vector: np.ndarray) -> np.ndarray:
        return np.asarray((self._store.vectors(keys) * vector).sum(axis=1))

    def _ranked(self, request: _Request, keys: np.ndarray, scores: np.ndarray, k: int) -> dict[int, Hit]:
        """The `k` best results among these items by their scores to six digits, ties by id; not numbered yet.

        Each stands under the number that `Results` gives it.
        """
        scores = scores.round(6)
        if request.min_score is not None:
            keys, scores = keys[scores >= request.min_score], scores[scores >= request.min_score]
        if request.min_fit is not None and request.fits is not None:
            fit = request.fits(scores).round(4) >= request.min_fit
            keys, scores = keys[fit], scores[fit]
        numbers, keys, scores = request.results.leading(keys, scores, k)  # the metadata of the others is not read
        rows, root = self._store.items.rows_of(keys), self._store.entry.catalog
        found = zip(scores.tolist(), keys.tolist(), numbers.tolist(), strict=True)
        best: dict[int, tuple[float, Row]] = {}
        for score, key, number in sorted(found, key=lambda one: (-one[0], rows[one[1]].id)):
            if len(best) < k:
                best.setdefault(number, (score, rows[key]))
        shown = self._store.items.products.shown([row.key for _, row in best.values()])
        hits = {number: _hit(root, row, score, shown.get(row.key)) for number, (score, row) in best.items()}
        if request.fits is None or not hits:
            return hits
        fits = request.fits(np.array([hit.score for hit in hits.values()])).round(4).tolist()
        return {number: replace(hit, fit=fit) for (number, hit), fit in zip(hits.items(), fits, strict=True)}

    def _with_words(self, near: dict[int, Hit], request: _Request, words: str, pool: int) -> list[Hit]:
        """The nearest results together with those whose texts match the words, by reciprocal rank fusion."""
        by_words = request.results.numbers(self._matching(words, pool, request))
        keys = request.results.keys(by_words)
        if request.allowed is not None:
            keys = keys[np.isin(keys, request.allowed)]
        matching = self._ranked(request, keys, self._cosines(keys, request.vector), len(keys))
        hits = {**matching, **near}
        ids = [hits[number].id for number in by_words if number in matching]
        of = {hit.id: hit for hit in hits.values()}
        return [of[id_] for id_ in fused([[hit.id for hit in near.values()], ids])]

    def _matching(self, words: str, count: int, request: _Request) -> np.ndarray:
        """Keys of the allowed items whose texts match the words best, best first: enough for `count` results."""
        items, limit = self._store.items, count
        while True:
            keys = items.matching_words(well_formed(words), limit, request.allowed)
            held = request.results.covered(keys, count)
            if held is not None or len(keys) < limit:
                return keys[:held]
            limit *= 4


def _hit(root: str, row: Row, score: float, product: Product | None) -> Hit:
    name, images = (product.name, product.images) if product else (None, 1)
    return Hit(0, row.id, joined(root, row.path), round(score, 6), json.loads(row.metadata), name, images)
