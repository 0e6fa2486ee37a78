"""Judgments become arrays, and arrays become steps that encode each image once."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vdistill.distill.batches import step_count, steps
from vdistill.distill.choices import read
from vdistill.errors import VdistillError
from vdistill.records import Answer, Judgment


def choice(query, items, probabilities, pool=None):
    return Judgment(query, tuple(items), tuple(items), "best", Answer(tuple(probabilities)), "t", "train", pool)


def ranking(query, items, order):
    return Judgment(query, tuple(items), tuple(items), "rank", Answer(order=tuple(order)), "t", "train")


def test_a_ranking_becomes_the_choices_it_is_made_of():
    calls = read([ranking("q", "abc", (2, 0, 1))])
    first = [calls.items[i] for i in calls.image[0]]
    assert first == ["c", "a", "b"]
    assert calls.target[0].tolist() == [1, 0, 0]
    assert calls.shown[1].tolist() == [True, True, False]
    assert [calls.items[i] for i in calls.image[1][:2]] == ["a", "b"]


def test_position_bias_is_taken_out_of_soft_labels():
    rng = np.random.default_rng(0)
    said = []
    for _ in range(300):
        a, b = rng.choice(12, 2, replace=False)
        logit = 0.5 * (a - b) + 1.0  # the first position is favoured by one logit
        p = 1 / (1 + np.exp(-logit))
        said.append(choice("q", (f"{a:02}", f"{b:02}"), (p, 1 - p)))
    calls = read(said)
    number = np.array([int(item) for item in calls.items])
    truth = 0.5 * (number[calls.image[:, 0]] - number[calls.image[:, 1]])
    found = np.log(calls.target[:, 0] / calls.target[:, 1])
    assert np.mean(found - truth) == pytest.approx(0, abs=0.15)


def test_images_shown_often_weigh_less():
    calls = read([choice("q", "ab", (0.9, 0.1)), choice("r", "ab", (0.2, 0.8)), choice("q", "ac", (0.9, 0.1))])
    weight = dict(zip(calls.items, calls.weight, strict=True))
    assert weight["a"] < weight["b"] < weight["c"]
    assert weight["a"] * 3 == pytest.approx(weight["c"])


def test_judgments_that_prefer_nothing_are_an_error():
    with pytest.raises(VdistillError, match="all judgments are ties"):
        read([choice("q", "ab", (0.5, 0.5)), choice("r", "ab", (0.5, 0.5))])


def test_whole_pools_share_a_step():
    rng = np.random.default_rng(0)
    said = [
        choice(f"q{q}", [f"{pool}-{i:02}" for i in rng.choice(16, 4, replace=False)], rng.dirichlet(np.ones(4)), pool)
        for q in range(20)
        for pool in range(6)
        for _ in range(3)
    ]
    calls = read(said)
    found = steps(calls, 32, np.random.default_rng(1))
    assert len(found) == 3
    assert all(len(step.images) == 32 and len(step.rows) == 120 for step in found)


def random_calls(rng, count, size, pooled, most=20):
    said = []
    for number in range(count):
        pool = int(rng.integers(3)) if pooled else None
        items = [f"{pool}-{i}" for i in rng.choice(most, size, replace=False)]
        p = rng.dirichlet(np.ones(size))
        said.append(choice(f"q{number % 4}", items, p, pool))
    return read(said)


@given(st.integers(4, 40), st.integers(1, 60), st.integers(2, 6), st.booleans(), st.integers(0, 5))
def test_an_epoch_encodes_each_image_once_and_uses_every_call_that_has_it(batch, count, size, pooled, seed):
    rng = np.random.default_rng(seed)
    calls = random_calls(rng, count, size, pooled)
    found = steps(calls, batch, rng)
    assert sorted(image for step in found for image in step.images.tolist()) == list(range(len(calls.items)))
    for step in found:
        assert len(step.images) <= batch
        inside = np.isin(calls.image, step.images) & calls.shown
        assert sorted(step.rows) == np.flatnonzero(inside.any(axis=1)).tolist()
        assert step.share == pytest.approx(inside.sum() / calls.shown[step.rows].sum())


@given(st.integers(1, 40), st.integers(2, 6), st.booleans())
def test_when_everything_fits_every_call_is_whole(count, size, pooled):
    calls = random_calls(np.random.default_rng(0), count, size, pooled)
    (step,) = steps(calls, 60, np.random.default_rng(0))
    assert (len(step.rows), step.share) == (len(calls.query), 1.0)


def in_pools(pools, size, per_pool=60):
    rng = np.random.default_rng(0)
    return read([
        choice(f"q{n}", [f"{pool}-{i:03}" for i in rng.choice(size, 4, replace=False)], rng.dirichlet(np.ones(4)), pool)
        for pool in range(pools) for n in range(per_pool)
    ])  # fmt: skip


def test_a_pool_that_does_not_fit_goes_on_in_the_next_step():
    calls = in_pools(5, 50)
    found = steps(calls, 32, np.random.default_rng(0))
    assert len(found) == -(-len(calls.items) // 32)
    of_step = [[calls.items[image].split("-")[0] for image in step.images] for step in found]
    of_pool = {pool: [n for n, pools in enumerate(of_step) if pool in pools] for pool in "01234"}
    assert all(at == list(range(at[0], at[-1] + 1)) and len(at) <= 3 for at in of_pool.values())
    assert steps(calls, 32, np.random.default_rng(1))[0].images.tolist() != found[0].images.tolist()


@settings(deadline=None, max_examples=40)
@given(st.integers(4, 140), st.integers(1, 12), st.integers(4, 128))
def test_every_step_but_the_last_is_full_whatever_the_pools(size, pools, batch):
    calls = in_pools(pools, size, per_pool=size)
    found = steps(calls, batch, np.random.default_rng(0))
    assert all(len(step.images) >= 0.9 * batch for step in found[:-1])
    assert len(found) == step_count(calls, batch), "so the schedule counts the steps there are"


def test_the_first_choices_of_a_ranking_weigh_most_and_a_call_weighs_one():
    calls = read([ranking("q", "abcd", (2, 0, 1, 3)), choice("q", "ab", (0.9, 0.1))])
    assert calls.mass.tolist() == pytest.approx([16 / 21, 4 / 21, 1 / 21, 1.0])


@given(st.integers(0, 9))
def test_what_validates_is_taken_out_of_the_calls(seed):
    rng = np.random.default_rng(seed)
    calls = random_calls(rng, 60, 4, pooled=True)
    queries = np.array([text == "q1" for text in calls.queries])
    items = rng.random(len(calls.items)) < 0.3
    left = calls.without(queries, items)
    assert "q1" not in left.queries
    gone = {key for key, out in zip(calls.items, items, strict=True) if out}
    assert not gone.intersection(left.items)
    assert set(np.unique(left.image[left.shown])) == set(range(len(left.items)))
    assert (left.shown.sum(axis=1) > 1).all()
    np.testing.assert_allclose(left.target.sum(axis=1), 1.0, atol=1e-5)
    assert (left.target[~left.shown] == 0).all()


def test_answers_of_a_noisy_teacher_weigh_less_and_those_of_one_alone_as_before():
    rng = np.random.default_rng(0)
    utilities, judgments = rng.normal(0, 2.5, 12), []
    for name, noise in (("careful", 0.5), ("hasty", 4.0)):
        for _ in range(150):
            shown = rng.choice(12, 4, replace=False)
            best = int(np.argmax(utilities[shown] / noise + rng.gumbel(size=4)))
            chances = tuple(float(place == best) for place in range(4))
            items = tuple(f"{item:02}" for item in shown)
            judgments.append(Judgment("q", items, items, "best", Answer(chances), name, "train"))
    mass = read(judgments).mass
    assert mass[:150].min() > 4 * mass[150:].max()
    assert mass.mean() == pytest.approx(1)
    assert (read(judgments[:150]).mass == 1).all()
