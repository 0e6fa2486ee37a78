"""The metrics: against trec_eval where it has them, by hand and by their properties where not."""

from __future__ import annotations

import time
import warnings

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kendalltau

from vdistill.evaluation import metrics
from vdistill.evaluation.metrics import (
    agreement,
    gap_closed,
    gap_interval,
    interval,
    literal_recall,
    ndcg,
    percentile_rank,
    recall,
)

rankings = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4)), min_size=1, max_size=60)


def trec_eval(scores, gains):
    """nDCG@10 and recall@10 by trec_eval, which puts tied documents in descending order of their names."""
    names = [f"{len(scores) - place:05d}" for place in range(len(scores))]
    judge = pytrec_eval.RelevanceEvaluator(
        {"q": dict(zip(names, map(int, gains), strict=True))}, {"ndcg_cut.10", "recall.10"}
    )
    found = judge.evaluate({"q": dict(zip(names, map(float, scores), strict=True))})["q"]
    return found["ndcg_cut_10"], found["recall_10"]


@settings(max_examples=500)
@given(rankings)
def test_ndcg_and_recall_are_those_of_trec_eval_ties_included(pairs):
    scores, gains = np.array(pairs, float).T
    if not gains.any():
        assert np.isnan(ndcg(scores, gains))
        assert np.isnan(recall(scores, gains))
        return
    assert (ndcg(scores, gains), recall(scores, gains)) == pytest.approx(trec_eval(scores, gains), abs=1e-9)


def test_a_thousand_random_rankings_agree_with_trec_eval():
    rng = np.random.default_rng(0)
    for _ in range(1000):
        count = int(rng.integers(2, 300))
        scores = rng.integers(0, rng.integers(2, 500), count).astype(float)
        gains = rng.integers(0, 5, count) * (rng.random(count) < 0.2)
        if gains.any():
            assert (ndcg(scores, gains), recall(scores, gains)) == pytest.approx(trec_eval(scores, gains), abs=1e-9)


@settings(max_examples=200)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=50), st.integers(1, 60))
def test_top_is_the_beginning_of_a_stable_sort(values, k):
    scores = np.array(values, float)
    assert metrics.top(scores, k).tolist() == np.argsort(-scores, kind="stable")[:k].tolist()


@pytest.mark.parametrize(
    ("scores", "utilities", "expected"),
    [
        ([0.9, 0.5, 0.1], [3, 2, 1], 1.0),  # the winner first of three
        ([0.5, 0.9, 0.1], [3, 2, 1], 0.5),
        ([0.1, 0.5, 0.9], [3, 2, 1], 0.0),
        ([0.9, 0.5, 0.4, 0.3, 0.1], [1, 0, 1, 0, 0], 0.75),  # two winners, on ranks 1 and 3
        ([0.5, 0.5, 0.5], [0, 1, 0], 0.5),  # a tie: the earlier candidate stands higher
    ],
)
def test_percentile_rank_by_hand(scores, utilities, expected):
    assert percentile_rank(np.array(scores), np.array(utilities, float)) == pytest.approx(expected)


def test_percentile_rank_of_many_winners_counts_like_that_of_few():
    rng = np.random.default_rng(1)
    scores, utilities = rng.integers(0, 9, 40).astype(float), np.r_[np.ones(20), np.zeros(20)]
    ranks = np.argsort(np.argsort(-scores, kind="stable")) + 1
    assert percentile_rank(scores, utilities) == pytest.approx(np.mean((40 - ranks[:20]) / 39))


def test_percentile_rank_needs_two_candidates():
    assert np.isnan(percentile_rank(np.array([1.0]), np.array([1.0])))


@pytest.mark.parametrize(
    ("scores", "utilities", "expected"),
    [
        ([3, 2, 1], [30, 20, 10], 1.0),
        ([1, 2, 3], [30, 20, 10], 0.0),
        ([2, 2, 1], [30, 20, 10], 2.5 / 3),  # one tie of the model counts a half
        ([3, 1, 2], [1, 0, 0], 1.0),  # the pair that the teacher does not tell apart does not count
        ([5, 5, 5], [1, 2, 3], 0.5),
    ],
)
def test_pairwise_accuracy_by_hand(scores, utilities, expected):
    assert agreement(np.array(scores, float), np.array(utilities, float)).pairwise == pytest.approx(expected)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=2, max_size=30))
def test_agreement_is_a_count_over_pairs(pairs):
    scores, utilities = np.array(pairs, float).T
    model, teacher = (np.sign(np.subtract.outer(values, values))[np.triu_indices(len(pairs), 1)] for values in
                      (scores, utilities))  # fmt: skip
    told = teacher != 0
    found = agreement(scores, utilities)
    if not told.any():
        assert np.isnan(found.tau)
        assert np.isnan(found.pairwise)
        return
    assert found.pairwise == pytest.approx(((model * teacher)[told] + 1).mean() / 2)
    if model.any():
        assert found.tau == pytest.approx(kendalltau(scores, utilities).statistic)
    else:
        assert found.tau == 0


@settings(max_examples=100)
@given(st.lists(st.floats(-9, 9), min_size=2, max_size=40, unique=True))
def test_a_perfect_ranking_is_one_everywhere_and_a_reversed_one_the_opposite(utilities):
    utilities = np.array(utilities)
    assert ndcg(utilities, utilities - utilities.min()) == pytest.approx(1)
    assert percentile_rank(utilities, utilities) == 1
    assert percentile_rank(-utilities, utilities) == 0
    assert (agreement(utilities, utilities).tau, agreement(-utilities, utilities).tau) == pytest.approx((1, -1))
    assert (agreement(utilities, utilities).pairwise, agreement(-utilities, utilities).pairwise) == pytest.approx(
        (1, 0)
    )


