"""What the caps allow: which queries are asked, and how often each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from vdistill.label.schedules import Plan
from vdistill.records import Query

MOST_CALLS, LEAST_CALLS = 40, 10  # of a query
ENOUGH_CALLS = 10_000  # for training, in all: beyond them it takes more queries to learn more, not more calls a query
HELD_OUT_CALLS = 10  # with fewer, the ranking of a held-out query is not trustworthy: rather ask fewer queries


@dataclass(frozen=True, slots=True)
class Layout:
    """The queries that are asked, in the order of their file, and the plans of both sides."""

    queries: tuple[Query, ...]
    train: Plan
    held_out: Plan


def calls_per_query(queries: int) -> int:
    """How often a training query is asked without a budget: 40 times, but 10,000 in all unless 10 a query are more."""
    return max(LEAST_CALLS, min(MOST_CALLS, ENOUGH_CALLS // max(queries, 1)))


def usual_calls(asked: Sequence[Query]) -> int:
    """How many calls these queries take without a budget."""
    train = sum(query.split == "train" for query in asked)
    return train * calls_per_query(train) + (len(asked) - train) * MOST_CALLS


def served(calls: int | None, holdout: float) -> int:
    """How many queries of a search log these calls serve, at LEAST_CALLS each; without a budget ENOUGH_CALLS train."""
    return max(1, int(ENOUGH_CALLS / (1 - holdout) if calls is None else calls) // LEAST_CALLS)


def lay_out(asked: Sequence[Query], budget: int | None, plan: Plan) -> Layout:
    """Share `budget` calls between the sides in proportion to their queries.

    Without a budget, training queries get `calls_per_query` and held-out ones MOST_CALLS. With one, each query that is
    asked gets at least one call, a held-out one HELD_OUT_CALLS where half the budget allows it. Which queries a small
    budget reaches is drawn by the seed. plan: without `calls_per_query`, which is set here.
    """
    train, held_out = ([query.text for query in asked if query.split == split] for split in ("train", "heldout"))
    plan = replace(plan, queries=len(train))
    if budget is None:
        often = replace(plan, calls_per_query=calls_per_query(len(train)), depth=MOST_CALLS)
        return Layout(tuple(asked), often, replace(plan, calls_per_query=MOST_CALLS))
    calls = max(1, budget // max(len(asked), 1))
    plan = replace(plan, calls_per_query=calls)
    depth, count = max(calls, HELD_OUT_CALLS), 0
    if held_out:
        depth = min(depth, budget // 2 if train else budget)
        share = round(budget * len(held_out) / len(asked))
        count = min(len(held_out), max(1, share // depth)) if depth else 0
    train = in_order(train, plan.seed)[: (budget - count * depth) // calls]
    reached = {*train, *in_order(held_out, plan.seed)[:count]}
    held_out_plan = replace(plan, calls_per_query=max(depth, 1))
    plan = replace(plan, queries=len(train))
    return Layout(tuple(query for query in asked if query.text in reached), plan, held_out_plan)


def in_order(texts: Iterable[str], seed: int) -> list[str]:
    """In a random order, which depends on the seed and the texts alone."""
    return sorted(texts, key=lambda text: hashlib.sha256(f"{seed}\0order\0{text}".encode()).digest())
