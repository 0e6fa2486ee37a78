"""The teacher beside the student: it re-orders the head of each ranking, as it would in front of a live search.

Its answers are kept in a file of their own. They are about what this student ranks first, so among the judgments they
would make the test set depend on the model that it measures, and held-out queries would become training data.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vdistill.arrays import Floats, Ints
from vdistill.bench.graded import Embedded, Known, Scored
from vdistill.database import Database
from vdistill.evaluation import metrics
from vdistill.evaluation.test_set import HeldOutSet
from vdistill.label.asking import Asker, Tally
from vdistill.label.purse import Purse
from vdistill.label.questions import Asked, judgment_of
from vdistill.label.second_stage.plan import Head, HeadPlan
from vdistill.label.second_stage.stores import APART as STORE
from vdistill.label.teacher import Teacher, calls_of, pointwise
from vdistill.records import Ask, Judgment, Question, ShownImage

__all__ = ["STORE", "Asking", "Rerank", "Spent"]


@dataclass(frozen=True)
class Asking:
    """Who is asked, how, and within which caps.

    store: the database of the answers.  shown: the images that can be shown, by item.  images: in a call.
    say: gets a notice of what is going to be asked.  advance: gets the tally as it grows.
    """

    teacher: Teacher
    purse: Purse
    store: Path
    shown: Mapping[str, ShownImage]
    images: int = 8
    ask: Ask = "best"
    concurrency: int = 8
    say: Callable[[str], None] = lambda text: None
    advance: Callable[[Tally], None] = lambda tally: None


@dataclass(frozen=True, slots=True)
class Spent:
    """What re-ordering takes. The fields are keys of `bench --json`.

    queries: those re-ordered completely.  calls_per_query, tokens_per_query, usd_per_query, seconds_per_query: means
    over them, stored answers included; seconds at this concurrency.  usd_per_query, seconds_per_query: None if unknown.
    calls, reused, failed, cost_usd: of this run.
    """

    model: str
    teacher: str
    depth: int
    queries: int = 0
    calls_per_query: float = 0.0
    tokens_per_query: float = 0.0
    usd_per_query: float | None = None
    seconds_per_query: float | None = None
    calls: int = 0
    reused: int = 0
    failed: int = 0
    cost_usd: float = 0.0


@dataclass
class Rerank:
    """A `Ranker`: the order of `model`, whose first `depth` the teacher has put in another order."""

    name: str
    model: Embedded
    depth: int
    asking: Asking
    notes: tuple[str, ...] = ()
    spent: Spent | None = None
    _orders: list[Ints | None] = field(default_factory=list)
    _seconds: float = 0.0  # spent on asking

    @property
    def calls_per_query(self) -> int:
        """The most calls about one query."""
        return self._plan.calls_for(self.depth)

    @property
    def _plan(self) -> HeadPlan:
        """As for a search of `vdistill query --rerank`."""
        return HeadPlan(self.asking.images, pointwise=pointwise(self.asking.teacher))

    def scores(self, held_out: HeldOutSet, known: Known) -> Iterator[Floats | None]:
        """(n,) for each query: the model's, with those of the head replaced; None where the teacher did not finish.

        Raises TeacherError where it is useless to go on; the answers so far are kept.
        """
        base = Scored(self.model)
        if not self._orders:
            self._orders = self._ordered(held_out, self._heads(held_out, base.scores(held_out, known)))
        for scores, order in zip(base.scores(held_out, known), self._orders, strict=True):
            yield None if order is None else _moved(scores, order)

    def _heads(self, held_out: HeldOutSet, ranked: Iterator[Floats]) -> list[Head]:
        """The first candidates of each query, each product by the best of its images that can be shown."""
        can = np.array([key in self.asking.shown for key in held_out.items])
        heads = []
        for judged, found in zip(held_out.judged, ranked, strict=True):
            candidates, products = held_out.dense(judged)[0], held_out.products
            rows = products.shown(np.where(can, found, -np.inf))[candidates]
            seen = can[rows]
            rows, scores = rows[seen], products.best(found)[candidates][seen]
            first = metrics.top(scores, self.depth)
            best = zip(rows[first].tolist(), scores[first].tolist(), strict=True)
            heads.append(Head(judged.query, {held_out.items[row]: score for row, score in best}))
        return heads

    def _ordered(self, held_out: HeldOutSet, heads: Sequence[Head]) -> list[Ints | None]:
        """For each query the indices of its head in the teacher's order."""
        asking, said = self.asking, dict[str, list[Judgment]]()
        self._announce(len(heads))
        with Database.open(asking.store) as database:
            asker = Asker(asking.teacher, database, asking.purse, asking.concurrency, asking.advance)
            start = 0
            while start < len(heads):
                step = self._step()
                said |= self._said(asker, heads[start : start + step])
                start += step
            pace = database.pace(asking.teacher.name)
        self._account(asker, said, pace, sum(len(head.items) > 1 for head in heads))
        place = {key: row for row, key in enumerate(held_out.items)}
        orders: list[Ints | None] = []
        for head in heads:
            unfinished = len(head.items) > 1 and head.query not in said
            ids = head.order(said.get(head.query, ()))
            orders.append(None if unfinished else np.array([place[one] for one in ids], np.intp))
        return orders

    def _announce(self, queries: int) -> None:
        calls, usd = self.calls_per_query * queries, self._price()
        cost = "" if usd == 0 else ", of unknown price" if usd is None else f", about ${usd * calls:,.2f}"
        self.asking.say(
            f"{self.name}: up to {calls:,} calls of {self.asking.teacher.name}{cost}, if none are stored yet"
        )

    def _price(self) -> float | None:
        """US dollars of a call."""
        example = Question("", tuple(self.asking.shown.values())[: self.asking.images], self.asking.ask)
        usd = self.asking.teacher.price(example).usd
        return None if usd is None else usd / calls_of(self.asking.teacher, example)

    def _step(self) -> int:
        """How many queries are asked about at a time, to their end: as many as keep the teacher busy.

        No more than the caps allow to finish, so that most of what was paid is of use where a cap stops the run.
        """
        purse, each = self.asking.purse, self.calls_per_query
        workers = max(self.asking.concurrency, self.asking.teacher.batch_size)
        step = math.ceil(workers / math.ceil(self.depth / self.asking.images))
        calls = purse.reach(self._price() or 0.0, step * each)
        if purse.budget is not None:
            calls = min(calls, purse.budget - purse.calls)
        return max(1, min(step, calls // each))

    def _said(self, asker: Asker, heads: Sequence[Head]) -> dict[str, list[Judgment]]:
        """The judgments on each of these queries; one that was not asked to its end is absent."""
        running = {head.query: head for head in heads if len(head.items) > 1}
        said: dict[str, list[Judgment]] = {query: [] for query in running}
        while running:
            asked = {query: self._round(asker, head, said[query]) for query, head in running.items()}
            started = time.monotonic()
            answers = asker.ask_keyed({key: one for round_ in asked.values() for key, one in round_.items()})
            self._seconds += time.monotonic() - started
            for query, round_ in asked.items():
                done = [(one, answers[key]) for key, one in round_.items() if key in answers]
                said[query] += [judgment_of(one, answer, asker.teacher.name) for one, answer in done]
                if len(done) < len(round_):
                    del said[query]
                if len(done) < len(round_) or not round_:
                    del running[query]
        return said

    def _round(self, asker: Asker, head: Head, said: Sequence[Judgment]) -> dict[str, Asked]:
        """The next questions by key; none where the plan is done."""
        shown, ask = self.asking.shown, self.asking.ask
        groups = self._plan.next_round(head, said)
        asked = [Asked(Question(one.query, tuple(shown[key] for key in one.items), ask), "heldout") for one in groups]
        return {asker.key(one.question): one for one in asked}

    def _account(
        self, asker: Asker, said: Mapping[str, Sequence[Judgment]], pace: float | None, queries: int
    ) -> None:  # fmt: skip
        """Note what it took, and what was left out."""
        answers = [one.answer for judgments in said.values() for one in judgments]
        count, teacher = max(len(said), 1), asker.teacher
        tally = asker.tally
        calls = sum(1 if one.level is None else len(one.probabilities or ()) for one in answers) / count
        usd: float | None = sum(answer.cost_usd for answer in answers) / count
        if not usd:
            each = self._price()
            usd = None if each is None else each * calls
        pace = self._seconds / tally.calls if tally.calls else pace  # of earlier runs where all is stored
        self.spent = Spent(
            self.name, teacher.name, self.depth, len(said), calls, sum(one.tokens for one in answers) / count, usd,
            None if pace is None else pace * calls, tally.calls, tally.reused, tally.failed, tally.cost_usd,
        )  # fmt: skip
        if missing := queries - len(said):
            why = f"{tally.failed:,} calls failed, " if tally.failed else ""
            self.notes = (
                f"{self.name}: {why}{missing:,} of {queries:,} queries were not re-ordered to the end; the row is "
                "about the others",
            )


def _moved(scores: Floats, order: Ints) -> Floats:
    """The scores, with those at the indices `order` above all others, and falling."""
    found = np.array(scores, np.float64)
    if len(order):
        found[order] = found.max() + np.arange(len(order), 0, -1)
    return found
