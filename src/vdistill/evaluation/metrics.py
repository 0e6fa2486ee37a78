"""Metrics: pure functions over the candidates of one query.

Candidates come in the order of their ids, so that ties in the scores are broken the same way everywhere: the earlier
candidate ranks higher. Gains are ≥ 0; 0 means "not relevant". A score of −∞ means "not retrieved": a search engine
returns no more than it found, and trec_eval gives no credit for the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from vdistill.arrays import Floats, Ints

DEPTH = 10  # how far down a shopper looks
WINNER_DEPTHS = (5, 20, 100)  # how far down the winner is looked for
_ROUNDING = 1e-12
_COUNTED = 64  # candidates whose ranks are counted one by one; of more it is faster to sort all
_RUN = 1024  # scores of which only the highest is looked at first

# All metrics, in the order of tables, each with what it means. Higher is better for all of them.
METRICS = {
    "ndcg@10": "how well the first ten are ranked",
    "recall@10": "share of the relevant images among the first ten",
    "mrr": "reciprocal rank of the first relevant image",
    "mpr": "mean percentile rank of the winner; 1 is first place",
    "winner@5": "queries whose winner is among the first 5",
    "winner@20": "… among the first 20",
    "winner@100": "… among the first 100",
    "kendall_tau": "agreement of the whole ranking, −1 to 1",
    "pairwise_accuracy": "share of pairs ordered as judged",
    "literal_recall@1": "a title finds its own image first: what training must not lose",
    "literal_recall@10": "a title finds its own image among the first ten",
    "gap_closed": "share of the gap between backbone and teacher that the student closes, on nDCG@10",
}
# Those of one query's ranking: `grading` computes them.
OF_RANKINGS = tuple(name for name in METRICS if not name.startswith("literal_") and name != "gap_closed")


@dataclass(frozen=True, slots=True)
class Agreement:
    """How similar two orders are: `tau` in [-1, 1], `pairwise` in [0, 1]."""

    tau: float
    pairwise: float


class Interval(NamedTuple):
    """A confidence interval: a pair, so that JSON shows it as one."""

    low: float
    high: float


def top(scores: Floats, k: int) -> Ints:
    """The indices (≤ k,) of the highest of `scores` (n,), best first, of the retrieved, without sorting them all."""
    if k >= len(scores):
        order = np.argsort(-scores, kind="stable")
        return order[: np.count_nonzero(scores > -np.inf)]
    border = _border(scores, k)
    above = np.flatnonzero(scores > border)
    level = np.flatnonzero(scores == border)[: k - len(above) if border > -np.inf else 0]
    chosen = np.sort(np.concatenate([above, level]))
    return chosen[np.argsort(-scores[chosen], kind="stable")]


def ndcg(scores: Floats, gains: Floats, k: int = DEPTH) -> float:
    """Normalised discounted cumulative gain of the first `k`; linear gains, log2 discount, ideal over the candidates.

    scores: (n,) of the model. gains: (n,). Returns a value in [0, 1]; NaN where nothing is relevant.
    Source: Järvelin & Kekäläinen 2002, as `ndcg_cut` in trec_eval.
    """
    ideal = dcg(gains[top(gains, k)])
    return dcg(gains[top(scores, k)]) / ideal if ideal > 0 else np.nan


def recall(scores: Floats, gains: Floats, k: int = DEPTH) -> float:
    """The share of the relevant candidates that are among the first `k`, as `recall` in trec_eval.

    scores: (n,). gains: (n,). Returns a value in [0, 1]; NaN where nothing is relevant.
    """
    relevant = np.count_nonzero(gains > 0)
    return float(np.count_nonzero(gains[top(scores, k)] > 0) / relevant) if relevant else np.nan


def percentile_rank(scores: Floats, utilities: Floats) -> float:
    """Where the teacher's winner lands: (n − r) / (n − 1) for rank r from 1; several winners are averaged.

    scores: (n,) of the model. utilities: (n,), the highest is the winner. Returns a value in [0, 1], 1 for first place;
    NaN for fewer than two candidates. A winner that was not retrieved has the mean rank of all that were not.
    Source: arXiv 2510.12014, section 4.
    """
    if len(scores) < 2:
        return np.nan
    winners = np.flatnonzero(utilities == utilities.max())
    retrieved = np.count_nonzero(scores > -np.inf)
    ranks = np.where(scores[winners] > -np.inf, _ranks(scores, winners), (retrieved + 1 + len(scores)) / 2)
    return float(np.mean((len(scores) - ranks) / (len(scores) - 1)))


def reciprocal_rank(scores: Floats, gains: Floats) -> float:
    """1 / the rank of the first relevant candidate, as `recip_rank` in trec_eval.

    scores: (n,). gains: (n,). Returns a value in [0, 1]; NaN where nothing is relevant.
    """
    relevant = np.flatnonzero(gains > 0)
    if not len(relevant):
        return np.nan
    best = relevant[np.argmax(scores[relevant])]  # of equal ones the earlier
    if scores[best] == -np.inf:
        return 0.0
    return float(1 / _ranks(scores, best[None])[0])


def winner_at(scores: Floats, utilities: Floats, k: int) -> float:
    """Whether the teacher's winner lands among the first `k`: 1 or 0; of several winners the share that does.

    scores: (n,) of the model. utilities: (n,), the highest is the winner.
    """
    winners = np.flatnonzero(utilities == utilities.max())
    return float(np.mean((_ranks(scores, winners) <= k) & (scores[winners] > -np.inf)))


def agreement(scores: Floats, utilities: Floats) -> Agreement:
    """Kendall's τ-b, and the share of pairs that the teacher tells apart which the model orders alike (its ties: ½).

    scores: (n,) of the model. utilities: (n,), or gains. Both NaN where the teacher tells no pair apart; a model
    that tells none apart has τ 0 and ½.

    Both come from one count. With C concordant and D discordant pairs, P pairs in all, T of them tied in the model and
    U tied for the teacher, τ-b = (C − D) / √((P − T)(P − U)), and the share is ½ + ½ (C − D) / (P − U).
    Source: Kendall 1945; counted in n log n by scipy.
    """
    from scipy.stats import kendalltau

    pairs = len(scores) * (len(scores) - 1) // 2
    by_model, by_teacher = pairs - tied_pairs(scores), pairs - tied_pairs(utilities)
    if by_teacher == 0:
        return Agreement(np.nan, np.nan)
    if by_model == 0:
        return Agreement(0.0, 0.5)
    tau = float(kendalltau(scores, utilities).statistic)
    return Agreement(tau, 0.5 + 0.5 * tau * (by_model / by_teacher) ** 0.5)


def literal_recall(scores: Floats, with_title: Ints, k: int = DEPTH) -> float:
    """Of the items with a title, the share among the first `k` when that title is the query; at most `k` can be found.

    scores: (n,) of the model for the title. with_title: indices of the items with exactly that title, at least one.
    """
    return float(np.isin(top(scores, k), with_title).sum() / min(k, len(with_title)))


def gap_closed(student: Floats, backbone: Floats, teacher: Floats) -> float:
    """(student − backbone) / (teacher − backbone) of the means over the queries that all three have a value for.

    All (q,), NaN where there is none. Returns NaN where the teacher is no better than the backbone.
    """
    middle, low, high = (mean(values) for values in _common(student, backbone, teacher))
    return (middle - low) / (high - low) if high > low else np.nan


def mean(values: Floats) -> float:
    """The mean of the finite values; NaN where there are none."""
    there = values[np.isfinite(values)]
    return float(there.mean()) if len(there) else np.nan


def interval(values: Floats, seed: int = 0) -> Interval | None:
    """The 95 % bootstrap interval (BCa) of the mean of `values` (q,), NaN left out; None for fewer than two.

    For two models on the same queries, give the differences. Source: Efron 1987, by scipy.stats.bootstrap.
    """
    there = values[np.isfinite(values)].astype(np.float64)
    if len(there) < 2:
        return None
    if np.ptp(there) < _ROUNDING:
        return Interval(float(there[0]), float(there[0]))
    found = _bootstrap((there,), np.mean, seed, "BCa")
    # With a few nearly equal values BCa's acceleration can be undefined.
    return found if np.isfinite(found).all() else _bootstrap((there,), np.mean, seed, "percentile")


def p_value(differences: Floats, seed: int = 0) -> float | None:
    """Two-sided p-value that the mean of paired `differences` (q,) is 0, NaN left out; None for fewer than two.

    By flipping their signs at random, 9,999 times (all ways where there are fewer). Source: scipy's permutation_test.
    """
    from scipy.stats import permutation_test

    there = differences[np.isfinite(differences)].astype(np.float64)
    if len(there) < 2:
        return None
    if not np.any(np.abs(there) > _ROUNDING):
        return 1.0
    found = permutation_test((there,), np.mean, permutation_type="samples", vectorized=True, n_resamples=9999,
                             batch=500, rng=np.random.default_rng(seed))  # fmt: skip
    return float(found.pvalue)


def gap_interval(student: Floats, backbone: Floats, teacher: Floats, seed: int = 0) -> Interval | None:
    """The 95 % bootstrap interval (percentile, paired) of `gap_closed`, all (q,).

    None where it is undefined: for fewer than two queries, or if some resamples make the teacher no better than the
    backbone.
    """
    common = _common(student, backbone, teacher)
    if len(common[0]) < 2:
        return None

    def ratio(s: Floats, b: Floats, t: Floats, axis: int) -> Floats:
        gap = t.mean(axis) - b.mean(axis)
        return np.asarray((s.mean(axis) - b.mean(axis)) / np.where(gap > 0, gap, np.nan))

    found = _bootstrap(common, ratio, seed, "percentile")
    return found if np.isfinite(found).all() else None


def _bootstrap(
    data: tuple[Floats, ...], statistic: Callable[..., Floats], seed: int, method: Literal["BCa", "percentile"]
) -> Interval:
    import warnings

    from scipy.stats import bootstrap

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # callers check for degenerate cases
        found = bootstrap(data, statistic, paired=len(data) > 1, vectorized=True, method=method, batch=500,
                          rng=np.random.default_rng(seed)).confidence_interval  # fmt: skip
    return Interval(float(found.low), float(found.high))


def _common(*values: Floats) -> tuple[Floats, ...]:
    """The values (c,) of the queries that all of `values` (q,) have one for."""
    kept = np.isfinite(values).all(axis=0)
    return tuple(one[kept] for one in values)


def dcg(gains: Floats) -> float:
    """The discounted sum of gains (k,), best rank first."""
    return float((gains / np.log2(np.arange(2, len(gains) + 2))).sum())


def _border(scores: Floats, k: int) -> float:
    """The `k`-th highest of `scores` (n,), k ≤ n, looked for among those that reach the k-th highest of all runs."""
    runs = len(scores) // _RUN
    if runs > 4 * k:
        highest = scores[: runs * _RUN].reshape(runs, _RUN).max(axis=1)
        scores = scores[scores >= np.partition(highest, runs - k)[runs - k]]
    return float(np.partition(scores, len(scores) - k)[len(scores) - k])


def _ranks(scores: Floats, rows: Ints) -> Ints:
    """The ranks, from 1, of the candidates at the indices `rows`."""
    if len(rows) > _COUNTED:
        ranks = np.empty(len(scores), np.intp)
        ranks[np.argsort(-scores, kind="stable")] = np.arange(1, len(scores) + 1)
        return ranks[rows]
    above = [np.count_nonzero(scores > scores[row]) + np.count_nonzero(scores[:row] == scores[row]) for row in rows]
    return np.array(above, np.intp) + 1


def tied_pairs(values: Floats) -> int:
    """How many pairs of (n,) values are equal."""
    counts = np.unique(values, return_counts=True)[1]
    return int((counts * (counts - 1) // 2).sum())
