"""The zero of a query's scale is found again in answers that were made with it."""

import numpy as np
import pytest

from vdistill import preferences
from vdistill.arrays import sigmoid
from vdistill.records import Answer, Judgment, Rejection

ITEMS = tuple(f"item {n}" for n in range(24))
ZERO = 1.5


def simulated(kind, calls=60, seed=0, utilities=None):
    """(judgments, rejections) of a chooser with noise in its log-probabilities, or of its hard answers."""
    rng = np.random.default_rng(seed)
    true = rng.normal(0, 2, len(ITEMS)) if utilities is None else utilities
    said, rejected = [], []
    for _ in range(calls):
        shown = rng.choice(len(ITEMS), 6, replace=False)
        logits = np.append(true[shown], ZERO) + rng.gumbel(0, 1, 7) * (kind != "soft")
        items = tuple(ITEMS[i] for i in shown)
        if kind == "soft":
            logits += rng.normal(0, 0.3, 7)
            chances = np.exp(logits - np.logaddexp.reduce(logits))
            answer = Answer(tuple((chances[:6] / chances[:6].sum()).tolist()), none=float(chances[6]))
        elif kind == "rank":
            order = np.argsort(-logits).tolist()
            answer = Answer(order=tuple(i for i in order if i != 6), accepted=order.index(6))
        elif logits.argmax() == 6:
            rejected.append(Rejection("q", items, items, "someone", "heldout"))
            continue
        else:
            answer = Answer(tuple(float(i == logits.argmax()) for i in range(6)), none=0.0)
        said.append(Judgment("q", items, items, "rank" if kind == "rank" else "best", answer, "someone", "heldout"))
    return true, said, rejected


@pytest.mark.parametrize(("kind", "calls", "tolerance"), [("soft", 40, 0.08), ("rank", 150, 0.12), ("hard", 800, 0.15)])
def test_what_is_accepted_is_found_again(kind, calls, tolerance):
    true, said, rejected = simulated(kind, calls)
    found = preferences.acceptance(said, rejected)["q"]
    expected = sigmoid(true - ZERO)
    assert found.items == tuple(sorted(ITEMS))
    order = np.argsort(ITEMS)
    assert np.abs(found.probability - expected[order]).mean() < tolerance


def test_nothing_is_accepted_where_all_is_rejected():
    _, _, rejected = simulated("hard", 12, utilities=np.full(len(ITEMS), -30.0))
    found = preferences.acceptance([], rejected)["q"]
    assert found.probability.max() < 0.1


def test_scores_of_single_images_have_a_zero_of_their_own():
    scores = np.array([3.0, 0.0, -2.0])
    chances = np.exp(scores - np.logaddexp.reduce(scores))
    answer = Answer(tuple(chances.tolist()), level=float(np.logaddexp.reduce(scores)))
    said = [Judgment("q", ("a", "b", "c"), ("a", "b", "c"), "best", answer, "rerank", "heldout")]
    found = preferences.acceptance(said)["q"]
    assert found.probability[0] > 0.75 > 0.6 > found.probability[1] > 0.4 > 0.3 > found.probability[2]


def test_people_can_always_say_it():
    """A person who takes an image accepts it, though no question said so; thumbs on the search page say nothing."""

    def taken(prompt):
        items = ("a", "b")
        return Judgment("q", items, items, "best", Answer((1.0, 0.0)), "human:anna", "heldout", prompt=prompt)

    assert preferences.acceptance([taken("thumb:1")] * 5) == {}
    found = preferences.acceptance([taken("page:1")] * 5)["q"]
    assert found.zero < 0 < found.probability[0]


def test_queries_whose_answers_could_not_be_none_have_no_zero():
    said = [Judgment("q", ("a", "b"), ("a", "b"), "best", Answer((0.7, 0.3)), "someone", "heldout")]
    assert preferences.acceptance(said) == {}
