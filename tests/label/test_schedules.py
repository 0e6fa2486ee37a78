"""What is shown: breadth over shared pools for training, narrowing to the top for the held-out queries."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_line import errors, vdistill
from vdistill import preferences
from vdistill.errors import VdistillError
from vdistill.label.schedules import Group, Narrowing, Plan, coverable, shared_pools, training
from vdistill.label.schedules.narrowing import active_sizes
from vdistill.label.schedules.shared_pools import pools, training_groups
from vdistill.records import Answer, Judgment

ITEMS = [f"{i:03}" for i in range(640)]
PLAN = Plan(calls_per_query=40, images_per_call=8, pool_size=64, seed=0)


def test_pools_share_out_every_item_once():
    shared = pools(ITEMS, PLAN)
    assert [len(pool) for pool in shared] == [64] * 10
    assert sorted(item for pool in shared for item in pool) == ITEMS


def test_a_small_budget_uses_few_pools():
    assert len(pools(ITEMS, Plan(4, 8, 64, 0))) == 4


def test_many_queries_use_more_pools_than_one_has_calls():
    few, plenty = Plan(3, 8, 64, 0, queries=50), Plan(3, 8, 64, 0, queries=300)
    assert len(pools(ITEMS, few)) == 50 * 3 * 8 // (4 * 64) == 4
    shared = pools(ITEMS, plenty)
    assert len(shared) == 10
    seen = Counter(
        item for n in range(300) for group in training_groups(f"q{n}", shared, plenty) for item in group.items
    )
    assert len(seen) == 640, "each query has three pools, and all queries together have all"


def test_a_query_makes_no_deck_of_pools_that_it_does_not_use(monkeypatch):
    made = []
    dealt = shared_pools._dealt
    monkeypatch.setattr(shared_pools, "_dealt", lambda pool, calls: (made.append(pool), dealt(pool, calls))[1])
    groups = training_groups("q", [ITEMS[start : start + 16] for start in range(0, 640, 16)], Plan(3, 8, 16, 0))
    assert len(groups) == len(made) == 3
    for group in groups:
        assert set(group.items) <= set(ITEMS[16 * group.pool : 16 * group.pool + 16])


def test_calls_of_a_query_are_spread_over_all_pools_and_repeat_no_image():
    groups = training_groups("q", pools(ITEMS, PLAN), PLAN)
    assert len(groups) == 40
    assert set(Counter(group.pool for group in groups).values()) == {4}
    assert max(Counter(item for group in groups for item in group.items).values()) == 1


def test_queries_are_shown_different_groups_of_the_same_pools():
    shared = pools(ITEMS, PLAN)
    a, b = training_groups("a", shared, PLAN), training_groups("b", shared, PLAN)
    assert {group.items for group in a}.isdisjoint({group.items for group in b})
    for group in [*a, *b]:
        assert set(group.items) <= set(shared[group.pool])


def test_the_plan_is_the_same_every_time():
    shared = pools(ITEMS, PLAN)
    assert shared == pools(ITEMS, PLAN)
    assert training_groups("q", shared, PLAN) == training_groups("q", shared, PLAN)
    other = Plan(40, 8, 64, seed=1)
    assert pools(ITEMS, other) != shared


def test_each_guided_call_has_one_of_those_that_the_guide_likes_best():
    guide = {item: float(item) for item in ITEMS}
    parts = pools(ITEMS, PLAN)
    plain, guided = training_groups("q", parts, PLAN), training_groups("q", parts, PLAN, guide)
    best = {item for pool in parts for item in sorted(pool, key=guide.get)[-round(0.05 * len(pool)) :]}
    assert len(plain) == len(guided)
    assert all(set(group.items) & best and len(set(group.items)) == len(group.items) for group in guided)
    assert not all(set(group.items) & best for group in plain)
    first = [group.items[0] in best for group in guided]
    assert 0 < sum(first) < len(first) / 2, "it stands at any position"
    assert len({item for group in guided for item in group.items}) > 200, "the bulk is still seen"


@given(st.integers(1, 300), st.integers(1, 60), st.integers(2, 9), st.integers(2, 80))
def test_any_size_of_catalog_and_budget_gives_valid_calls(count, calls, size, pool):
    plan = Plan(calls, size, pool, 0)
    items = ITEMS[:count]
    shared = pools(items, plan)
    for group in training_groups("q", shared, plan):
        assert len(set(group.items)) == len(group.items) <= size


@given(st.integers(2, 300), st.integers(1, 200), st.integers(2, 9))
def test_narrowing_uses_its_calls_up_whatever_the_sizes(count, calls, size):
    schedule = Narrowing(["q"], ITEMS[:count], Plan(calls, size, 64, 0))
    asked = 0
    while groups := schedule.next_round([]):
        asked += len(groups)
        assert all(1 < len(set(group.items)) == len(group.items) <= size for group in groups)
    pairs = count * (count - 1) // 2
    assert asked == calls or (min(size, count) == 2 and pairs / 2 <= asked <= pairs), "no pair is asked twice"


@pytest.mark.parametrize(("calls", "images"), [(150, 2), (300, 2), (134, 4), (40, 8)])
def test_narrowing_halves_down_to_the_depth_that_is_measured(calls, images):
    sizes = active_sizes(100, images, calls)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 100
    assert 10 <= sizes[-2] <= 20
    assert calls - 2 <= sum(math.ceil(size / images) for size in sizes) <= calls


def test_no_pair_is_asked_twice():
    schedule = Narrowing(["q"], ITEMS[:40], Plan(200, 2, 64, 0))
    groups, said = [], []
    while found := schedule.next_round(said):
        groups += found
        said += [answer_of(group, min) for group in found]
    assert len({frozenset(group.items) for group in groups}) == len(groups)


def test_what_settled_queries_leave_goes_to_the_unsure_ones():
    items, calls = ITEMS[:30], 120
    schedule = Narrowing(["clear", "vague"], items, Plan(calls, 2, 64, 0))
    rng, said, asked = np.random.default_rng(0), [], Counter()
    while groups := schedule.next_round(said):
        asked.update(group.query for group in groups)
        for group in groups:
            said.append(answer_of(group, min if group.query == "clear" else rng.choice))
    assert asked["clear"] < calls < asked["vague"]
    assert asked.total() == 2 * calls


def test_what_is_known_is_used_where_it_is_known_of_other_items_too():
    items = ITEMS[:16]
    chances = np.exp(-np.arange(17.0))
    shown = (*items[:8], "of no call", *items[8:])
    said = Judgment("q", shown, shown, "best", Answer(tuple((chances / chances.sum()).tolist())), "t", "heldout")
    groups = Narrowing(["q"], items, Plan(8, 2, 64, 0)).next_round([said])
    assert {frozenset(group.items) for group in groups[:4]} == {frozenset(items[at : at + 2]) for at in range(0, 8, 2)}


def test_a_knockout_ends_with_the_best_item():
    plan = Plan(21, 2, 64, 0)
    schedule, said = training("knockout", ["q"], ITEMS[:20], plan, {}), []
    rounds = []
    while groups := schedule.next_round(said):
        rounds.append(groups)
        said += [answer_of(group, min) for group in groups]
    assert [len(groups) for groups in rounds[:5]] == [10, 5, 2, 1, 1]
    assert ITEMS[0] in rounds[4][0].items
    assert sum(map(len, rounds)) == 21, "what is left begins another knockout"


@pytest.mark.parametrize("name", ["adaptive", "banded", "knockout"])
def test_every_schedule_keeps_to_the_calls_and_the_items(name):
    plan, items = Plan(12, 5, 64, 0), ITEMS[:80]
    guides = {query: {item: float(item) for item in items} for query in "ab"}
    schedule, said = training(name, ["a", "b"], items, plan, guides), []
    asked = Counter()
    while groups := schedule.next_round(said):
        asked.update(group.query for group in groups)
        assert all(set(group.items) <= set(items) and len(set(group.items)) == len(group.items) for group in groups)
        said += [answer_of(group, min) for group in groups]
    assert asked == {"a": 12, "b": 12}


@pytest.mark.parametrize("name", ["random", "narrow"])
def test_a_schedule_that_only_benchmarks_have_is_refused_wherever_it_is_named(tmp_path, name):
    typed = vdistill("label", "catalog", "--schedule", name, cwd=tmp_path)
    assert typed.code == 2
    assert f"Invalid value for '--schedule': '{name}' is not one of" in typed.err
    (tmp_path / "vdistill.toml").write_text(f'[label]\nschedule = "{name}"\n')
    error, hint = errors(vdistill("label", "catalog", cwd=tmp_path))
    assert f"vdistill.toml: schedule: '{name}' is not one of 'adaptive', 'banded', 'knockout'" in error
    assert "--schedule" in hint


def test_banded_without_a_guide_is_an_error():
    with pytest.raises(VdistillError, match="guide"):
        training("banded", ["q"], ITEMS, PLAN, {})


def answer_of(group, choose):
    """The judgment of a teacher that chooses so."""
    best = choose(group.items)
    return Judgment(group.query, group.items, ("",) * len(group.items), "best",
                    Answer(tuple(float(item == best) for item in group.items)), "t", "train")  # fmt: skip


def test_the_held_out_pool_is_no_larger_than_the_calls_can_cover():
    assert len(coverable(ITEMS, PLAN, "heldout")) == 192
    assert len(coverable(ITEMS[:50], PLAN, "heldout")) == 50


def test_narrowing_finds_the_top_that_random_groups_miss():
    """A simulated teacher with soft answers, noise and a favourite position: 100 items, 40 calls."""
    rng = np.random.default_rng(0)
    plan, items = Plan(40, 8, 64, 0), ITEMS[:100]
    narrowed, random = [], []
    for repetition in range(12):
        truth = rng.normal(size=100)
        narrowed.append(_quality(truth, _narrow(rng, truth, items, plan, str(repetition))))
        groups = [Group("q", tuple(items[i] for i in rng.choice(100, 8, replace=False))) for _ in range(40)]
        random.append(_quality(truth, preferences.fit([_answer(rng, truth, group) for group in groups])))
    assert np.mean(narrowed) > 0.95
    assert np.mean(narrowed) > np.mean(random) + 0.02


def _narrow(rng, truth, items, plan, query):
    schedule, said = Narrowing([query], items, plan), []
    while groups := schedule.next_round(said):
        said += [_answer(rng, truth, group) for group in groups]
    return preferences.fit(said)


def _answer(rng, truth, group):
    logits = 2 * truth[[int(item) for item in group.items]] + rng.normal(0, 0.5, len(group.items))
    logits[0] += 0.8
    p = np.exp(logits - logits.max())
    return Judgment(
        group.query, group.items, ("",) * len(group.items), "best", Answer(tuple(p / p.sum())), "t", "heldout"
    )


def _quality(truth, fitted):
    """nDCG@10 with the gain max(0, u − mean u)²."""
    items, mean = fitted.means(fitted.queries[0])
    gains = np.maximum(0, truth - truth.mean()) ** 2
    discount = 1 / np.log2(np.arange(2, 12))
    found = gains[[int(items[i]) for i in np.argsort(-mean)[:10]]]
    return (found * discount).sum() / (np.sort(gains)[::-1][:10] * discount).sum()
