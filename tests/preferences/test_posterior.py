"""The derivatives are those of the loss, and the mode is where a generic optimiser finds it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from vdistill.preferences import choices
from vdistill.preferences.posterior import BIAS_VARIANCE, Posterior
from vdistill.records import Answer, Judgment

STEP = 1e-5


@st.composite
def judgments(draw):
    """A few answers of any kind about a few items of one to three queries."""
    found = []
    for _ in range(draw(st.integers(1, 8))):
        size = draw(st.integers(2, 4))
        items = tuple(draw(st.permutations("abcde"))[:size])
        if draw(st.booleans()):
            weights = np.array(draw(st.lists(st.floats(0.01, 1), min_size=size, max_size=size)))
            answer = Answer(tuple(weights / weights.sum()))
        else:
            answer = Answer(order=tuple(draw(st.permutations(range(size)))))
        query, teacher = draw(st.sampled_from("pqr")), draw(st.sampled_from("st"))
        kind = "rank" if answer.order else "best"
        found.append(Judgment(query, items, ("",) * size, kind, answer, teacher, "train"))
    return found


@st.composite
def problems(draw):
    """A posterior and a point."""
    read = choices.read(draw(judgments()))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    noise = rng.uniform(0.05, 3, len(read.soft))
    utilities = sum(map(len, read.items))
    point = np.concatenate([rng.normal(0, 2, utilities), rng.normal(0, 1, read.bias_count)])
    return Posterior(read, draw(st.floats(0.05, 10)), noise), point


@settings(max_examples=30, deadline=None)
@given(problems())
def test_gradient_and_hessian_are_those_of_finite_differences(problem):
    posterior, point = problem
    gradient, hessian = posterior.loss(point)[1], posterior.hessian(point) @ np.eye(len(point))
    steps = np.eye(len(point)) * STEP
    scale = max(1.0, np.abs(hessian).max())
    ends = [(posterior.loss(point + step), posterior.loss(point - step)) for step in steps]
    slope = np.array([(above[0] - below[0]) / (2 * STEP) for above, below in ends])
    assert gradient == pytest.approx(slope, abs=1e-5 * scale, rel=1e-4)
    curve = np.array([(above[1] - below[1]) / (2 * STEP) for above, below in ends])
    np.testing.assert_allclose(hessian, curve, atol=1e-5 * scale)
    assert np.linalg.eigvalsh(hessian).min() > 0


@settings(max_examples=30, deadline=None)
@given(problems())
def test_the_hessian_of_a_query_is_its_part_of_the_whole(problem):
    posterior, point = problem
    whole, curvature = posterior.hessian(point) @ np.eye(len(point)), posterior.curvature(point)
    start = 0
    for number, items in enumerate(posterior.choices.items):
        here = slice(start, start := start + len(items))
        np.testing.assert_allclose(posterior.of_query(number, curvature), whole[here, here], atol=1e-9)


def textbook_loss(given, items, teachers, point, prior, noise):
    """The negative log-posterior as it is defined, one answer after the other."""
    utility = dict(zip(items, point, strict=False))
    bias = dict(zip(teachers, point[len(items) :], strict=True))
    found = sum(u**2 for u in utility.values()) / (2 * prior)
    found += sum(b**2 for b in bias.values()) / (2 * BIAS_VARIANCE)
    for one in given:
        linear = np.array([
            utility[one.query, item] + bias[one.teacher, len(one.items), place] for place, item in enumerate(one.items)
        ])  # fmt: skip
        if one.answer.order is None:
            logs = np.log(one.answer.probabilities)
            found += (((linear - linear.mean()) - (logs - logs.mean())) ** 2).sum() / (2 * noise)
        else:
            for place, taken in enumerate(one.answer.order[:-1]):
                left = list(one.answer.order[place:])
                found += np.log(np.exp(linear[left]).sum()) - linear[taken]
    return found


@settings(max_examples=12, deadline=None)
@given(judgments())
def test_the_mode_is_where_a_generic_optimiser_finds_it(given):
    read = choices.read(given)
    prior, noise = 2.0, 0.7
    items = [(query, item) for query, known in zip(read.queries, read.items, strict=True) for item in known]
    biases = [(who, size, position) for who, size in read.biases for position in range(size)]
    found = minimize(lambda point: textbook_loss(given, items, biases, point, prior, noise),
                     np.zeros(len(items) + len(biases)), method="BFGS", options={"gtol": 1e-6})  # fmt: skip
    mode = Posterior(read, prior, np.full(len(read.soft), noise)).mode()
    assert mode == pytest.approx(found.x, abs=2e-3)
