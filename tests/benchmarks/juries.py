"""Juries: what several teachers of unequal noise are worth beside the best of them, and beside their unweighted vote.

    python tests/benchmarks/juries.py            the repetitions that are reported, some four minutes
    python tests/benchmarks/juries.py --tune     those that may be looked at while building
    python tests/benchmarks/juries.py --quick    a few of them, to see that it runs

Three teachers B of noise 1, 2 and 4, with errors of their own, judge the same items for `--calls` calls a query in all.
Core, shares, seats, schedule and fit are those of `vdistill label`. Each row is one way to answer: pairs, whose errors
are drawn anew for each pair, and scores, whose errors stay with the image. Figures: nDCG@10, mean ± standard error
over the repetitions, and differences of the same repetitions.

    python tests/benchmarks/juries.py --parts mixed mixed2 --from 2000 --count 240

A mixture is of a reranker of noise 1 and a teacher B that compares pairs, of noise 1 (`mixed`) or 2 (`mixed2`). What a
call costs is the images that it shows, so `--calls` is of scores, and a pair takes two. `calls` has the same where a
pair costs no more than a score.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from label_efficiency import spread
from rich.console import Console
from rich.table import Table
from simulated_teachers import Persistent, item_id

from vdistill import preferences
from vdistill.label.jury.core import DEALS, SHARE, core_of, core_size
from vdistill.label.jury.seats import all_at, drawn
from vdistill.label.jury.shares import Means, Offer, dealt, shares
from vdistill.label.schedules import Group, Narrowing, Plan, scored
from vdistill.records import Judgment, Question, ShownImage

NOISES = (1.0, 2.0, 4.0)
SCORED = 10  # images a question, where each is scored by itself

Ask = Callable[[Group], list[Judgment]]


@dataclass(frozen=True)
class Case:
    """A way to answer, how many items there are, and how many calls a query."""

    way: str
    items: int
    calls: int
    alone: bool = False  # each query is a run of its own, with a core of its own

    @property
    def pointwise(self) -> bool:
        return self.way == "score"

    @property
    def images(self) -> int:
        return SCORED if self.pointwise else 2

    def plan(self, calls: int) -> Plan:
        return Plan(max(calls // SCORED, 1) if self.pointwise else calls, self.images, 64, 0, pointwise=self.pointwise)


def teachers(case: Case, repetitions: Sequence[int]) -> list[Persistent]:
    return [Persistent(case.items, repetitions, way=case.way, times=times, number=number)
            for number, times in enumerate(NOISES)]  # fmt: skip


def question(group: Group) -> Question:
    return Question(group.query, tuple(ShownImage(item, "", item) for item in group.items))


def rounds(case: Case, queries: Sequence[str], calls: int, ask: Ask, before: Sequence[Judgment] = ()) -> list[Judgment]:
    """Ask by the schedule of the held-out side until it ends. ask: the judgments that a group brings."""
    items = [item_id(number) for number in range(case.items)]
    make = scored if case.pointwise else Narrowing
    schedule, said = make(queries, items, case.plan(calls)), list(before)
    while groups := schedule.next_round(said):
        said += [one for group in groups for one in ask(group)]
    return said


def comparing(case: Case, jury: Sequence[Persistent], queries: Sequence[str]) -> tuple[list[Judgment], np.ndarray]:
    """What a jury of teachers who compare images says, and the shares of the calls (teachers,)."""
    total, items = case.calls * len(queries), [item_id(number) for number in range(case.items)]
    groups = core_of(queries, items, case.plan(case.calls), core_size(total, len(jury)))
    core = [one.ask(group) for group in groups for one in jury]
    left = total - len(core)
    means = Means(left, None, 2 * left / (case.items * len(queries)))
    share = shares(offers(jury, core), means).tolist()

    def ask(group: Group) -> list[Judgment]:
        return [jury[drawn(question(group), share)[0]].ask(group)]

    return rounds(case, queries, left // len(queries), ask, core), np.array(share)


def scoring(case: Case, jury: Sequence[Persistent], queries: Sequence[str]) -> tuple[list[Judgment], np.ndarray]:
    """The same of teachers who score each image by itself: the first questions of the plan are the core."""
    plan: list[Group] = []

    def note(group: Group) -> list[Judgment]:
        plan.append(group)
        return []

    total = case.calls * len(queries) // SCORED
    rounds(case, queries, case.calls, note)
    size = core_size(total, len(jury), pointwise=True)
    core = [one.ask(group) for group in plan[:size] for one in jury]
    offered = [replace(one, once=True) for one in offers(jury, core)]
    share = dealt(offered, Means(total, None, total / len(plan)))
    quotas = [max(round(some), size) for some in share]
    said = [jury[number].ask(group) for at, group in enumerate(plan) for number in all_at(at, quotas)]
    return said[:total], share / share.sum()


@dataclass(frozen=True)
class Mixture:
    """A reranker, and a teacher of noise `times` that compares pairs: `cost` a query, of `pair` for each pair."""

    times: float
    cost: int
    pair: int
    items: int = 100

    def jury(self, repetitions: Sequence[int]) -> list[Persistent]:
        found = [Persistent(self.items, repetitions, way="score"),
                 Persistent(self.items, repetitions, way="soft", times=self.times, number=1)]  # fmt: skip
        found[0].name, found[1].name = "scores", "pairs"
        return found

    def half(self, way: str, share: float = 1.0) -> Case:
        """One of them alone, with a share of the cost."""
        calls = int(share * self.cost) // (1 if way == "score" else self.pair)
        return Case(way, self.items, calls)


def mixing(mix: Mixture, jury: Sequence[Persistent], queries: Sequence[str]) -> tuple[list[Judgment], np.ndarray]:
    """What a mixed jury says, and the shares of the calls."""
    scorer, comparer = jury
    items, plan = [item_id(number) for number in range(mix.items)], Plan(10, 2, 64, 0)
    total = mix.cost * len(queries)
    size = min(core_size(total, 1 + 2 / DEALS), int(SHARE * total / (2 / DEALS + mix.pair)))
    groups, known = core_of(queries, items, plan, size), dict[str, set[str]]()
    core = [comparer.ask(group) for group in groups]
    for group in groups:
        if not known.setdefault(group.query, set()) & set(group.items):
            known[group.query] |= set(group.items)
            core.append(scorer.ask(group))
    left = total - len(groups) * mix.pair - sum(len(some) for some in known.values())
    known_of = preferences.trust(core)
    looks = known_of["pairs"].bits(2) / known_of["pairs"].bits_of_number
    offered = [Offer(known_of["scores"], 1.0, once=True), Offer(known_of["pairs"], mix.pair, looks=looks)]
    calls = dealt(offered, Means(left, left, left / (mix.items * len(queries))))
    shown = scored(queries, items, Plan(mix.items, 2, 64, 0, pointwise=True, scored=known)).next_round([])
    said = [scorer.ask(group) for group in shown[: int(calls[0]) // 2]]
    left -= sum(len(one.items) for one in said)
    pairs = Case("soft", mix.items, left // mix.pair)
    each = left // mix.pair // len(queries)
    return rounds(pairs, queries, each, lambda group: [comparer.ask(group)], [*core, *said]), calls / calls.sum()


def measured_mixture(mix: Mixture, repetitions: Sequence[int]) -> tuple[dict[str, np.ndarray], np.ndarray, float]:
    """As `measured`. The union is of two runs of their own, each with half of the cost."""
    jury, queries = mix.jury(repetitions), [str(r) for r in repetitions]

    def of(one: Persistent, share: float = 1.0) -> list[Judgment]:
        case = mix.half(one.way, share)
        return rounds(case, queries, case.calls, lambda group: [one.ask(group)])

    alone, union = {one.name: of(one) for one in jury}, [said for one in jury for said in of(one, 0.5)]
    said, share = mixing(mix, jury, queries)
    case = mix.half("soft")
    arms = {name: preferences.fit(some) for name, some in alone.items()} | {
        "union of two runs": preferences.fit(union),
        "the same, unweighed": preferences.fit(union, weigh=False),
        "jury": preferences.fit(said),
    }
    found = {name: quality(case, jury[0], fitted) for name, fitted in arms.items()}
    cost = sum(len(one.items) if one.answer.level is not None else mix.pair for one in said) / len(queries)
    return {name: np.array([known[query] for query in queries]) for name, known in found.items()}, share, cost


def offers(jury: Sequence[Persistent], core: Sequence[Judgment]) -> list[Offer]:
    known = preferences.trust(core)
    return [Offer(known.get(one.name)) for one in jury]


def quality(case: Case, teacher: Persistent, fitted: preferences.Fitted) -> dict[str, float]:
    """nDCG@10 by query."""
    discount, found = 1 / np.log2(np.arange(2, 12)), {}
    for query in fitted.queries:
        known, utilities = fitted.means(query)
        estimate = np.full(case.items, -1e-6)
        estimate[[int(item) for item in known]] = utilities
        gains = teacher.gains(query)
        best = gains[np.argsort(-estimate, kind="stable")[:10]]
        found[query] = float((best * discount).sum() / (np.sort(gains)[::-1][:10] * discount).sum())
    return found


def vote(said: Sequence[Judgment]) -> list[Judgment]:
    """The same answers, each of which counts alike."""
    return [replace(one, teacher="anyone") for one in said]


def measured(case: Case, repetitions: Sequence[int]) -> tuple[dict[str, np.ndarray], np.ndarray, float]:
    """nDCG@10 of each arm (repetitions,), the mean shares, and the calls a query that the jury made."""
    jury = teachers(case, repetitions)
    queries = [str(r) for r in repetitions]
    runs = [[query] for query in queries] if case.alone else [queries]
    names = [*(one.name for one in jury), "jury", "jury, unweighted vote"]
    arms: dict[str, dict[str, float]] = {name: {} for name in names}
    found, calls = [], 0
    for run in runs:
        for one in jury:
            said = rounds(case, run, case.calls, lambda group, one=one: [one.ask(group)])
            arms[one.name] |= quality(case, one, preferences.fit(said))
        said, share = (scoring if case.pointwise else comparing)(case, jury, run)
        found.append(share)
        calls += sum(len(one.items) if case.pointwise else 1 for one in said)
        arms["jury"] |= quality(case, jury[0], preferences.fit(said))
        arms["jury, unweighted vote"] |= quality(case, jury[0], preferences.fit(vote(said)))
    values = {name: np.array([known[query] for query in queries]) for name, known in arms.items()}
    return values, np.mean(found, axis=0), calls / len(queries)


def table(case: Case | Mixture, repetitions: Sequence[int]) -> Table:
    if isinstance(case, Mixture):
        values, share, calls = measured_mixture(case, repetitions)
        what = f"scores and pairs of noise {case.times:g}, which cost {case.pair}"
        title = f"{what}, {case.items} items, {case.cost} a query, {len(repetitions)} repetitions"
    else:
        values, share, calls = measured(case, repetitions)
        where = ", each query a run of its own" if case.alone else ""
        title = f"{case.way}, {case.items} items, {case.calls} calls a query{where}, {len(repetitions)} repetitions"
    shown = Table(title=title, title_justify="left")
    for name in ("who", "nDCG@10", "jury − this", "standard errors"):
        shown.add_column(name, justify="left" if name == "who" else "right")
    for name, found in values.items():
        ahead = values["jury"] - found
        error = ahead.std(ddof=1) / len(ahead) ** 0.5
        told = ("", "") if name == "jury" else (spread(ahead, 4), f"{ahead.mean() / error:+.1f}" if error else "0")
        shown.add_row(name, spread(found, 4), *told)
    spent = "spent" if isinstance(case, Mixture) else "calls"
    shown.caption = f"shares of the jury {', '.join(f'{one:.2f}' for one in share)}; {calls:.1f} {spent} a query"
    shown.caption_justify = "left"
    return shown


CASES = {
    "pairs": Case("soft", 100, 200),
    "hard": Case("hard", 100, 200),
    "scores": Case("score", 100, 200),
    "alone": Case("soft", 100, 200, alone=True),
    "mixed": Mixture(1.0, 300, 2),
    "mixed2": Mixture(2.0, 300, 2),
    "calls": Mixture(1.0, 200, 1),
    "calls2": Mixture(2.0, 200, 1),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--tune", type=int, nargs="?", const=240, help="so many of the repetitions to tune on")
    parser.add_argument("--parts", nargs="*", choices=CASES, default=["pairs", "scores", "mixed"])
    parser.add_argument("--from", type=int, default=1000, dest="first", help="the first of the repetitions")
    parser.add_argument("--count", type=int, default=480, help="how many of them")
    options = parser.parse_args()
    count = 3 if options.quick else options.count
    repetitions = range(options.tune) if options.tune else range(options.first, options.first + count)
    console = Console(width=120)
    for name in options.parts:
        case = CASES[name]
        if options.quick:
            case = replace(case, calls=40) if isinstance(case, Case) else replace(case, cost=160)
        console.print(table(case, repetitions))


if __name__ == "__main__":
    main()
