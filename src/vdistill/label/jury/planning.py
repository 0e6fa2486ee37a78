"""What a jury is going to be asked: the core, and after it the plan of the calls that are left."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from vdistill import preferences
from vdistill.errors import VdistillError
from vdistill.label.jury.core import DEALS, SHARE, core_groups, core_size, shown_once
from vdistill.label.jury.members import Jury, Member
from vdistill.label.jury.parts import Part
from vdistill.label.jury.shares import Means, Offer, dealt, shares
from vdistill.label.layout import usual_calls
from vdistill.label.prepare import Inputs
from vdistill.label.purse import Purse
from vdistill.label.questions import Asked, identity_of
from vdistill.label.settings import LabelSettings
from vdistill.label.stage import SIDES, Stage
from vdistill.label.teacher import calls_of, pointwise
from vdistill.records import Judgment, Question, ShownImage


@dataclass
class Planner:
    """The plan of a jury's run.

    inputs: whose teacher is the jury.  full: the stage of all calls, as if one teacher were asked; of a mixed jury, one
    that compares. There a call is a question of those who compare and an image of those who score, and without a budget
    it has as many calls as the former would have.
    """

    inputs: Inputs
    jury: Jury
    settings: LabelSettings
    price: list[float | None] = field(default_factory=list)  # of a call of each teacher

    def __post_init__(self) -> None:
        """Lay out all calls, and choose the core. Raises VdistillError where the caps do not allow a call of each."""
        if self.jury.mixed and self.settings.budget is None:
            self.settings = replace(self.settings, budget=usual_calls(self.inputs.queries))
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
        """Whether images are scored by themselves, by all of them."""
        return self.jury.pointwise

    @property
    def identity(self) -> str:
        """Names this jury and its core: what was found out about it holds as long as this is the same."""
        parts = [f"{teacher.name}/{teacher.prompt}" for teacher in self.jury.teachers]
        parts += [identity_of(one.question).hex() for one in self.core]
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]

    def member(self, number: int) -> Member:
        """A teacher as it is asked. A score is no order, so `--ask rank` is for those who compare."""
        teacher, settings = self.jury.teachers[number], self.settings
        scores = self.jury.mixed and pointwise(teacher)
        return Member(teacher, settings.concurrency, "best" if scores else settings.ask, self.jury.nones[number])

    def core_of(self, number: int) -> list[Asked]:
        """The common questions as a teacher is asked them: who scores images, about each once."""
        return shown_once(self.core) if pointwise(self.jury.teachers[number]) else self.core

    @property
    def core_answers(self) -> int:
        """How many answers the core has, when it is complete."""
        return sum(len(self.core_of(number)) for number in range(len(self.jury.teachers)))

    def offers(self, judgments: Sequence[Judgment], members: Sequence[Member] = ()) -> list[Offer]:
        """What each teacher offers, by the answers to the core; nothing is known before there are any."""
        known = preferences.trust(judgments) if len({one.teacher for one in judgments}) > 1 else {}
        answered = [_answered(member) for member in members] or [1.0] * len(self.jury.teachers)
        images = self.full.plan.images_per_call
        found = []
        for teacher, usd, share in zip(self.jury.teachers, self.price, answered, strict=True):
            trust, once = known.get(teacher.name), pointwise(teacher)
            looks = 1.0
            if self.jury.mixed and not once:
                looks = images - 1.0 if trust is None else trust.bits(images) / trust.bits_of_number
            found.append(Offer(trust, usd, share, once, looks))
        return found

    def shares(self, offers: Sequence[Offer]) -> list[float]:
        """The share of the calls of each. Where all score images: of the questions of the plan, one or less each."""
        means = self._means()
        if not self.pointwise:
            return [round(share, 4) for share in shares(offers, means).tolist()]
        if all(offer.trust is None for offer in offers):
            return [min(1.0, means.looks / len(offers))] * len(offers)
        total = max(self._questions(), 1)
        return [round(min(calls / total, 1.0), 4) for calls in dealt(offers, means).tolist()]

    def rest(self, given: Sequence[float]) -> list[Part]:
        """What is asked after the core, with these shares."""
        self.jury.weights = [share / (sum(given) or 1.0) for share in given]
        everyone = tuple(range(len(given)))
        if self.pointwise or not (self.core or self.jury.mixed):
            return [Part(everyone, self.full, tuple(given))]
        left = self._left()
        if left is not None and self.jury.mixed:
            return self._of_both_kinds(given, left)
        return [Part(everyone, self.full if left is None else self._stage(max(left, 1)), tuple(given))]

    def _of_both_kinds(self, given: Sequence[float], left: int) -> list[Part]:
        """The part of those who score images, and of those who compare, which has what the former leave."""
        scored = self._scored(given, left)
        numbers = tuple(number for number, one in enumerate(self.jury.teachers) if not pointwise(one))
        total = sum(given[number] for number in numbers)
        if scored and not total:
            return [scored[0]]
        shared = tuple(given[number] / total if total else 1 / len(numbers) for number in numbers)
        calls = left - sum(scored[1].values()) if scored else left
        if self.settings.max_cost is not None:
            spent = sum(count * (self.price[number] or 0.0) for number, count in (scored[1] if scored else {}).items())
            usd = sum(share * (self.price[number] or 0.0) for share, number in zip(shared, numbers, strict=True))
            calls = Purse(max_cost=max(self.settings.max_cost - self._core_usd - spent, 0.0)).reach(usd, calls)
        if scored and calls < 1:
            return [scored[0]]
        part = Part(numbers, self._stage(max(calls, 1)), shared)
        return [scored[0], part] if scored else [part]

    def _scored(self, given: Sequence[float], left: int) -> tuple[Part, dict[int, int]] | None:
        """The part of those who score images, and the calls of each; None where they are asked nothing more.

        They score the images that the others compare, but for those of the core.
        """
        teachers, images = self.jury.teachers, self.full.plan.images_per_call
        numbers = tuple(number for number, teacher in enumerate(teachers) if pointwise(teacher))
        wanted = [int(given[number] * left + 1e-6) // images for number in numbers]
        if not max(wanted):
            return None
        others = any(share for number, share in enumerate(given) if number not in numbers)
        compared = self._stage(max(left - images * sum(wanted), 1)) if others else self.full
        shown = self.inputs.items.only(compared.shown)
        scorers = Jury([teachers[number] for number in numbers])
        inputs = replace(self.inputs, teacher=scorers, items=shown, say=_unsaid, _said=set())
        part, questions = self._scores(inputs, numbers, max(wanted))
        if not questions:
            return None
        shared = tuple(min(count / len(questions), 1.0) for count in wanted)
        calls = {number: sum(questions[:count]) for number, count in zip(numbers, wanted, strict=True)}
        return replace(part, given=shared), calls

    def _scores(self, inputs: Inputs, numbers: tuple[int, ...], wanted: int) -> tuple[Part, list[int]]:
        """A part with `wanted` questions, or as many as there are images for, and how many images each of them has."""
        settings = replace(self.settings, schedule="adaptive", ask="best", none=False, max_cost=None)
        scored = defaultdict[str, set[str]](set)
        for one in self.core_of(numbers[0]):
            scored[one.question.query] |= {image.item_id for image in one.question.images}
        questions: list[int] = []
        for times in (1, 2, 4, 8):  # a plan is laid out for queries with many images, and some may have few
            stage = inputs.stage(replace(settings, budget=times * wanted * settings.images_per_call))
            plan, held_out_plan = (replace(one, scored=scored) for one in (stage.plan, stage.held_out_plan))
            part = Part(numbers, replace(stage, plan=plan, held_out_plan=held_out_plan), ())
            before, questions = questions, [len(one.question.images) for one in part.scored(self.jury)]
            if len(questions) >= wanted or len(questions) == len(before):
                break
        return part, questions

    def _left(self) -> int | None:
        """How many calls the caps leave after the core; None without caps."""
        usd = self.settings.max_cost
        calls = self._calls(usd if usd is None else max(usd - self._core_usd, 0.0))
        if calls is not None and self.settings.budget is not None:
            calls = min(calls, self.settings.budget - self.core_calls)
        return calls

    def _means(self) -> Means:
        questions, usd = self._questions(), self.settings.max_cost
        if self.pointwise:
            images = self.full.plan.images_per_call
            total = self._calls(usd)
            total = questions if total is None else max(total // images, 1)
            return Means(total, None if usd is None else usd / images, total / max(questions, 1))
        calls = max(questions - self.core_calls, 1)
        if usd is not None:
            usd = max(usd - self._core_usd, 0.0)
            calls = max((self.settings.budget or usual_calls(self.inputs.queries)) - self.core_calls, 1)
        positions, shown = self._positions()
        return Means(calls, usd, (calls if self.jury.mixed else positions) / max(shown, 1))

    @property
    def core_calls(self) -> int:
        """How many calls the core is, of all teachers together."""
        return sum(self._calls_of_core(number) for number in range(len(self.jury.teachers)))

    @property
    def _core_usd(self) -> float:
        return sum(self._calls_of_core(number) * (usd or 0.0) for number, usd in enumerate(self.price))

    def _calls_of_core(self, number: int) -> int:
        return sum(calls_of(self.jury.teachers[number], one.question) for one in self.core_of(number))

    def _questions(self) -> int:
        """How many questions the plan of all calls has."""
        if not self.pointwise:
            return self.full.most_calls
        held_out = self.full.held_out()
        train = self.full.training({}).left if self.full.queries_of("train") else 0
        return train + (held_out.left if held_out else 0)

    def _positions(self) -> tuple[int, int]:
        """In how many positions the plan of all calls shows images, and how many images it shows for its queries."""
        shown, found = 0, 0
        for split in SIDES:
            plan = self.full.plan if split == "train" else self.full.held_out_plan
            queries, items = len(self.full.queries_of(split)), len(self.full.items_of(split))
            positions = plan.calls_per_query * plan.images_per_call
            shown += queries * min(positions, items)
            found += queries * positions
        return found, shown

    def _core(self) -> list[Asked]:
        images = self.full.plan.images_per_call
        once = images / DEALS if self.jury.mixed else images
        calls = [once if pointwise(teacher) else 1 for teacher in self.jury.teachers]  # of a question
        each = sum(count * (usd or 0.0) for count, usd in zip(calls, self.price, strict=True))
        size = core_size(
            self._questions(), len(calls) if self.pointwise else sum(calls), pointwise=self.pointwise
        )  # fmt: skip
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
        teacher = self.jury.teachers[number]
        images = 1 if pointwise(teacher) else self.settings.images_per_call
        some = tuple(ShownImage(item.id, item.file, "") for item in islice(self.inputs.items.values(), images))
        return teacher.price(Question(self.inputs.queries[0].text, some, self.settings.ask)).usd


def _unsaid(text: str) -> None:
    """What is to be said of items and queries, the plan of those who compare has said."""


def _answered(member: Member) -> float:
    """The share of a teacher's calls that brought an answer; 1 before there are any."""
    tally = member.tally
    asked = tally.judgments + tally.failed
    return 0.0 if member.gone else max(tally.judgments / asked, 0.01) if asked else 1.0
