"""The fit finds the utilities and the position bias that made the answers."""

import numpy as np
import pytest

from vdistill.preferences import fit, position_biases
from vdistill.records import Answer, Judgment


def chooser(rng, utilities, bias, size, soft=True, noise=0.0, query="q", teacher="t", temperature=1.0):
    """A simulated forced choice among `size` random items."""
    shown = rng.choice(len(utilities), size, replace=False)
    logits = utilities[shown] + bias + rng.normal(0, noise, size) if noise else utilities[shown] + bias
    p = np.exp((logits - logits.max()) / temperature)
    p /= p.sum()
    if not soft:
        p = np.eye(size)[rng.choice(size, p=p)]
    return Judgment(query, tuple(f"{i:03}" for i in shown), ("",) * size, "best", Answer(tuple(p)), teacher, "train")


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


# A store of several teachers, and of soft and hard answers


def moved(before, after, query="q"):
    """The largest change of a utility, as a share of their spread."""
    (items, old), (same, new) = before.means(query), after.means(query)
    assert items == same
    return np.abs((new - new.mean()) - (old - old.mean())).max() / (old.max() - old.min())


def hard_store(rng, utilities):
    return [chooser(rng, utilities, 0.0, 4, soft=False, query=query) for query in ("q", "other") for _ in range(400)]


@pytest.mark.parametrize("probabilities", [(0.26, 0.25, 0.25, 0.24), (0.97, 0.01, 0.01, 0.01)])
@pytest.mark.parametrize(("query", "teacher"), [("other", "t"), ("other", "another"), ("q", "t"), ("q", "another")])
def test_one_soft_answer_among_hard_ones_moves_nothing(probabilities, query, teacher):
    rng = np.random.default_rng(7)
    hard = hard_store(rng, rng.normal(0, 1.5, 12))
    items = tuple(f"{i:03}" for i in range(4))
    one = Judgment(query, items, ("",) * 4, "best", Answer(probabilities), teacher, "train")
    before, after = fit(hard), fit([*hard, one])
    assert moved(before, after) < 0.05
    assert after.prior == pytest.approx(before.prior, rel=0.05)
    assert (after.of("q").stderr < 1.02 * before.of("q").stderr).all()
    assert (after.of("q").stderr > 0.9 * before.of("q").stderr).all()


@pytest.mark.parametrize("query", ["q", "other"])
def test_one_hard_answer_among_soft_ones_moves_nothing(query):
    rng = np.random.default_rng(8)
    utilities = rng.normal(0, 0.3, 12)
    soft = [chooser(rng, utilities, 0.0, 4, noise=0.05, query=name) for name in ("q", "other") for _ in range(150)]
    one = chooser(rng, utilities, 0.0, 4, soft=False, query=query, teacher="another")
    before, after = fit(soft), fit([*soft, one])
    assert moved(before, after) < 0.05
    assert after.prior == pytest.approx(before.prior, rel=0.05)


@pytest.mark.parametrize("temperature", [0.25, 10.0])
def test_a_teacher_of_another_temperature_is_brought_to_the_scale_of_the_store(temperature):
    rng = np.random.default_rng(9)
    utilities = rng.normal(0, 2, 16)
    ours = [chooser(rng, utilities, 0.0, 4, noise=0.2) for _ in range(200)]
    theirs = [chooser(rng, utilities, 0.0, 4, noise=0.2, teacher="b", temperature=temperature) for _ in range(60)]
    alone, both = fit(ours), fit([*ours, *theirs])
    scale = np.ptp(both.means("q")[1]) / np.ptp(alone.means("q")[1])
    assert moved(alone, both) < max(0.05, abs(scale - 1) + 0.02)
    assert np.corrcoef(both.means("q")[1], utilities)[0, 1] > 0.995


def test_few_answers_of_a_flat_teacher_hold_nobody_else_down():
    rng = np.random.default_rng(10)
    utilities = rng.normal(0, 1.5, 12)
    hard = hard_store(rng, utilities)
    flat = [chooser(rng, utilities, 0.0, 4, teacher="flat", temperature=50.0, query="other") for _ in range(3)]
    assert np.ptp(fit([*hard, *flat]).means("q")[1]) > 0.95 * np.ptp(fit(hard).means("q")[1])


def test_the_bias_of_a_soft_teacher_is_that_of_its_own_answers():
    rng = np.random.default_rng(11)
    utilities, bias = rng.normal(0, 2, 20), np.array([1.0, 0.0, 0.0, 0.0])
    flat = [chooser(rng, utilities, bias, 4, teacher="flat", temperature=5.0) for _ in range(300)]
    sure = [chooser(rng, utilities, 0.0, 4, teacher="sure") for _ in range(300)]
    found = fit([*flat, *sure]).bias["flat", 4]
    assert found[0] - found[1:].mean() == pytest.approx(1.0 / 5.0, abs=0.05)


def test_ties_alone_are_no_reason_to_fail():
    tie = Judgment("q", ("a", "b"), ("", ""), "best", Answer((0.5, 0.5)), "t", "train")
    assert fit([tie] * 50).of("q").mean == pytest.approx([0, 0], abs=1e-6)


def test_position_biases_of_many_judgments_are_read_off_a_sample_that_no_order_changes(monkeypatch):
    monkeypatch.setattr("vdistill.preferences.position_bias.ENOUGH", 600)
    rng = np.random.default_rng(4)
    first, last = np.array([0.8, 0, 0, 0]), np.array([0.0, 0.9])
    judgments = []
    for number in range(60):
        utilities = rng.normal(0, 2, 30)
        judgments += [chooser(rng, utilities, first, 4, query=f"q{number}") for _ in range(20)]
        judgments += [chooser(rng, utilities, last, 2, query=f"q{number}", teacher="few") for _ in range(5)]
    sizes = []
    monkeypatch.setattr(
        "vdistill.preferences.position_bias.fit", lambda sample: sizes.append(len(sample)) or fit(sample)
    )
    found = position_biases(judgments)
    assert sizes == [600 + 300], "of the first teacher's 1,200 as many as it takes, of the other's all 300"
    assert found["t", 4][0] - found["t", 4][1:].mean() == pytest.approx(0.8, abs=0.15)
    assert found["few", 2][1] - found["few", 2][0] == pytest.approx(0.9, abs=0.3)
    again = position_biases(judgments[::-1])
    assert all(again[key] == pytest.approx(found[key], abs=1e-6) for key in found)
