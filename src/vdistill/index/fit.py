"""Makes the fit of an index (`bundle/fit.py`) from held-out judgments: what the teacher accepts, and what it does not.

Reach is learnt from the training side: from queries that the catalog answers and its titles on the one hand, from
queries that it does not answer on the other. All else is fitted to held-out queries and items, the first hits of each
query, so that the student's scores are as they will be on queries that it was not taught.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vdistill.arrays import Floats, Ints, sigmoid
from vdistill.bundle.fit import FEATURES, Context, FitModel

HITS = 20  # of a query that are learnt from: those that are shown, and some more
LEAST_QUERIES, LEAST_MASS = 10, 5.0  # held out: with fewer queries, or hits of one kind, there is nothing to fit
ISOTONIC = (30, 400)  # queries and hits from which on there is enough to see the shape of the curve
LEAST_KIND = 5  # held-out queries that are answered, and that are not: with fewer of a kind, they are not told apart
LEAST_UNANSWERED = 20  # training queries; with fewer there is no reach
FOLDS = 10
_RIDGE, _RIDGE_REACH = 1.0, 0.3
_STEPS = 60


@dataclass(frozen=True)
class Hits:
    """Hits of held-out queries: of which query (m,), their features (m, 4), and the probability that the judge accepts.

    queries: (q,) texts.  answered: (q,) whether the judge accepts anything.
    """

    queries: tuple[str, ...]
    answered: np.ndarray
    query: Ints
    features: Floats
    accepted: Floats

    def of(self, chosen: np.ndarray) -> Hits:
        """The hits of these queries (q,), by their numbers as they are."""
        rows = chosen[self.query]
        return replace(self, query=self.query[rows], features=self.features[rows], accepted=self.accepted[rows])


def hits_of(
    known: Mapping[str, Mapping[str, float]],
    unanswered: Sequence[str],
    vectors: Mapping[str, np.ndarray],
    items: tuple[Sequence[str], np.ndarray],
    context: Callable[[np.ndarray], Context],
) -> Hits:
    """The first hits of each query among the items that were judged for it.

    known: by query and item the probability that the judge accepts it.  unanswered: queries of which it accepts nothing
    at all.  vectors: of all these queries.  items: ids (n) and vectors (n, dim).
    """
    ids, matrix = items
    place = {item: row for row, item in enumerate(ids)}
    judged = {text: {item: chance for item, chance in of.items() if item in place} for text, of in known.items()}
    judged |= {text: dict.fromkeys(ids, 0.0) for text in unanswered}
    judged = {text: of for text, of in judged.items() if of}
    query, features, accepted = [np.zeros(0, np.int64)], [np.zeros((0, len(FEATURES)))], [np.zeros(0)]
    for number, (text, of) in enumerate(judged.items()):
        rows, chances = np.array([place[item] for item in of]), np.array([*of.values()])
        scores = (matrix[rows] @ vectors[text]).astype(np.float64)
        first = np.argsort(-scores, kind="stable")[:HITS]
        query.append(np.full(len(first), number))
        features.append(context(vectors[text]).features(scores[first]))
        accepted.append(chances[first])
    answered = np.array([max(of.values()) > 0.5 for of in judged.values()], bool)
    return Hits(tuple(judged), answered, np.concatenate(query), np.concatenate(features), np.concatenate(accepted))


def fitted(hits: Hits, reach: tuple[float, ...] = ()) -> FitModel | None:
    """The fit by these hits; None where they are too few to tell, or the scores tell nothing."""
    asked, total = np.unique(hits.query), len(hits.accepted)
    if len(asked) < LEAST_QUERIES or min(hits.accepted.sum(), (1 - hits.accepted).sum()) < LEAST_MASS:
        return None
    answered, of_hit = hits.answered[asked], np.ones(total, bool)
    whether: tuple[float, ...] = ()
    if reach and min(answered.sum(), (~answered).sum()) >= LEAST_KIND:
        first = np.searchsorted(hits.query, asked)  # a query's hits lie next to each other, and have one reach
        whether = _regression(hits.features[first, -1:], answered.astype(np.float64))
        of_hit = hits.answered[hits.query]
    weights = _regression(hits.features[of_hit, :-1], hits.accepted[of_hit])
    if weights[0] <= 0:
        return None
    model = FitModel(reach, weights, whether)
    if len(asked) < ISOTONIC[0] or total < ISOTONIC[1]:
        return model
    products, values = isotonic(model.product(hits.features), hits.accepted)
    return replace(model, products=tuple(products.tolist()), values=tuple(values.tolist()))


def _regression(features: Floats, target: Floats) -> tuple[float, ...]:
    """(d + 1) weights and offset of `logistic`, which sees the features (n, d) at one scale."""
    middle, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 1e-9, scale, np.inf)
    found = logistic((features - middle) / scale, target, np.ones(len(target)), _RIDGE)
    weights = found[:-1] / scale
    return (*weights.tolist(), float(found[-1] - weights @ middle))


def cross_fitted(
    hits: Hits, reach: tuple[float, ...] = (), seed: int = 0, folds: int = FOLDS
) -> list[tuple[np.ndarray, FitModel]]:
    """(q,) which queries, and a model that was fitted to the others; for each part of the queries.

    Answered and unanswered ones are spread evenly. Empty where the others are too few.
    """
    part = np.zeros(len(hits.queries), np.int64)
    for kind in (True, False):
        rows = np.flatnonzero(hits.answered == kind)
        part[np.random.default_rng([seed, kind]).permutation(rows)] = np.arange(len(rows)) % folds
    models = [(part == fold, fitted(hits.of(part != fold), reach)) for fold in range(folds) if (part == fold).any()]
    return [(rows, model) for rows, model in models if model is not None]


def reach_of(answered: Floats, titles: Floats, unanswered: Floats) -> tuple[float, ...]:
    """Weights (dim + 1) that tell vectors of what is answered, queries (a, dim) and titles (t, dim), from others.

    unanswered: (u, dim) these; empty where they are too few. Queries and titles together weigh as much.
    """
    kinds = [(kind, 1.0) for kind in (answered, titles) if len(kind)]
    if len(unanswered) < LEAST_UNANSWERED or not kinds:
        return ()
    parts = [*((kind, 1.0, len(unanswered) / len(kind) / len(kinds)) for kind, _ in kinds), (unanswered, 0.0, 1.0)]
    features = np.concatenate([kind for kind, _, _ in parts]).astype(np.float64)
    target = np.concatenate([np.full(len(kind), value) for kind, value, _ in parts])
    weight = np.concatenate([np.full(len(kind), value) for kind, _, value in parts])
    return tuple(logistic(features, target, weight, _RIDGE_REACH).tolist())


def logistic(features: Floats, target: Floats, weight: Floats, ridge: float) -> Floats:
    """(d + 1,) weights and offset of a logistic regression with a quadratic penalty, by Newton's method.

    features: (n, d).  target: (n,) probabilities.  weight: (n,).
    """
    rows = np.column_stack([features, np.ones(len(features))])
    found, penalty = np.zeros(rows.shape[1]), np.full(rows.shape[1], ridge)
    penalty[-1] = 1e-6
    for _ in range(_STEPS):
        chance = sigmoid(rows @ found)
        slope = rows.T @ (weight * (chance - target)) + penalty * found
        curvature = (rows * (weight * chance * (1 - chance))[:, None]).T @ rows + np.diag(penalty)
        step = np.linalg.solve(curvature, slope)
        found = found - step * min(1.0, 4.0 / max(float(np.abs(step).max()), 1e-9))
        if np.abs(step).max() < 1e-7:
            break
    return np.asarray(found)


def isotonic(values: Floats, target: Floats) -> tuple[Floats, Floats]:
    """(k,), (k,) the rising curve nearest to `target`: the middle of each step.

    Between them it is a straight line, so that no two scores of a query become the same fit.
    """
    from scipy.optimize import isotonic_regression

    order = np.argsort(values, kind="stable")
    steps = isotonic_regression(target[order])
    starts, sizes = steps.blocks[:-1], np.diff(steps.blocks)
    return np.add.reduceat(values[order], starts) / sizes, np.asarray(steps.x[starts])


def first_by_hash(texts: Sequence[str], most: int) -> list[str]:
    """At most so many of the texts, each once, in the order of their hashes."""
    return sorted(dict.fromkeys(texts), key=lambda text: hashlib.sha256(text.encode()).digest())[:most]


def digest(*parts: object) -> str:
    """A hash of what a fit is made from."""
    return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:32]
