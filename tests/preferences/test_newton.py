"""The derivatives are those of the loss, and the mode is where a generic optimiser finds it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from vdistill.preferences import choices, newton
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
    """Choices, a point, and the variances."""
    read = choices.read(draw(judgments()))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    mean = [rng.normal(0, 2, len(items)) for items in read.items]
    bias = rng.normal(0, 1, read.bias_count)
    noise = rng.uniform(0.05, 3, len(read.soft))
    return read, mean, bias, draw(st.floats(0.05, 10)), noise


def flat_derivatives(read, mean, bias, prior, noise):
    """Gradient and Hessian in all utilities and then all biases."""
    offset = np.cumsum([0, *(len(values) for values in mean)])
    total = int(offset[-1]) + len(bias)
    gradient, hessian = np.zeros(total), np.zeros((total, total))
    at_bias = slice(int(offset[-1]), total)
    gradient[at_bias] = bias / newton.BIAS_VARIANCE
    hessian[at_bias, at_bias] = np.eye(len(bias)) / newton.BIAS_VARIANCE
    for block in newton.blocks_of(read):
        own, cross, curve, by_bias, bias_curve = newton.derivatives(
            read, block, [mean[row] for row in block.queries], bias, prior, noise
        )
        gradient[at_bias] += by_bias
        hessian[at_bias, at_bias] += bias_curve
        for place, row in enumerate(block.queries):
            n, here = len(mean[row]), slice(int(offset[row]), int(offset[row + 1]))
            gradient[here] = own[place, :n]
            hessian[here, here] = curve[place, :n, :n]
            hessian[here, at_bias] = cross[place, :n]
            hessian[at_bias, here] = cross[place, :n].T
    return gradient, hessian


def split(read, point):
    ends = np.cumsum([len(items) for items in read.items])
    parts = np.split(point, ends)
    return parts[:-1], parts[-1]


@settings(max_examples=30, deadline=None)
@given(problems())
def test_gradient_and_hessian_are_those_of_finite_differences(problem):
    read, mean, bias, prior, noise = problem
    point = np.concatenate([*mean, bias])
    gradient, hessian = flat_derivatives(*problem)

    def loss(at):
        return newton.loss(read, *split(read, at), prior, noise)

    def slope(at):
        return flat_derivatives(read, *split(read, at), prior, noise)[0]

    steps = np.eye(len(point)) * STEP
    scale = max(1.0, np.abs(hessian).max())
    found = np.array([(loss(point + step) - loss(point - step)) / (2 * STEP) for step in steps])
    assert gradient == pytest.approx(found, abs=1e-5 * scale, rel=1e-4)
    curve = np.array([(slope(point + step) - slope(point - step)) / (2 * STEP) for step in steps])
    np.testing.assert_allclose(hessian, curve, atol=1e-5 * scale)
    assert np.linalg.eigvalsh(hessian).min() > 0


def textbook_loss(given, items, teachers, point, prior, noise):
    """The negative log-posterior as it is defined, one answer after the other."""
    utility = dict(zip(items, point, strict=False))
    bias = dict(zip(teachers, point[len(items) :], strict=True))
    found = sum(u**2 for u in utility.values()) / (2 * prior)
    found += sum(b**2 for b in bias.values()) / (2 * newton.BIAS_VARIANCE)
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
    slots = [(who, size, position) for who, size in read.biases for position in range(size)]
    found = minimize(lambda point: textbook_loss(given, items, slots, point, prior, noise),
                     np.zeros(len(items) + len(slots)), method="BFGS", options={"gtol": 1e-6})  # fmt: skip
    mode = newton.solve(read, prior, np.full(len(read.soft), noise))
    assert np.concatenate([*mode.mean, mode.bias]) == pytest.approx(found.x, abs=2e-3)
