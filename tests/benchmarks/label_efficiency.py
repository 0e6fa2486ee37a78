"""How good a ranking a teacher call buys: our schedule and fit beside the usual ones, on two simulated teachers.

    python tests/benchmarks/label_efficiency.py            everything, some minutes
    python tests/benchmarks/label_efficiency.py --quick    a few repetitions, to see that it runs

Teacher A errs anew each time. Teacher B, the stricter judge, makes the same mistake twice, has circular tastes and
lapses; its nDCG@10 takes 10, 9, … 1 for the true best ten. Figures: mean ± standard error over the repetitions.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
from baseline_schedules import Maker, at_random, random_groups
from rich.console import Console
from rich.table import Table
from simulated_teachers import Independent, Persistent, item_id

from vdistill import preferences
from vdistill.label.schedules import Group, Narrowing, Plan, Schedule, scored
from vdistill.label.schedules.knockout import Knockout
from vdistill.label.schedules.single_round import SingleRound, banded_groups
from vdistill.records import Judgment

Teacher = Independent | Persistent

# name, teacher, its options, items, images a call, calls, winner's percentile and nDCG@10 to reach
ROWS = (
    ("B hard pairs", Persistent, {"way": "hard"}, 100, 2, 150, 98.9, 0.80),
    ("B hard pairs", Persistent, {"way": "hard"}, 100, 2, 300, 99.2, 0.88),
    ("B hard pairs", Persistent, {"way": "hard"}, 100, 2, 600, 99.4, 0.93),
    ("B soft pairs", Persistent, {"way": "soft"}, 100, 2, 150, 99.4, 0.88),
    ("B soft pairs", Persistent, {"way": "soft"}, 100, 2, 200, 99.5, 0.91),
    ("B 4 ranked", Persistent, {"way": "rank"}, 100, 4, 134, 99.4, 0.92),
    ("B 8 ranked", Persistent, {"way": "rank"}, 100, 8, 66, None, None),
    ("B 8 soft choices", Persistent, {"way": "choice"}, 100, 8, 66, None, None),
    ("B 8 ranked", Persistent, {"way": "rank"}, 100, 8, 58, None, 0.90),
    ("A 8 images, soft", Independent, {"soft": True}, 100, 8, 40, 99.8, 0.98),
    ("A 8 images, hard", Independent, {"soft": False}, 100, 8, 40, 98.5, 0.80),
    ("B hard pairs", Persistent, {"way": "hard"}, 32, 2, 100, 96.9, 0.89),
    ("B hard pairs", Persistent, {"way": "hard"}, 400, 2, 800, 99.7, 0.84),
)


class Swiss:
    """Neighbours of the current order of all items, a round at a time."""

    def __init__(self, queries: Sequence[str], items: Sequence[str], plan: Plan) -> None:
        self._inner = Narrowing(queries, items, plan)
        self._inner._sizes = [len(items)] * (plan.calls_per_query * plan.images_per_call // len(items))

    def next_round(self, said: Sequence[Judgment]) -> list[Group]:
        return self._inner.next_round(said)


class BothOrders:
    """Narrowing with half the pairs, each asked in both orders, in place of a fitted bias."""

    def __init__(self, queries: Sequence[str], items: Sequence[str], plan: Plan) -> None:
        self._inner = Narrowing(queries, items, replace(plan, calls_per_query=plan.calls_per_query // 2))

    def next_round(self, said: Sequence[Judgment]) -> list[Group]:
        groups = self._inner.next_round(said)
        return [Group(g.query, items) for g in groups for items in (g.items, g.items[::-1])]


def everything(queries: Sequence[str], items: Sequence[str], plan: Plan) -> Schedule:
    """Round robin: each pair once, in random order."""
    rng = np.random.default_rng(0)
    pairs = [pair if rng.random() < 0.5 else pair[::-1] for pair in combinations(items, 2)]
    return SingleRound([Group(query, pair) for query in queries for pair in pairs])


class Banded:
    """Five images a call from bands of the current ranking, in four cycles, as arXiv 2510.12014 does with a student."""

    def __init__(self, queries: Sequence[str], items: Sequence[str], plan: Plan) -> None:
        self._queries, self._items, self._plan = queries, items, plan
        self._cycles = [part for part in np.diff(np.linspace(0, plan.calls_per_query, 5).astype(int)).tolist() if part]

    def next_round(self, said: Sequence[Judgment]) -> list[Group]:
        if not self._cycles:
            return []
        calls = self._cycles.pop(0)
        plan = Plan(calls, self._plan.images_per_call, 64, len(self._cycles))
        if not said:
            return [group for query in self._queries for group in random_groups(query, self._items, plan)]
        fitted = preferences.fit(said)
        groups = []
        for query in self._queries:
            guide = dict.fromkeys(self._items, 0.0) | dict(zip(*fitted.means(query), strict=True))
            groups += banded_groups(query, self._items, plan, guide)
        return groups


def measure(teacher: Teacher, make: Maker, images: int, calls: int) -> dict[str, Any]:
    """Ask, fit, and compare with the truth."""
    queries = [str(r) for r in teacher.repetitions]
    items = [item_id(number) for number in range(teacher.count)]
    started = time.monotonic()
    schedule = make(queries, items, Plan(calls, images, 64, 0))
    said: list[Judgment] = []
    while groups := schedule.next_round(said):
        said += [teacher.ask(group) for group in groups]
    fitted = preferences.fit(said)
    percentiles, quality = [], []
    discount = 1 / np.log2(np.arange(2, 12))
    for query in queries:
        known, utilities = fitted.means(query)
        estimate = np.full(len(items), -1e-6)  # an item that was never shown
        estimate[[int(item) for item in known]] = utilities
        truth, gains = teacher.utility[query], teacher.gains(query)
        percentiles.append(100 * (truth < truth[estimate.argmax()]).sum() / (len(truth) - 1))
        best = gains[np.argsort(-estimate, kind="stable")[:10]]
        quality.append((best * discount).sum() / (np.sort(gains)[::-1][:10] * discount).sum())
    return {
        "calls": len(said) / len(queries),
        "percentile": np.array(percentiles),
        "ndcg": np.array(quality),
        "seconds": time.monotonic() - started,
    }


def spread(values: np.ndarray, digits: int) -> str:
    return f"{values.mean():.{digits}f} ± {values.std(ddof=1) / len(values) ** 0.5:.{digits}f}"


def judged(value: float, bar: float | None, digits: int) -> str:
    if bar is None:
        return ""
    return f"{'≥' if round(value, digits) >= bar else '[red]below[/red]'} {bar:.{digits}f}"


def line(table: Table, name: str, items: int, found: dict[str, Any], bars: tuple[Any, Any] = (None, None)) -> None:
    table.add_row(
        name, str(items), f"{found['calls']:.0f}",
        spread(found["percentile"], 2), judged(found["percentile"].mean(), bars[0], 1),
        spread(found["ndcg"], 3), judged(found["ndcg"].mean(), bars[1], 2), f"{found['seconds']:.0f} s",
    )  # fmt: skip


def table(title: str) -> Table:
    columns = ("what", "items", "calls", "winner percentile", "bar", "nDCG@10", "bar", "time")
    found = Table(title=title, title_justify="left")
    for column in columns:
        found.add_column(column, justify="left" if column in ("what", "bar") else "right")
    return found


def ours(repetitions: Sequence[int]) -> Table:
    found = table("ours: narrowing, and the fit with position bias")
    for name, kind, options, items, images, calls, percentile, ndcg in ROWS:
        teacher = kind(items, repetitions, **options)
        if len(repetitions) < 10 and calls > 100:
            continue
        line(found, name, items, measure(teacher, Narrowing, images, calls), (percentile, ndcg))
    return found


def baselines(repetitions: Sequence[int]) -> Table:
    found = table("baselines on teacher B, 100 items, with the same fit")
    for name, make, way, images, calls in (
        ("knockout, hard pairs", Knockout, "hard", 2, 99),
        ("random hard pairs", at_random, "hard", 2, 300),
        ("Swiss, hard pairs", Swiss, "hard", 2, 300),
        ("narrowing, hard pairs", Narrowing, "hard", 2, 300),
        ("narrowing, both orders asked", BothOrders, "hard", 2, 300),
        ("banded, 5 ranked", Banded, "rank", 5, 66),
        ("narrowing, 5 ranked", Narrowing, "rank", 5, 66),
        ("round robin, hard pairs", everything, "hard", 2, 4950),
    ):
        if len(repetitions) < 10 and calls > 100:
            continue
        some = repetitions[:60] if make is everything else repetitions
        line(found, name, 100, measure(Persistent(100, some, way=way), make, images, calls))
    return found


def scores(repetitions: Sequence[int]) -> Table:
    """Pointwise scores beside soft pairs at equal images shown; a query's images are scored once, and no more."""
    found = table("pointwise scores and soft pairs, teacher B, 100 items; calls are images shown")
    for images in (50, 100, 200, 300, 400):
        pairs = measure(Persistent(100, repetitions, way="soft"), Narrowing, 2, images // 2)
        line(found, "soft pairs", 100, pairs | {"calls": 2 * pairs["calls"]})
        if images > 100:
            continue
        single = measure(Persistent(100, repetitions, way="score"), _scored, 10, images // 10)
        line(found, "scores", 100, single | {"calls": 10 * single["calls"]})
        ahead = single["ndcg"] - pairs["ndcg"]
        found.add_row("scores − soft pairs", "100", str(images), "", "", spread(ahead, 3), "", "")
    return found


def _scored(queries: Sequence[str], items: Sequence[str], plan: Plan) -> Schedule:
    return scored(queries, items, replace(plan, pointwise=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--tune", action="store_true", help="the repetitions that schedules may be tuned on")
    parser.add_argument("--parts", nargs="*", default=["ours", "baselines", "scores"])
    options = parser.parse_args()
    repetitions = range(0, 240) if options.tune else range(1000, 1003 if options.quick else 1480)
    console = Console(width=120)
    for part in (part for part in (ours, baselines, scores) if part.__name__ in options.parts):
        console.print(part(repetitions))


if __name__ == "__main__":
    main()
