"""How far the fit of hits can be trusted, and how often it shows something where nothing fits.

Held-out judgments are what a fit is made from, so none of them is measured with a fit that knows it: the queries are
dealt into ten parts, and each part is measured by a fit that was made from the other nine (cross-fitting). What nothing
in the catalog answers by a file of the user was never used, and is measured by the fit of the index itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vdistill.arrays import Floats
from vdistill.bundle.fit import FitModel
from vdistill.database import Database
from vdistill.evaluation import accepted
from vdistill.evaluation.metrics import Interval
from vdistill.index.fit import Hits, cross_fitted, hits_of
from vdistill.inputs.sides import Sides
from vdistill.query.search import Searcher, SearchOptions

SHOWN = 10  # hits of a query that are measured: a page of results
BINS = 10
LOST = 0.05  # of the queries with an answer; at the threshold that loses so many, false hits are counted too
_DRAWS = 1000
_THRESHOLDS = tuple(round(0.02 * step, 2) for step in range(1, 50))


@dataclass(frozen=True, slots=True)
class Bin:
    """Hits whose fit lies from `low` to `high`: how many, their mean fit, and the mean that the judge accepts."""

    low: float
    high: float
    hits: int
    fit: float
    accepted: float


@dataclass(frozen=True, slots=True)
class Share:
    """Of some queries the share of which a thing is true, with its 95 % interval over the queries."""

    share: float
    ci95: Interval | None
    queries: int


@dataclass(frozen=True, slots=True)
class Separation:
    """At one `min_fit`: of the queries that something answers, those that get no hit; of the others, those that do.

    unseen: of those from the user's file; None without.
    """

    min_fit: float
    lost: Share
    false_hits: Share | None
    unseen: Share | None


@dataclass(frozen=True)
class FitReport:
    """The fit of a model's hits.

    model: of whose index.  judge: whose judgments.  queries, hits: that calibration is measured on.
    ece: the expected calibration error over `BINS` of equal width, and of answered queries alone.
    at: at the `min_fit` asked for.  at_lost: at the highest one that loses no more than `LOST`.  curve: at many.
    shown_for: unanswered queries with the fit of their best hit, the highest first.
    """

    model: str
    judge: str
    queries: int
    hits: int
    ece: float
    ece_ci95: Interval | None
    ece_answered: float
    bins: tuple[Bin, ...]
    at: Separation
    at_lost: Separation
    curve: tuple[Separation, ...]
    shown_for: tuple[tuple[str, float], ...]

    def to_json(self) -> dict[str, Any]:
        """For `bench --json`."""
        return asdict(self)


@dataclass(frozen=True)
class _Best:
    """The fit of the best hit in the whole catalog, of answered, unanswered and unseen queries, by text."""

    answered: Mapping[str, float]
    unanswered: Mapping[str, float]
    unseen: Mapping[str, float]


def measure(
    searcher: Searcher,
    database: Database,
    known: tuple[Mapping[str, str], Sides],
    *,
    judge: str | None = None,
    unseen: Sequence[str] = (),
    min_fit: float = 0.5,
    seed: int = 0,
) -> FitReport | None:
    """Measure the fit of an index; None where it has none.

    known: the hashes of its images, by item, and the sides.  judge: as `admissible` takes it.
    unseen: queries that nothing answers and that the fit does not know.
    """
    model = searcher.fit
    if model is None:
        return None
    said = accepted.held_out(database, *known, judge)
    hits, vectors = _hits(searcher, said, model)
    parts = cross_fitted(hits, model.reach, seed)
    if not parts:
        return None
    fit = np.full(len(hits.accepted), np.nan)
    best = {}
    for queries, of_others in parts:
        rows = queries[hits.query]
        fit[rows] = of_others.probabilities(hits.features[rows])
        for number in np.flatnonzero(queries):
            text = hits.queries[number]
            best[text] = _best_fit(searcher, of_others, vectors[text])
    others = [text for text in dict.fromkeys(unseen) if text not in best]
    found = _Best(
        _of(best, hits.queries, hits.answered),
        _of(best, hits.queries, ~hits.answered),
        {text: _best_fit(searcher, model, one) for text, one in zip(others, searcher.encode(others), strict=True)},
    )
    judged_by = said.judge.teacher if said.judge else ""
    return _report((searcher.model, judged_by), hits, fit, found, min_fit, seed)


def _hits(searcher: Searcher, said: accepted.HeldOutAcceptance, model: FitModel) -> tuple[Hits, dict[str, np.ndarray]]:
    texts = [*said.known, *said.unanswered]
    vectors = dict(zip(texts, searcher.encode(texts), strict=True))
    there = searcher.store.items.known(sorted({item for of in said.known.values() for item in of}))
    ids = sorted(there)
    context = searcher.contexts(model)
    return hits_of(said.known, said.unanswered, vectors, (ids, searcher.vectors(ids)), context), vectors


def _of(best: Mapping[str, float], queries: Sequence[str], chosen: np.ndarray) -> dict[str, float]:
    return {text: best[text] for text, yes in zip(queries, chosen, strict=True) if yes and text in best}


def _best_fit(searcher: Searcher, model: FitModel, vector: np.ndarray) -> float:
    """The fit of the best hit in the catalog: what decides whether anything is shown."""
    hits = searcher.hits(vector, 1, SearchOptions())
    features = searcher.contexts(model)(vector).features(np.array([hit.score for hit in hits]))
    return float(model.probabilities(features)[0]) if hits else 0.0


def _report(of: tuple[str, str], hits: Hits, fit: Floats, best: _Best, min_fit: float, seed: int) -> FitReport:
    """of: the model and the judge."""
    first = np.zeros(len(fit), bool)
    for number in range(len(hits.queries)):  # a query's hits are in order
        first[np.flatnonzero(hits.query == number)[:SHOWN]] = True
    first &= np.isfinite(fit)
    fits, chances, query = fit[first], hits.accepted[first], hits.query[first]
    answered = hits.answered[query]
    shown = {**best.unanswered, **best.unseen}
    return FitReport(
        model=of[0],
        judge=of[1],
        queries=len(np.unique(query)),
        hits=len(fits),
        ece=calibration_error(fits, chances),
        ece_ci95=_ece_interval(fits, chances, query, seed),
        ece_answered=calibration_error(fits[answered], chances[answered]),
        bins=tuple(bins(fits, chances)),
        at=_separation(best, min_fit, seed),
        at_lost=_separation(best, _losing(best), seed),
        curve=tuple(_separation(best, threshold) for threshold in _THRESHOLDS),
        shown_for=tuple(sorted(shown.items(), key=lambda pair: -pair[1])),
    )


def bins(fits: Floats, chances: Floats) -> list[Bin]:
    """The bins that hold any hits."""
    place, found = np.minimum((fits * BINS).astype(int), BINS - 1), []
    for number in np.unique(place):
        here = place == number
        mean = float(fits[here].mean()), float(chances[here].mean())
        found.append(Bin(int(number) / BINS, (int(number) + 1) / BINS, int(here.sum()), *mean))
    return found


def calibration_error(fits: Floats, chances: Floats) -> float:
    """The expected calibration error (Naeini, Cooper and Hauskrecht 2015): fits against what was accepted, by bin."""
    return sum(one.hits * abs(one.fit - one.accepted) for one in bins(fits, chances)) / max(len(fits), 1)


def _ece_interval(fits: Floats, chances: Floats, query: np.ndarray, seed: int) -> Interval | None:
    """The 95 % bootstrap interval over queries; resamples have more error than the whole, on average."""
    rng, numbers = np.random.default_rng(seed), np.unique(query)
    rows = [np.flatnonzero(query == number) for number in numbers]
    if len(rows) < 2:
        return None
    drawn = []
    for _ in range(_DRAWS):
        some = np.concatenate([rows[i] for i in rng.integers(0, len(rows), len(rows))])
        drawn.append(calibration_error(fits[some], chances[some]))
    return Interval(*np.percentile(drawn, [2.5, 97.5]).tolist())


def _losing(best: _Best) -> float:
    """The highest threshold that loses no more than `LOST` of the answered queries."""
    fits = np.sort([*best.answered.values()])
    return float(fits[int(LOST * len(fits))]) if len(fits) else 0.0


def _separation(best: _Best, min_fit: float, seed: int | None = None) -> Separation:
    """seed: of the intervals; None for none."""
    return Separation(
        min_fit,
        _share([fit < min_fit for fit in best.answered.values()], seed),
        _share([fit >= min_fit for fit in best.unanswered.values()], seed) if best.unanswered else None,
        _share([fit >= min_fit for fit in best.unseen.values()], seed) if best.unseen else None,
    )


def _share(values: Sequence[bool], seed: int | None) -> Share:
    found, between = np.array(values, np.float64), None
    if seed is not None and len(found) > 1:
        drawn = np.random.default_rng(seed).choice(found, (_DRAWS, len(found))).mean(axis=1)
        between = Interval(*np.percentile(drawn, [2.5, 97.5]).tolist())
    return Share(float(found.mean()) if len(found) else 0.0, between, len(found))