def test_literal_recall_asks_for_no_more_than_fits():
    scores = np.arange(30, 0, -1.0)
    assert literal_recall(scores, np.array([0]), 1) == 1
    assert literal_recall(scores, np.array([1]), 1) == 0
    assert literal_recall(scores, np.array([1, 25])) == 0.5
    assert literal_recall(scores, np.arange(20)) == 1  # 20 bear the title, ten can be found


def test_gap_closed_is_the_share_of_the_way_to_the_teacher():
    backbone, student, teacher = np.array([0.2, 0.4, 0.0]), np.array([0.5, 0.6, 0.0]), np.array([0.8, 1.0, np.nan])
    assert gap_closed(student, backbone, teacher) == pytest.approx(0.25 / 0.6)
    assert np.isnan(gap_closed(student, teacher, backbone))  # no gap to close
    assert np.isnan(gap_closed(student, backbone, np.full(3, np.nan)))


def test_interval_holds_the_mean_and_is_the_same_for_the_same_seed():
    values = np.random.default_rng(2).random(80)
    first = interval(values, seed=3)
    assert first.low < values.mean() < first.high
    assert first == interval(values, seed=3) != interval(values, seed=4)
    assert first == interval(np.r_[values, np.nan], seed=3)


def test_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(5)
    hits = 0
    for seed in range(200):
        found = interval(rng.beta(2, 1, 80), seed)
        hits += found.low <= 2 / 3 <= found.high
    assert 0.90 <= hits / 200 <= 0.99


def test_gap_interval_holds_the_gap_and_is_none_where_there_is_none():
    rng = np.random.default_rng(6)
    backbone = rng.random(60) * 0.3
    student, teacher = backbone + rng.random(60) * 0.4, np.ones(60)
    found = gap_interval(student, backbone, teacher)
    assert found.low < gap_closed(student, backbone, teacher) < found.high
    assert gap_interval(student, teacher, backbone) is None
    assert gap_interval(student[:1], backbone[:1], teacher[:1]) is None


@pytest.mark.parametrize("values", [[], [0.5], [np.nan], [0.5, np.nan]])
def test_too_few_values_have_no_interval(values):
    assert interval(np.array(values)) is None


@pytest.mark.parametrize("values", [[1, 1], [0, 0, 0, 0], [0, 1], [1, 1, 1, 1, 1, 1, 1, 0], [0.5, 0.5 + 1e-16, 0.5]])
def test_degenerate_values_neither_warn_nor_crash(values):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = interval(np.array(values, float))
    assert min(values) <= found.low <= found.high <= max(values)


def test_time_grows_with_the_candidates_and_not_with_their_pairs():
    rng = np.random.default_rng(0)
    scores, gains = rng.normal(size=100_000).astype(np.float32), np.zeros(100_000)
    gains[:30] = np.arange(30)

    def seconds(count):
        """Of this process, so that other programs make no difference."""
        began = time.process_time()
        for _ in range(3):
            ndcg(scores[:count], gains[:count])
            percentile_rank(scores[:count], gains[:count])
            agreement(scores[:count], gains[:count])
        return time.process_time() - began

    seconds(1000)  # what is imported at first use
    assert seconds(100_000) < 2.0, "all pairs of 100,000 are 5,000,000,000"


# Head figures


def test_reciprocal_rank_is_that_of_trec_eval():
    import pytrec_eval

    rng = np.random.default_rng(5)
    for _ in range(200):
        count = int(rng.integers(2, 30))
        gains, scores = rng.integers(0, 3, count), rng.integers(0, 6, count) / 4
        if not gains.any():
            assert np.isnan(metrics.reciprocal_rank(scores, gains))
            continue
        names = [f"{place:03}" for place in range(count)]
        # trec_eval puts the later name first among equal scores; ours puts the earlier one
        run = {name: float(score) for name, score in zip(reversed(names), scores, strict=True)}
        qrels = {name: int(gain) for name, gain in zip(reversed(names), gains, strict=True)}
        found = pytrec_eval.RelevanceEvaluator({"q": qrels}, {"recip_rank"}).evaluate({"q": run})
        assert metrics.reciprocal_rank(scores, gains) == pytest.approx(found["q"]["recip_rank"], abs=1e-9)


def test_the_winner_is_within_the_head_or_not():
    scores, utilities = np.array([5.0, 4, 3, 2, 1]), np.array([0.0, 0, 9, 0, 0])
    assert [metrics.winner_at(scores, utilities, k) for k in (1, 2, 3, 5)] == [0, 0, 1, 1]
    assert metrics.winner_at(scores, np.array([9.0, 0, 0, 0, 9]), 2) == 0.5


def test_p_values_tell_a_difference_from_chance():
    rng = np.random.default_rng(0)
    assert metrics.p_value(rng.normal(0.5, 1, 100)) < 0.01
    assert metrics.p_value(np.zeros(10)) == 1.0
    assert metrics.p_value(np.array([0.3, np.nan])) is None
    found = [metrics.p_value(rng.normal(0, 1, 20), seed) for seed in range(60)]
    assert 0.2 < np.mean(np.array(found) < 0.5) < 0.8


def test_tables_begin_with_the_head_of_the_ranking_and_its_winner():
    assert list(metrics.METRICS)[:5] == ["ndcg@10", "recall@10", "mrr", "mpr", "winner@5"], "as docs/bench.md has it"
