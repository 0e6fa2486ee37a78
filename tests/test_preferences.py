"""The fit finds the utilities and the slot bias that made the answers."""

import numpy as np
import pytest

from vdistill.preferences import fit
from vdistill.records import Answer, Judgment


def chooser(rng, utilities, bias, size, soft=True, noise=0.0):
    """A simulated forced choice among `size` random items."""
    shown = rng.choice(len(utilities), size, replace=False)
    logits = utilities[shown] + bias + rng.normal(0, noise, size) if noise else utilities[shown] + bias
    p = np.exp(logits - logits.max())
    p /= p.sum()
    if not soft:
        p = np.eye(size)[rng.choice(size, p=p)]
    return Judgment("q", tuple(f"{i:03}" for i in shown), ("",) * size, "best", Answer(tuple(p)), "t", "train")


def ranker(rng, utilities, size):
    shown = rng.choice(len(utilities), size, replace=False)
    order = np.argsort(-(utilities[shown] + rng.gumbel(size=size)))
    return Judgment("q", tuple(f"{i:03}" for i in shown), ("",) * size, "rank",
                    Answer(order=tuple(map(int, order))), "t", "train")  # fmt: skip


def test_soft_choices_give_back_utilities_and_bias():
    rng = np.random.default_rng(0)
    utilities, bias = rng.normal(0, 2, 30), np.array([0.8, 0, 0, 0])
    fitted = fit([chooser(rng, utilities, bias, 4) for _ in range(400)])
    found = fitted.of("q")
    assert np.corrcoef(found.mean, utilities)[0, 1] > 0.995
    assert fitted.bias["t", 4][0] - fitted.bias["t", 4][1:].mean() == pytest.approx(0.8, abs=0.1)


def test_hard_choices_need_more_but_get_there():
    rng = np.random.default_rng(1)
    utilities = rng.normal(0, 2, 20)
    found = fit([chooser(rng, utilities, 0.0, 4, soft=False) for _ in range(1500)]).of("q")
    assert np.corrcoef(found.mean, utilities)[0, 1] > 0.97


def test_rankings_are_plackett_luce():
    rng = np.random.default_rng(2)
    utilities = rng.normal(0, 2, 20)
    found = fit([ranker(rng, utilities, 5) for _ in range(300)]).of("q")
    assert np.corrcoef(found.mean, utilities)[0, 1] > 0.97


def test_standard_errors_cover_the_truth():
    rng = np.random.default_rng(3)
    inside = []
    for _ in range(30):
        utilities = rng.normal(0, np.sqrt(6), 10)
        utilities -= utilities.mean()
        found = fit([chooser(rng, utilities, 0.0, 2, soft=False) for _ in range(200)]).of("q")
        error = found.mean - found.mean.mean() - utilities
        inside += list(np.abs(error) < 1.96 * found.stderr)
    assert 0.88 < np.mean(inside) <= 1.0


def test_more_answers_mean_smaller_standard_errors():
    rng = np.random.default_rng(4)
    utilities = rng.normal(0, 1, 10)
    few = fit([chooser(rng, utilities, 0.0, 3, soft=False) for _ in range(30)]).of("q")
    many = fit([chooser(rng, utilities, 0.0, 3, soft=False) for _ in range(600)]).of("q")
    assert many.stderr.mean() < 0.6 * few.stderr.mean()


def test_the_probability_that_one_wins_follows_from_the_utilities():
    rng = np.random.default_rng(5)
    wins = fit([chooser(rng, np.array([2.0, 0.0, -2.0]), 0.0, 2) for _ in range(300)]).of("q").wins()
    assert wins[0, 2] > wins[0, 1] > 0.5
    assert wins + wins.T == pytest.approx(np.ones((3, 3)))


def test_queries_do_not_touch_each_other():
    a = Judgment("a", ("x", "y"), ("", ""), "best", Answer((0.9, 0.1)), "t", "train")
    b = Judgment("b", ("x", "y"), ("", ""), "best", Answer((0.1, 0.9)), "t", "train")
    fitted = fit([a, b])
    assert fitted.of("a").mean[0] > fitted.of("a").mean[1]
    assert fitted.of("b").mean[0] < fitted.of("b").mean[1]


def test_calls_of_different_sizes_have_their_own_bias():
    rng = np.random.default_rng(6)
    utilities = rng.normal(0, 1, 20)
    mixed = [chooser(rng, utilities, np.array([1.0, 0.0]), 2) for _ in range(200)]
    mixed += [chooser(rng, utilities, np.array([0.0, 0.0, 1.0]), 3) for _ in range(200)]
    bias = fit(mixed).bias
    assert bias["t", 2].argmax() == 0
    assert bias["t", 3].argmax() == 2
