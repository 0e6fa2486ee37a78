"""The gradient of the evidence is that of its values, whatever kinds of answers there are."""

import numpy as np
import pytest

from vdistill.preferences import choices as read_choices
from vdistill.preferences import posterior
from vdistill.preferences.evidence import Evidence
from vdistill.preferences.noise import common_ground
from vdistill.records import Answer, Judgment

SHOWN = 4


def judged(kinds, each=60, queries=3, items=8):
    """Answers of teachers of these kinds: hard, soft, scores."""
    rng = np.random.default_rng(1)
    utilities, found = rng.normal(0, 2, (queries, items)), []
    for name, kind in kinds.items():
        for number in range(each):
            query = number % queries
            shown = rng.choice(items, SHOWN, replace=False)
            logits = utilities[query, shown] + rng.normal(0, 1, SHOWN)
            chances = np.exp(logits) / np.exp(logits).sum()
            if kind == "hard":
                chances = np.eye(SHOWN)[chances.argmax()]
            level = float(np.log(np.exp(logits).sum())) if kind == "scores" else None
            said = Answer(tuple(map(float, chances)), level=level)
            names = tuple(f"{item:02}" for item in shown)
            found.append(Judgment(f"q {query}", names, names, "best", said, name, "train"))
    return found


@pytest.mark.parametrize(
    "kinds",
    [
        {"a": "soft", "b": "soft", "c": "soft"},
        {"a": "hard", "b": "hard"},
        {"a": "hard", "b": "soft", "c": "soft"},
        {"a": "scores", "b": "soft", "c": "hard"},
    ],
)
def test_the_gradient_is_that_of_the_values(kinds, monkeypatch):
    monkeypatch.setattr(posterior, "TOLERANCE", 1e-10)
    choices = read_choices.read(judged(kinds))
    numbers, sharing = common_ground(choices)
    rows, part = choices.of_queries(numbers)
    evidence = Evidence(part, 4.0, np.full(len(rows), 1.5), sharing)
    rng = np.random.default_rng(0)
    point = evidence.starts()[0]
    point = point + rng.uniform(0.1, 0.4, len(point))
    _, slope = evidence.loss(point)
    step = 1e-4
    for place in range(len(point)):
        high, low = (evidence.loss(point + sign * step * np.eye(len(point))[place])[0] for sign in (1, -1))
        assert slope[place] == pytest.approx((high - low) / (2 * step), rel=1e-4, abs=1e-4)


def test_two_who_choose_as_often_are_told_apart():
    rng, found = np.random.default_rng(0), []
    for query in range(4):
        utilities = rng.normal(0, 2, 16)
        for _ in range(20):
            shown = rng.choice(16, SHOWN, replace=False)
            names = tuple(f"{item:02}" for item in shown)
            for name, noise in (("careful", 0.4), ("hasty", 4.0)):
                chosen = np.eye(SHOWN)[(utilities[shown] + noise * rng.gumbel(size=SHOWN)).argmax()]
                said = Answer(tuple(map(float, chosen)))
                found.append(Judgment(f"q {query}", names, names, "best", said, name, "train"))
    choices = read_choices.read(found)
    evidence = Evidence(choices, 4.0, np.ones(len(found)), np.array([0, 1]))
    reached = evidence.loss(evidence.found(evidence.starts()[:1]))[0]
    elsewhere = [evidence.loss(evidence.found([np.array(start)]))[0] for start in ([0.0, 3.0], [-3.0, 0.0])]
    assert reached <= min(elsewhere) + 0.01
