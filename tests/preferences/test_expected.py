"""Utilities with a student's scores beforehand: answers move what they speak of, and the rest stays where it was."""

import numpy as np
import pytest
from scipy.special import softmax

from vdistill import preferences
from vdistill.records import Answer, Judgment

ITEMS = [f"i{number}" for number in range(8)]
SCORES = {item: 0.9 - 0.1 * place for place, item in enumerate(ITEMS)}  # i0 is the student's first


def soft(items, truth, query="q"):
    chances = tuple(softmax([truth[item] for item in items]).tolist())
    return Judgment(query, tuple(items), ("",) * len(items), "best", Answer(chances), "t", "heldout")


def ranked(utilities):
    return sorted(utilities, key=lambda item: -utilities[item])


def test_without_answers_it_is_the_students_order():
    found = preferences.expected_utilities([], SCORES, 0.6)
    assert ranked(found) == ITEMS
    assert sum(found.values()) == pytest.approx(0)


def test_what_the_teacher_says_outweighs_what_was_expected():
    truth = {item: float(place) for place, item in enumerate(ITEMS)}  # the student has it the wrong way round
    assert ranked(preferences.expected_utilities([soft(ITEMS, truth)], SCORES, 0.6)) == ITEMS[::-1]


def test_an_answer_about_some_leaves_the_others_where_they_were():
    found = preferences.expected_utilities([soft(["i6", "i7"], {"i6": 0.0, "i7": 3.0})], SCORES, 0.6)
    assert [item for item in ranked(found) if item in ITEMS[:6]] == ITEMS[:6]
    assert found["i7"] > found["i6"]


def test_without_a_correlation_it_is_the_usual_fit():
    rng = np.random.default_rng(0)
    truth = dict(zip(ITEMS, rng.normal(0, 2, 8), strict=True))
    said = [soft(list(rng.permutation(ITEMS)[:5]), truth) for _ in range(6)]
    found = preferences.expected_utilities(said, SCORES, 0.0)
    items, usual = preferences.fit(said).means("q")
    assert [found[item] for item in items] == pytest.approx(usual.tolist(), abs=1e-3)


def test_equal_scores_and_single_items_are_no_trouble():
    equal = preferences.expected_utilities([], dict.fromkeys(ITEMS, 0.5), 0.6)
    assert set(equal.values()) == {0.0}
    assert preferences.expected_utilities([], {"a": 1.0}, 0.6) == {"a": 0.0}
    assert preferences.expected_utilities([], {}, 0.6) == {}
