"""One search of a second stage: what is known is read, the rest is asked, and every answer is stored as it comes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vdistill.database import Database
from vdistill.errors import VdistillError
from vdistill.inputs.hashes import Hashes
from vdistill.inputs.sides import Sides
from vdistill.label import ask_mode
from vdistill.label.asking import Asker, Tally
from vdistill.label.purse import Purse
from vdistill.label.questions import Asked
from vdistill.label.schedules import Group
from vdistill.label.second_stage.plan import Head, HeadPlan
from vdistill.label.second_stage.stores import Placed, Stores
from vdistill.label.teacher import Teacher, calls_of, pointwise
from vdistill.records import Ask, Item, Judgment, Question, ShownImage
from vdistill.workspace import Workspace

_FRESH = 30.0  # seconds that the sides of a workspace are taken as they were read


@dataclass
class Search:
    """A search under way, for the one who waits for it and the one who asks.

    items: its first hits, best first.  scores: of the student.  stop: ask no more.
    changed: is called, in the thread that asks, when something new is known.
    """

    text: str
    items: Sequence[Item]
    scores: Sequence[float]
    changed: Callable[[], None] = lambda: None
    stop: threading.Event = field(default_factory=threading.Event)
    tally: Tally = field(default_factory=Tally)
    done: bool = False
    notice: str = ""
    said: Sequence[Judgment] = ()
    head: Head | None = None  # once it is known which images can be shown

    def order(self) -> tuple[list[str], int]:
        """The ids of the hits in the order that follows from what is known by now, and how many were judged."""
        head, said = self.head, list(self.said)
        judged = len(head.judged(said)) if head else 0
        if head is None or not judged:
            return [item.id for item in self.items], 0
        return _merged([item.id for item in self.items], head.order(said)), judged


class Judging:
    """Asks one teacher about searches. `judge` may run in several threads, as far as the teacher allows."""

    def __init__(
        self, teacher: Teacher, workspace: Workspace, *, images: int, calls: int | None = None,
        ask: Ask | None = None, holdout: float,
    ) -> None:  # fmt: skip
        """images: in a call.  calls: about a head, None for what suits.  ask: None for what suits.

        holdout: the share that is held out where the workspace does not remember one.
        """
        self.teacher, self._workspace = teacher, workspace
        self.plan = HeadPlan(images, calls, pointwise(teacher))
        self._ask, self._holdout = ask, holdout
        self._sides: tuple[float, Sides] | None = None

    def at_once(self, images: int) -> int:
        """How many calls about so many images are made at once."""
        return max(min(-(-images // self.plan.images), self.teacher.concurrency), 1)

    def price(self, search: Search) -> tuple[int, float]:
        """The most calls of a search, and the US dollars that they are expected to cost, as far as known."""
        shown = [ShownImage(item.id, item.file, "") for item in search.items[: self.plan.images]]
        question = Question(search.text, tuple(shown), self._ask or "best")
        each = (self.teacher.price(question).usd or 0.0) / calls_of(self.teacher, question)
        calls = self.plan.calls_for(len(search.items)) + (
            0 if self.plan.pointwise else 1
        )  # two sides may take one more
        return calls, calls * each

    def judge(self, search: Search, purse: Purse) -> None:
        """Ask until enough was said, the caps are reached, or it is told to stop.

        Raises VdistillError where the teacher fails or a database is damaged; what was said until then is in `search`.
        """
        with Hashes.open(self._workspace.cache) as cache:
            hashes = cache.of(search.items)
        shown = {item.id: ShownImage(item.id, item.file, hashes[item.id]) for item in search.items if item.id in hashes}
        placed = Placed.of(self._sides_now(), search.text, search.items, hashes)
        scores = {item.id: score for item, score in zip(search.items, search.scores, strict=True) if item.id in shown}
        head = Head(search.text, scores, placed.items.split if placed.query == "train" else None)
        with Stores.open(self._workspace, placed) as stores:
            known = stores.known(self.teacher, search.text, hashes)
            search.said, search.head = known, head

            def told(tally: Tally) -> None:
                search.said = [*known, *stores.fresh]
                search.changed()

            asker = Asker(self.teacher, stores, purse, self.at_once(len(head.items)), told, placed, search.tally,
                          search.stop.is_set)  # fmt: skip
            search.changed()
            failed: set[str] = set()
            while (groups := self.plan.next_round(head, search.said, failed)) and not search.stop.is_set():
                before = len(search.said)
                missing = self._round(asker, search, placed, groups, shown)
                failed.update(item for one in missing for item in one.items)
                if len(search.said) == before:
                    break
            search.notice = _notice(asker, search, groups)
        if len(shown) < 2:
            search.notice = (
                f"{len(shown)} of the first {len(search.items)} images can be read: there is nothing to order"
            )

    def _round(
        self, asker: Asker, search: Search, placed: Placed, groups: Sequence[Group], shown: Mapping[str, ShownImage]
    ) -> list[Group]:
        """Ask the questions of a round; those that have no answer now."""
        ask = self._ask or ask_mode.best_known(asker.database, self.teacher)
        asked = [
            Asked(Question(one.query, tuple(shown[item] for item in one.items), ask), placed.split(one.items))
            for one in groups
        ]
        asker.ask_each([(asker.key(one.question), one) for one in asked])
        ask_mode.note_hard(asker.database, self.teacher)
        keys = [asker.key(one.question) for one in asked]  # the first answer may have settled them
        answered = asker.database.answered(keys)
        return [group for group, key in zip(groups, keys, strict=True) if key not in answered]

    def _sides_now(self) -> Sides:
        now = time.monotonic()
        if self._sides is None or now - self._sides[0] > _FRESH:
            with Database.existing(self._workspace) as database:
                known = None if database is None else database.setting("holdout")
                self._sides = now, Sides.read(database, self._holdout if known is None else None)
        return self._sides[1]


def _notice(asker: Asker, search: Search, groups: Sequence[Group]) -> str:
    """Why a search was not asked about to the end; "" where it was."""
    tally = asker.tally
    if tally.failed:
        return f"{tally.failed} of {tally.calls} calls of {asker.teacher.name} failed: {asker.last_failure}"
    if groups and not search.stop.is_set():
        return f"{asker.teacher.name} was not asked to the end: the calls that are allowed are used up"
    return ""


def _merged(ids: Sequence[str], order: Sequence[str]) -> list[str]:
    """All ids, those of `order` in its order on the places that they had; the others stay where they are."""
    moved, following = set(order), iter(order)
    return [next(following) if id_ in moved else id_ for id_ in ids]


def explained(error: VdistillError) -> str:
    """A failure in one line, for a notice."""
    return f"{error.message} ({error.hint})" if error.hint else error.message


def told(search: Search) -> dict[str, Any]:
    """What `query.second_stage.in_order` wants to know of a search."""
    _, judged = search.order()
    return {"judged": judged, "calls": search.tally.calls, "cost_usd": search.tally.cost_usd, "notice": search.notice}
