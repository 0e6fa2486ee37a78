"""How often two judges prefer the same image of the same question, and how often one does so when asked again.

A question is a query and a set of images, in whatever order they are shown. Two agree on it where both take the same
image as the best, or both none. An answer whose likeliest images are tied prefers none of them, and is left out.
The interval is Wilson's (1927), which holds for few questions and for shares near 0 and 1.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise, product
from math import sqrt
from typing import Any, TypeAlias

from vdistill.database import Database
from vdistill.database.people import PREFIX
from vdistill.records import Judgment, Rejection

Z = 1.959964  # of a 95 % interval
_TIE = 1e-6
NONE = ""  # the choice "none of these"

Asked: TypeAlias = "tuple[str, frozenset[str]]"


@dataclass(frozen=True, slots=True)
class Agreement:
    """On how many of `questions` two judges, or one judge twice, said the same.  chance: how many they would by chance.

    chance: with answers at random, the mean over the questions of 1 / images.
    """

    same: int
    questions: int
    chance: float

    @property
    def share(self) -> float:
        """The share of the questions, in [0, 1]."""
        return self.same / self.questions

    def to_json(self) -> dict[str, Any]:
        """The share with its 95 % interval, and what chance would bring."""
        low, high = wilson(self.same, self.questions)
        return {
            "agreement": round(self.share, 4), "ci95": [round(low, 4), round(high, 4)], "same": self.same,
            "questions": self.questions, "chance": round(self.chance, 4),
        }  # fmt: skip


def wilson(count: int, total: int) -> tuple[float, float]:
    """The 95 % interval of a share that was seen `count` times in `total`."""
    if not total:
        return 0.0, 1.0
    share, extra = count / total, Z * Z / total
    centre = (share + extra / 2) / (1 + extra)
    half = Z * sqrt(share * (1 - share) / total + extra / (4 * total)) / (1 + extra)
    return (0.0 if not count else max(0.0, centre - half)), (1.0 if count == total else min(1.0, centre + half))


def identity(said: Judgment | Rejection) -> Asked:
    """The question that this answers: equal for the same images in another order."""
    return said.query, frozenset(said.sha256)


def choice(said: Judgment | Rejection) -> str | None:
    """The content that was preferred; NONE for none of these, None for a tie."""
    if isinstance(said, Rejection):
        return NONE
    chances = sorted(said.answer.probabilities or (), reverse=True)
    if len(chances) > 1 and chances[0] - chances[1] < _TIE:
        return None
    return said.sha256[said.answer.best]


def with_self(answers: Iterable[Judgment | Rejection]) -> Agreement | None:
    """Of one judge; each answer to a question that was asked before is compared with the one before it.

    answers: oldest first. None where no question was asked twice.
    """
    pairs = []
    for asked, choices in _by_question(answers).items():
        pairs += [(asked, first == second) for first, second in pairwise(choices)]
    return _agreement(pairs)


def between(one: Iterable[Judgment | Rejection], other: Iterable[Judgment | Rejection]) -> Agreement | None:
    """Of two judges, by the first answer of each to a question. None where they have no question in common."""
    ours, theirs = _by_question(one), _by_question(other)
    return _agreement([(asked, ours[asked][0] == theirs[asked][0]) for asked in ours if asked in theirs])


def of_people(database: Database) -> list[dict[str, Any]]:
    """Each person beside every other judge, and beside themselves: {"judges": [one, other], …} each.

    Where questions were chosen because judges disagree on them, `fair` has the agreement on the others alone.
    """
    reasons = database.people.reasons()
    chosen = {key for key, reason in reasons.items() if reason == "disputed"}
    people, fair = _of_people(database), set()
    for said in people.values():
        fair |= {identity(one) for key, one in said if key not in chosen}
    answers: dict[str, list[Judgment | Rejection]] = {name: [one for _, one in said] for name, said in people.items()}
    for _, one in database.judgments_on(one.query for said in people.values() for _, one in said):
        if one.teacher not in people:
            answers.setdefault(one.teacher, []).append(one)
    return of_all(answers, people, fair)


def _of_people(database: Database) -> dict[str, list[tuple[str, Judgment | Rejection]]]:
    """What each person said, oldest first, with the keys of the questions."""
    found: dict[str, list[tuple[str, Judgment | Rejection]]] = defaultdict(list)
    for name in database.teachers():
        if name.startswith(PREFIX):
            found[name] += database.keyed_judgments(teacher=name)
    for key, one in database.people.rejections():
        found[one.teacher].append((key, one))
    return dict(found)


def of_all(
    answers: Mapping[str, Sequence[Judgment | Rejection]], people: Iterable[str], fair: Iterable[Asked] = ()
) -> list[dict[str, Any]]:
    """As `of_people`. answers: by judge.  people: who of them is a person.  fair: questions nobody chose."""
    people, fair = sorted(set(people) & set(answers)), frozenset(fair)
    found = []
    for person in people:
        if (own := with_self(answers[person])) is not None:
            found.append({"judges": [person, person], **own.to_json()})
    others = sorted(set(answers) - set(people))
    for one, other in [*product(people, others), *combinations(people, 2)]:
        both = between(answers[one], answers[other])
        if both is None:
            continue
        part = between([said for said in answers[one] if identity(said) in fair], answers[other])
        narrower = part is not None and part.questions < both.questions
        found.append({
            "judges": [one, other], **both.to_json(), **({"fair": part.to_json()} if part and narrower else {})
        })  # fmt: skip
    return found


def _by_question(answers: Iterable[Judgment | Rejection]) -> dict[Asked, list[str]]:
    found: dict[Asked, list[str]] = defaultdict(list)
    for said in answers:
        if len(said.items) > 1 and (chosen := choice(said)) is not None:
            found[identity(said)].append(chosen)
    return found


def _agreement(pairs: Sequence[tuple[Asked, bool]]) -> Agreement | None:
    if not pairs:
        return None
    chance = sum(1 / max(len(asked[1]), 1) for asked, _ in pairs) / len(pairs)
    return Agreement(sum(same for _, same in pairs), len(pairs), chance)
