"""Teachers of unequal care: how noisy each is comes out of what they judged in common, and weighs their answers."""

from dataclasses import replace

import numpy as np
import pytest

from vdistill.preferences import fit, teacher_noise, trust
from vdistill.records import Answer, Judgment

QUERIES, ITEMS, SHOWN = 10, 20, 4
CARE = {"careful": 0.5, "usual": 2.0, "hasty": 4.0}
SPREAD = np.sqrt(6)  # of the true utilities


def answer(rng, utilities, noise, soft):
    if soft:
        logits = utilities + rng.normal(0, noise, SHOWN)
        return Answer(tuple(np.exp(logits) / np.exp(logits).sum()))
    chances = np.exp(utilities / noise - (utilities / noise).max())
    return Answer(tuple(map(float, np.eye(SHOWN)[rng.choice(SHOWN, p=chances / chances.sum())])))


def judged(seed, noises, each, soft=(), apart=False):
    """True utilities (queries, items), and the answers of judges of these noises; apart: each on queries of its own."""
    rng = np.random.default_rng(seed)
    utilities = rng.normal(0, SPREAD, (QUERIES, ITEMS))
    found = []
    for name, noise in noises.items():
        for _ in range(each):
            query, shown = int(rng.integers(QUERIES)), rng.choice(ITEMS, SHOWN, replace=False)
            said = answer(rng, utilities[query, shown], noise, name in soft)
            text = f"{name if apart else 'q'} {query}"
            found.append(Judgment(text, tuple(f"{i:02}" for i in shown), ("",) * SHOWN, "best", said, name, "train"))
    return utilities, found


def likeness(fitted, utilities):
    """The mean correlation of the fitted utilities with the true ones."""
    found = []
    for query in range(QUERIES):
        items, mean = fitted.means(f"q {query}")
        found.append(np.corrcoef(mean, utilities[query, [int(item) for item in items]])[0, 1])
    return np.mean(found)


@pytest.mark.slow
def test_people_of_known_noise_are_measured_and_weighing_them_finds_more_of_the_truth():
    people = {"careful": 0.5, "usual": 1.0, "hasty": 2.0}
    noises, gains = [], []
    for seed in range(4):
        utilities, judgments = judged(seed, people, 300)
        fitted = fit(judgments)
        noises.append([fitted.noise[name] for name in people])
        gains.append(likeness(fitted, utilities) - likeness(fit(judgments, weigh=False), utilities))
    assert (np.diff(noises, axis=1) > 0).all()  # in each seed
    careful, usual, hasty = np.exp(np.log(noises).mean(axis=0))
    assert hasty / usual == pytest.approx(2.0, rel=0.25)
    assert usual / careful == pytest.approx(2.0, rel=0.35)
    assert np.mean(gains) > 2 * np.std(gains) / np.sqrt(len(gains)) > 0


def test_a_person_who_answers_at_random_hardly_counts_beside_a_model():
    utilities, judgments = judged(1, {"model": 1.0, "anyone": 50.0}, 200, soft=("model",))
    fitted = fit(judgments)
    assert fitted.noise["anyone"] > 4
    assert likeness(fitted, utilities) > likeness(fit(judgments, weigh=False), utilities)


def test_a_model_that_agrees_with_itself_and_not_with_others_is_noisy():
    _, judgments = judged(2, {"a": 0.3, "b": 0.3, "odd": 0.3}, 150, soft=("a", "b", "odd"))
    rng = np.random.default_rng(0)
    turn = rng.permutation(ITEMS)
    wrong = [
        replace(one, items=tuple(f"{turn[int(i)]:02}" for i in one.items)) for one in judgments if one.teacher == "odd"
    ]
    found = teacher_noise([one for one in judgments if one.teacher != "odd"] + wrong)
    assert found["odd"] > 2 * max(found["a"], found["b"])


def test_a_sure_answer_now_and_then_makes_nobody_the_truth():
    """A probability of 1 has no scale and counts as a choice, also of a teacher whose answers are soft else."""
    rng = np.random.default_rng(0)
    judgments = []
    for number in range(25):
        utilities = rng.normal(0, 1.6, SHOWN)
        logits = {name: utilities + rng.normal(0, noise, SHOWN) for name, noise in CARE.items()}
        for order in (rng.permutation(SHOWN) for _ in range(3)):  # each says the same about an image each time
            shown = tuple(f"{number} {place}" for place in order)
            for name, known in logits.items():
                sure = number == 0 and name == "hasty"
                chances = np.eye(SHOWN)[known[order].argmax()] if sure else np.exp(known[order])
                said = Answer(tuple((chances / chances.sum()).tolist()))
                judgments.append(Judgment(f"q {number}", shown, ("",) * SHOWN, "best", said, name, "train"))
    found = trust(judgments)
    assert found["careful"].bits(SHOWN) > found["usual"].bits(SHOWN) > found["hasty"].bits(SHOWN)


@pytest.mark.parametrize("apart", [False, True])
def test_without_common_ground_nothing_changes(apart):
    people = {"careful": 0.5, "hasty": 2.0} if apart else {"alone": 1.0}
    _, judgments = judged(3, people, 100, apart=apart)
    weighed, plain = fit(judgments), fit(judgments, weigh=False)
    assert set(weighed.noise.values()) == {1.0}
    for query in plain.queries:
        assert (weighed.means(query)[1] == plain.means(query)[1]).all()  # bit for bit
    assert all((weighed.bias[key] == plain.bias[key]).all() for key in plain.bias)


@pytest.mark.slow
def test_standard_errors_of_a_weighed_fit_cover_the_truth():
    inside = []
    for seed in range(4):
        utilities, judgments = judged(seed, {"careful": 0.7, "hasty": 1.4}, 300)
        fitted = fit(judgments)
        for query in range(QUERIES):
            found = fitted.of(f"q {query}")
            true = utilities[query, [int(item) for item in found.items]]
            error = (found.mean - found.mean.mean()) - (true - true.mean())
            inside += list(np.abs(error) < 1.96 * found.stderr)
    assert 0.88 < np.mean(inside) <= 1.0
