"""The items of an index that fit a vector best: filtered, scored, and ranked."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vdistill.bundle import shards
from vdistill.bundle.store import Store
from vdistill.errors import VdistillError
from vdistill.inputs.lines import well_formed
from vdistill.query.ranking import diversified, fused
from vdistill.records import Hit

_SPARE = 16  # fetched beyond k, so that ties at the end are ordered by id too
_ROUGH = 4  # times as many are fetched where i8 finds them, then scored by the more precise vectors beside it
_POOL, _LEAST = 5, 100  # candidates where a later step decides the order: so many times k, and at least so many


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """What hits must fulfil, and how they are ranked; explained at `Searcher.search`."""

    where: str | None = None
    exact: bool = False
    hybrid: bool = False
    min_score: float | None = None
    diverse: float = 0.0


@dataclass(frozen=True)
class _Request:
    """vector: (dim,).  allowed: keys of the items that fulfil the filter, None without one."""

    vector: np.ndarray
    allowed: np.ndarray | None
    exact: bool
    min_score: float | None


class Retriever:
    """Finds items in an open index. May be shared between threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._filtered: tuple[str, np.ndarray] | None = None  # the last expression, and the keys that fulfil it

    def hits(self, vector: np.ndarray, k: int, options: SearchOptions, words: str) -> list[Hit]:
        """The `k` best items for a unit vector (dim,), best first; `words` are what a hybrid search looks for."""
        vector = self._checked(vector, k, options.diverse)
        allowed = None if options.where is None else self._allowed(options.where)
        request = _Request(vector, allowed, options.exact, options.min_score)
        pool = max(_POOL * k, _LEAST) if options.hybrid or options.diverse else k
        hits = self._ranked(request, *self._nearest(request, pool), pool)
        if options.hybrid:
            hits = self._with_words(hits, request, words, pool)
        if options.diverse:
            scores = -np.arange(len(hits), dtype=float) if options.hybrid else np.array([hit.score for hit in hits])
            vectors = self._store.vectors(self._store.items.keys_of([hit.id for hit in hits]))
            hits = [hits[place] for place in diversified(scores, vectors, k, options.diverse)]
        return [replace(hit, rank=rank) for rank, hit in enumerate(hits[:k], start=1)]

    def _checked(self, vector: np.ndarray, k: int, diverse: float) -> np.ndarray:
        dim = self._store.entry.dim
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

    def _allowed(self, where: str) -> np.ndarray:
        """Keys of the items that fulfil the expression, ascending; found once for a batch of queries."""
        from vdistill.query.filters import matching_keys

        last = self._filtered
        if last is None or last[0] != where:
            last = self._filtered = (where, self._store.items.use(lambda items: matching_keys(items, where)))
        return last[1]

    def _nearest(self, request: _Request, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Keys and scores of at least the `k` nearest allowed items, with all that tie with the last of them."""
        allowed, store = request.allowed, self._store
        if allowed is not None and len(allowed) <= max(shards.FLAT, k):
            return allowed, self._cosines(allowed, request.vector)
        rough = _ROUGH if store.entry.dtype == "i8" else 1
        wanted = rough * (k + _SPARE)
        while True:
            keys, scores = store.nearest(request.vector, wanted, request.exact)
            passed = np.ones(len(keys), bool) if store.stored == store.entry.count else store.items.live(keys)
            if allowed is not None:
                passed &= np.isin(keys, allowed)
            keys, best = keys[passed], scores[passed]
            enough = len(best) > rough * k and best[k - 1] > best[-1]
            if enough or wanted >= store.stored:
                break
            wanted *= 4
        vector = request.vector
        return keys, self._cosines(keys, vector) if request.exact else store.scores(keys, best, vector)

    def _cosines(self, keys: np.ndarray, vector: np.ndarray) -> np.ndarray:
        return np.asarray((self._store.vectors(keys) * vector).sum(axis=1))

    def _ranked(self, request: _Request, keys: np.ndarray, scores: np.ndarray, k: int) -> list[Hit]:
        """The `k` best of these items by their scores to six digits, ties by id; not numbered yet."""
        scores = scores.round(6)
        if request.min_score is not None:
            keys, scores = keys[scores >= request.min_score], scores[scores >= request.min_score]
        if len(keys) > k:  # the metadata of the others need not be read
            last = np.partition(scores, len(scores) - k)[len(scores) - k]
            keys, scores = keys[scores >= last], scores[scores >= last]
        rows, root = self._store.items.rows_of(keys), Path(self._store.entry.catalog)
        scored = [(score, rows[key]) for score, key in zip(scores.tolist(), keys.tolist(), strict=True)]
        scored.sort(key=lambda one: (-one[0], one[1].id))
        return [Hit(0, row.id, root / row.path, round(score, 6), json.loads(row.metadata)) for score, row in scored[:k]]

    def _with_words(self, near: list[Hit], request: _Request, words: str, pool: int) -> list[Hit]:
        """The nearest items together with those whose texts match the words, by reciprocal rank fusion."""
        items = self._store.items
        keys = items.matching_words(well_formed(words), pool, request.allowed)
        matching = {hit.id: hit for hit in self._ranked(request, keys, self._cosines(keys, request.vector), len(keys))}
        rows = items.rows_of(keys)
        by_words = [id_ for key in keys.tolist() if (id_ := rows[key].id) in matching]
        hits = {**matching, **{hit.id: hit for hit in near}}
        return [hits[id_] for id_ in fused([[hit.id for hit in near], by_words])]
