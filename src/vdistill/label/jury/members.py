"""The teachers of a jury, and the jury as one teacher: what a plan needs to know of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from vdistill.database import Database
from vdistill.errors import TeacherError, VdistillError
from vdistill.label.asking import Asker, Tally
from vdistill.label.questions import Asked, judgment_of, key_of
from vdistill.label.teacher import Price, Rewriter, Selective, Teacher, Writer, pointwise
from vdistill.records import Answer, Ask, Failure, Judgment, Question


@dataclass
class Member:
    """One teacher of a jury.

    concurrency: calls at once, as the user gave it.  opened: what asks it; None in a plan.
    ask: how it is asked, where the user left that open.  none: whether it is offered "none of these".
    why: why it is not asked any more; "" while it is.
    seconds: that its calls took, waiting for one another or not.
    """

    teacher: Teacher
    concurrency: int
    ask: Ask = "best"
    none: bool = False
    why: str = ""
    seconds: float = 0.0
    tally: Tally = field(default_factory=Tally)
    opened: Asker | None = None

    @property
    def asker(self) -> Asker:
        """What asks it."""
        assert self.opened is not None
        return self.opened

    @property
    def name(self) -> str:
        """Of its teacher."""
        return self.teacher.name

    @property
    def scores(self) -> bool:
        """Whether it scores each image by itself."""
        return pointwise(self.teacher)

    @property
    def gone(self) -> bool:
        """Whether it is not asked any more."""
        return bool(self.why)

    @property
    def settled(self) -> bool:
        """Whether its keys are known; if not, its first answer tells."""
        return bool(getattr(self.teacher, "settled", True))

    @property
    def threads(self) -> int:
        """How many of its calls may be under way at once; one until its keys are settled."""
        if not self.settled:
            return 1
        return max(1, min(self.concurrency, self.teacher.concurrency))

    def asked(self, one: Asked) -> Asked:
        """A question of the plan, as this teacher is asked it."""
        none = one.question.none and self.none
        if (one.question.ask, one.question.none) == (self.ask, none):
            return one
        return replace(one, question=replace(one.question, ask=self.ask, none=none))

    def key(self, one: Asked) -> str:
        """The key of its answer to a question of the plan."""
        return key_of(self.teacher, self.asked(one).question)


def said_by(members: Sequence[Member], asked: Sequence[Asked], database: Database) -> tuple[list[Judgment], bool]:
    """What any of them has said to these questions, and whether anything was said, be it "none of these" alone."""
    keyed = [(member.key(one), one, member) for one in asked for member in members]
    found = database.answers([key for key, _, _ in keyed])
    judgments = [
        judgment_of(member.asked(one), found[key], member.name)
        for key, one, member in keyed
        if key in found and not found[key].rejects
    ]
    return judgments, bool(found)


@dataclass
class Jury:
    """Several teachers as one, to plan with; a `Teacher` that is not asked itself.

    weights: the share of the calls that each is expected to get; equal ones at first.  nones: which of them are offered
    "none of these"; nobody by default.
    """

    teachers: Sequence[Teacher]
    weights: Sequence[float] = ()
    nones: Sequence[bool] = ()
    prompt: str = ""
    batch_size: int = 1
    name: str = field(init=False)
    concurrency: int = field(init=False)
    looks: bool = field(init=False)

    def __post_init__(self) -> None:
        """Check that they fit together. Raises VdistillError where two are the same."""
        names = [teacher.name for teacher in self.teachers]
        self.name = " + ".join(names)
        self.concurrency = sum(teacher.concurrency for teacher in self.teachers)
        self.looks = any(teacher.looks for teacher in self.teachers)
        self.nones = self.nones or [False] * len(names)
        self.weights = self.weights or [1 / len(names)] * len(names)
        twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
        if twice is not None:
            raise VdistillError(f"{twice} is named twice", hint="a jury is of different teachers: leave one out")

    @property
    def pointwise(self) -> bool:
        """Whether all of them score images by themselves."""
        return all(pointwise(teacher) for teacher in self.teachers)

    @property
    def mixed(self) -> bool:
        """Whether some of them score images by themselves, and the others compare."""
        return len({pointwise(teacher) for teacher in self.teachers}) > 1

    @property
    def writer(self) -> Teacher:
        """The first one that can write queries, else the first."""
        return next((teacher for teacher in self.teachers if isinstance(teacher, Writer)), self.teachers[0])

    @property
    def rewriter(self) -> Teacher:
        """The first one that can put queries in other words, else the first."""
        return next((teacher for teacher in self.teachers if isinstance(teacher, Rewriter)), self.teachers[0])

    def unknown(self, queries: Sequence[str], items: Sequence[str]) -> tuple[list[str], list[str]]:
        """The queries and items that any of them cannot judge: what is shown must be known to all."""
        found = [one.unknown(queries, items) for one in self.teachers if isinstance(one, Selective)]
        no_query, no_item = ({text for pair in found for text in pair[part]} for part in (0, 1))
        return [query for query in queries if query in no_query], [item for item in items if item in no_item]

    def price(self, question: Question) -> Price:
        """What a question costs on average; the price is not known where that of any of them is not.

        Of a mixed jury, what a call of it costs.
        """
        alone = replace(question, images=question.images[:1]) if self.mixed else question
        prices = [teacher.price(alone if pointwise(teacher) else question) for teacher in self.teachers]
        usd = [price.usd for price in prices if price.usd is not None]
        pairs = list(zip(self.weights, prices, strict=True))
        return Price(
            tokens=round(sum(weight * price.tokens for weight, price in pairs)),
            usd=sum(w * value for w, value in zip(self.weights, usd, strict=True)) if len(usd) == len(prices) else None,
            seconds=sum(weight * price.seconds for weight, price in pairs),
        )

    def ask(self, questions: Sequence[Question]) -> list[Answer | Failure]:
        """Each of them is asked by itself."""
        raise TeacherError("a jury is not asked as one", hint="ask its teachers")

    def close(self) -> None:
        """Close all of them."""
        for teacher in self.teachers:
            teacher.close()
