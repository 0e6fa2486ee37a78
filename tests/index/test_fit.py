"""Fits are made from simulated hits whose acceptance is known, and mean what they say."""

import json

import numpy as np

from vdistill.bundle.fit import FitModel
from vdistill.index.fit import Hits, cross_fitted, fitted, isotonic, reach_of


def simulated(queries=120, hits=20, unanswered=0.3, seed=0):
    rng = np.random.default_rng(seed)
    answered = rng.random(queries) > unanswered
    query = np.repeat(np.arange(queries), hits)
    z = -np.sort(-rng.normal(2, 0.8, (queries, hits)), axis=1).ravel()
    context = np.column_stack([rng.normal(0.1, 0.03, queries), rng.normal(0.07, 0.01, queries)])
    reach = np.where(answered, 1.5, -1.5) + rng.normal(0, 1, queries)
    accepted = np.where(answered[query], 1 / (1 + np.exp(-2 * (z - 2))), 0.0)
    features = np.column_stack([z, context[query], reach[query]])
    return Hits(tuple(f"q{n}" for n in range(queries)), answered, query, features, accepted)


def test_a_cross_fitted_fit_means_what_it_says():
    hits = simulated()
    fit = np.zeros(len(hits.accepted))
    for rows, model in cross_fitted(hits, (0.0,) * 5):
        fit[rows[hits.query]] = model.probabilities(hits.features[rows[hits.query]])
    place = np.minimum((fit * 10).astype(int), 9)
    gaps = [abs(fit[place == n].mean() - hits.accepted[place == n].mean()) * (place == n).mean() for n in set(place)]
    assert sum(gaps) < 0.05
    assert fit[hits.answered[hits.query]].mean() > fit[~hits.answered[hits.query]].mean() + 0.2


def test_hits_of_a_query_keep_their_order():
    hits = simulated()
    model = fitted(hits, (0.0,) * 5)
    for number in range(0, 120, 10):
        assert (np.diff(model.probabilities(hits.features[hits.query == number])) <= 1e-12).all()


def test_too_little_to_tell_is_no_fit():
    assert fitted(simulated(queries=8)) is None
    none_accepted = simulated()
    assert fitted(Hits(none_accepted.queries, none_accepted.answered, none_accepted.query, none_accepted.features,
                       none_accepted.accepted * 0)) is None  # fmt: skip
    blind = simulated()
    assert (
        fitted(Hits(blind.queries, blind.answered, blind.query, blind.features * [-1, 1, 1, 1], blind.accepted)) is None
    )


def test_isotonic_regression_is_the_nearest_rising_curve():
    knots, values = isotonic(np.array([4.0, 1.0, 2.0, 3.0]), np.array([1.0, 0.0, 0.6, 0.4]))
    assert (knots.tolist(), values.tolist()) == ([1.0, 2.5, 4.0], [0.0, 0.5, 1.0])


def test_reach_tells_kinds_of_queries_apart():
    rng = np.random.default_rng(0)
    inside, titles, outside = (rng.normal(middle, 0.5, (40, 8)) for middle in (1, 0.8, -1))
    weights = np.array(reach_of(inside, titles, outside))
    logits = [float((kind @ weights[:-1] + weights[-1]).mean()) for kind in (inside, titles, outside)]
    assert min(logits[:2]) > 1 > -1 > logits[2]
    assert reach_of(inside, titles, outside[:19]) == ()


def test_a_fit_survives_its_manifest():
    model = fitted(simulated(), (0.5,) * 9)
    read = FitModel.of_json(json.loads(json.dumps(model.to_json())))
    rows = simulated(seed=1).features
    assert np.array_equal(read.probabilities(rows), model.probabilities(rows))
