"""What a jury is going to be asked: the core, and after it the plan of the calls that are left."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from vdistill import preferences
from vdistill.errors import VdistillError
from vdistill.label.jury.core import SHARE, core_groups, core_size
from vdistill.label.jury.members import Jury, Member
from vdistill.label.jury.shares import Means, Offer, dealt, shares
from vdistill.label.layout import usual_calls
from vdistill.label.prepare import Inputs
from vdistill.label.purse import Purse
from vdistill.label.questions import Asked, identity_of
from vdistill.label.settings import LabelSettings
from vdistill.label.stage import SIDES, Stage
from vdistill.records import Judgment, Question, ShownImage


@dataclass
class Planner:
    """The plan of a jury's run.

    inputs: whose teacher is the jury.  full: the stage of all calls, as if one teacher were asked.
    """

    inputs: Inputs
    jury: Jury
    settings: LabelSettings
    price: list[float | None] = field(default_factory=list)  # of a call of each teacher

    def __post_init__(self) -> None:
        """Lay out all calls, and choose the core. Raises VdistillError where the caps do not allow a call of each."""
        self.price = [self._usd(number) for number in range(len(self.jury.teachers))]
        least = sum(usd or 0.0 for usd in self.price)
        if self.settings.max_cost is not None and self.settings.max_cost < least:
            raise VdistillError(
                f"--max-cost {self.settings.max_cost:g} is too little for a call of each teacher, ${least:.3g} in all",
                hint="raise it, lower the price with --images-per-call or --max-pixels, or name fewer teachers",
            )
        self.full = self._stage(self._calls(self.settings.max_cost))
        self.core = self._core()

    def reprice(self, number: int) -> None:
        """By what the price of a teacher is now."""
        self.price[number] = self._usd(number)

    @property
    def pointwise(self) -> bool:
        """Whether images are scored by themselves."""
        return self.jury.pointwise

    @property
    def identity(self) -> str:
        """Names this jury and its core: what was found out about it holds as long as this is the same."""
        parts = [f"{teacher.name}/{teacher.prompt}" for teacher in self.jury.teachers]
        parts += [identity_of(one.question).hex() for one in self.core]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    def offers(self, judgments: Sequence[Judgment], members: Sequence[Member] = ()) -> list[Offer]:
        """What each teacher offers, by the answers to the core; nothing is known before there are any."""
        known = preferences.trust(judgments) if len({one.teacher for one in judgments}) > 1 else {}
        answered = [_answered(member) for member in members] or [1.0] * len(self.jury.teachers)
        return [
            Offer(known.get(teacher.name), usd, share)
            for teacher, usd, share in zip(self.jury.teachers, self.price, answered, strict=True)
        ]

    def shares(self, offers: Sequence[Offer]) -> list[float]:
        """The share of the calls of each. Where images are scored: of the questions of the plan, one or less each."""
        means = self._means()
        if not self.pointwise:
            return [round(share, 4) for share in shares(offers, means).tolist()]
        if all(offer.trust is None for offer in offers):
            return [min(1.0, means.looks / len(offers))] * len(offers)
        total = max(self._questions(), 1)
        return [round(min(calls / total, 1.0), 4) for calls in dealt(offers, means).tolist()]

    def rest(self, given: Sequence[float]) -> Stage:
        """What is asked after the core, with these shares."""
        self.jury.weights = [share / (sum(given) or 1.0) for share in given]
        core, left = len(self.core) * len(self.jury.teachers), self.settings.max_cost
        if self.pointwise or not core:
            return self.full
        if left is not None:
            left = max(left - len(self.core) * sum(usd or 0.0 for usd in self.price), 0.0)
        calls = self._calls(left)
        if calls is not None and self.settings.budget is not None:
            calls = min(calls, self.settings.budget - core)
        return self.full if calls is None else self._stage(max(calls, 1))

    def _means(self) -> Means:
        core, questions, usd = len(self.core) * len(self.jury.teachers), self._questions(), self.settings.max_cost
        if self.pointwise:
            images = self.full.plan.images_per_call
            total = self._calls(usd)
            total = questions if total is None else max(total // images, 1)
            return Means(total, None if usd is None else usd / images, total / max(questions, 1), once=True)
        calls = max(questions - core, 1)
        if usd is not None:
            usd = max(usd - len(self.core) * sum(price or 0.0 for price in self.price), 0.0)
            calls = max((self.settings.budget or usual_calls(self.inputs.queries)) - core, 1)
        return Means(calls, usd, self._looks())

    def _questions(self) -> int:
        """How many questions the plan of all calls has."""
        if not self.pointwise:
            return self.full.most_calls
        held_out = self.full.held_out()
        train = self.full.training({}).left if self.full.queries_of("train") else 0
        return train + (held_out.left if held_out else 0)

    def _looks(self) -> float:
        """How often one teacher would look at an image that it is shown for a query, on average."""
        shown, looks = 0.0, 0.0
        for split in SIDES:
            plan = self.full.plan if split == "train" else self.full.held_out_plan
            queries, items = len(self.full.queries_of(split)), len(self.full.items_of(split))
            positions = plan.calls_per_query * plan.images_per_call
            shown += queries * min(positions, items)
            looks += queries * positions
        return looks / max(shown, 1.0)

    def _core(self) -> list[Asked]:
        questions = self._questions()
        size = core_size(questions, len(self.jury.teachers), pointwise=self.pointwise)
        known = [usd or 0.0 for usd in self.price]
        each = sum(known) * (self.full.plan.images_per_call if self.pointwise else 1)
        if self.settings.max_cost is not None and each:
            size = min(size, int(SHARE * self.settings.max_cost / each))
        if self.pointwise:
            return self._first(size)
        return [Asked(self.full.question(group), split)
                for split, group in core_groups(self.full, size)]  # fmt: skip

    def _first(self, size: int) -> list[Asked]:
        """The first questions of the plan, on both sides."""
        found: list[Asked] = []
        schedules = {"train": self.full.training({}) if self.full.queries_of("train") else None,
                     "heldout": self.full.held_out()}  # fmt: skip
        for split in SIDES:
            schedule = schedules[split]
            if schedule is not None:
                groups = schedule.next_round([])
                share = round(size * len(self.full.queries_of(split)) / len(self.full.queries))
                some = [groups[place] for place in range(min(share, len(groups)))]
                found += [Asked(self.full.question(group), split, group.pool) for group in some]
        return found

    def _calls(self, max_cost: float | None) -> int | None:
        """How many calls the caps allow at the mean price; None without caps."""
        if max_cost is None:
            return self.settings.budget
        usual = usual_calls(self.inputs.queries) * (self.settings.images_per_call if self.pointwise else 1)
        usd = sum(weight * (price or 0.0) for weight, price in zip(self.jury.weights, self.price, strict=True))
        return Purse(max_cost=max_cost).reach(usd, self.settings.budget or usual)

    def _stage(self, calls: int | None) -> Stage:
        return self.inputs.stage(replace(self.settings, budget=calls, max_cost=None))

    def _usd(self, number: int) -> float | None:
        """The price of a call of one teacher."""
        images = 1 if self.pointwise else self.settings.images_per_call
        some = tuple(ShownImage(item.id, item.file, "") for item in islice(self.inputs.items.values(), images))
        return self.jury.teachers[number].price(Question(self.inputs.queries[0].text, some, self.settings.ask)).usd


def _answered(member: Member) -> float:
    """The share of a teacher's calls that brought an answer; 1 before there are any."""
    tally = member.tally
    asked = tally.judgments + tally.failed
    return 0.0 if member.gone else max(tally.judgments / asked, 0.01) if asked else 1.0
