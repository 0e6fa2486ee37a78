"""How many calls `label` plans where it is given no budget."""

from dataclasses import replace

import pytest

from command_line import vdistill
from vdistill.label.layout import MOST_CALLS, lay_out
from vdistill.label.schedules import Plan, training
from vdistill.records import Query


def plan(home, train, held_out=0):
    """The calls of a plan for so many queries."""
    rows = [f"wish number {n},train" for n in range(train)] + [f"other wish {n},test" for n in range(held_out)]
    (home / "q.csv").write_text("query,split\n" + "\n".join(rows) + "\n")
    done = vdistill("label", "catalog", "--teacher", "openai:vlm", "--endpoint", "http://127.0.0.1:9", "--queries",
                    "q.csv", "--images-per-call", 6, "--dry-run", "--json", cwd=home)  # fmt: skip
    assert done.code == 0, done.err
    return done.json["calls"]


@pytest.mark.parametrize(("queries", "each"), [(30, 40), (250, 40), (400, 25), (1000, 10), (1300, 10)])
def test_a_training_query_is_asked_40_times_but_10_000_in_all_unless_10_each_are_more(catalog, tmp_path, queries, each):
    assert plan(tmp_path, queries) == pytest.approx(queries * each, rel=0.02), "few of so few images are drawn twice"


def test_held_out_queries_are_asked_as_often_whatever_trains(catalog, tmp_path):
    few, many = (plan(tmp_path, train, 20) - plan(tmp_path, train) for train in (30, 1000))
    assert few == many > 0


def test_the_fewer_calls_of_many_queries_are_among_those_of_few():
    """What was asked of a query while there were fewer is not asked again."""
    queries, items = [f"wish {n}" for n in range(300)], [f"{n}.png" for n in range(1000)]
    few = lay_out([Query(text, text, "train") for text in queries], None, Plan(1, 8, 96, 0)).train
    before = replace(few, calls_per_query=MOST_CALLS, depth=0)
    now, then = (
        {(one.query, one.items) for one in training("adaptive", queries, items, plan, {}).next_round([])}
        for plan in (few, before)
    )
    assert len(now) == 300 * 33
    assert now <= then
