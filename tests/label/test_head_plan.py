"""Which of the first results are shown together: each once, then the better ones; never more than is needed."""

import pytest

from vdistill.label.second_stage.plan import Head, HeadPlan
from vdistill.records import Answer, Judgment

ITEMS = [f"i{number:02}" for number in range(24)]
SCORES = {item: 1.0 - 0.01 * place for place, item in enumerate(ITEMS)}


def answered(groups, level=None):
    """The later in the alphabet, the better."""
    said = []
    for group in groups:
        order = tuple(sorted(range(len(group.items)), key=lambda place: group.items[place], reverse=True))
        answer = Answer(order=order)
        if level is not None:
            weights = [2.0 ** int(item[1:]) for item in group.items]
            answer = Answer(tuple(weight / sum(weights) for weight in weights), level=level)
        said.append(Judgment(group.query, group.items, ("",) * len(group.items), "rank", answer, "t", "heldout"))
    return said


def asked(head, plan, said=()):
    """The rounds of a search whose questions are all answered."""
    rounds, said = [], list(said)
    while groups := plan.next_round(head, said):
        rounds.append(groups)
        said += answered(groups)
    return rounds, said


def test_each_is_seen_once_and_the_better_ones_again():
    rounds, said = asked(Head("q", SCORES), HeadPlan(8))
    first, again = rounds
    assert sorted(item for group in first for item in group.items) == ITEMS
    assert [len(group.items) for group in again] == [8, 8]
    met = [set(group.items) for group in first]
    assert all(set(group.items) not in met for group in again)
    assert HeadPlan(8).next_round(Head("q", SCORES), said) == []


def test_each_call_holds_good_and_poor_ones():
    first = HeadPlan(8).next_round(Head("q", SCORES), [])
    means = [sum(ITEMS.index(item) for item in group.items) / 8 for group in first]
    assert max(means) - min(means) <= 2


def test_what_was_said_before_is_not_asked_again():
    head, plan = Head("q", SCORES), HeadPlan(8)
    _, said = asked(head, plan)
    newer = Head(
        "q", {item: score for item, score in SCORES.items() if item > "i03"} | {f"n{n}": 0.5 for n in range(4)}
    )
    rounds, _ = asked(newer, plan, said)
    assert sum(map(len, rounds)) == 1
    assert {f"n{n}" for n in range(4)} <= set(rounds[0][0].items)


def test_the_sides_are_shown_apart_and_together_in_the_end():
    sides = {item: "heldout" if place % 5 == 0 else "train" for place, item in enumerate(ITEMS)}
    rounds, said = asked(Head("q", SCORES, sides), HeadPlan(8))
    assert all(len({sides[item] for item in group.items}) == 1 for group in rounds[0])
    assert any(len({sides[item] for item in group.items}) == 2 for group in rounds[-1])
    assert len(said) == 6


def test_a_question_that_failed_is_not_repeated():
    head, plan = Head("q", SCORES), HeadPlan(8)
    first = plan.next_round(head, [])
    said = answered(first[:2])
    following = plan.next_round(head, said, first[2].items)
    assert following
    assert all(set(group.items) != set(first[2].items) for group in following)


@pytest.mark.parametrize(("count", "calls"), [(0, 0), (1, 0), (2, 1), (3, 1), (8, 1), (9, 3), (16, 4), (24, 5)])
def test_small_heads_take_few_calls(count, calls):
    head = Head("q", dict(list(SCORES.items())[:count]))
    rounds, _ = asked(head, HeadPlan(8))
    assert sum(map(len, rounds)) == calls


@pytest.mark.parametrize("calls", [1, 2, 4, 9])
def test_a_number_of_calls_is_kept_to(calls):
    rounds, _ = asked(Head("q", SCORES), HeadPlan(8, calls))
    assert sum(map(len, rounds)) == calls


def test_single_images_are_scored_once_each():
    head, plan = Head("q", SCORES), HeadPlan(8, pointwise=True)
    groups = plan.next_round(head, [])
    assert sorted(item for group in groups for item in group.items) == ITEMS
    said = answered(groups, level=0.0)
    assert plan.next_round(head, said) == []
    assert len(plan.next_round(head, said[:2])) == 1
    assert sum(len(group.items) for group in HeadPlan(8, 5, pointwise=True).next_round(head, [])) == 5
