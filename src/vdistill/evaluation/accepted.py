"""What is accepted: for the queries of a side, the probability that their judge would take an item rather than none.

The judge is the one that `bench` measures by; people, who can always say "none of these", count with it. What nothing
in the catalog answers is known from their answers, or from the user.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from vdistill import preferences
from vdistill.database import Database
from vdistill.database.people import may_reject
from vdistill.evaluation.admissible import Judge, admissible, juries_of
from vdistill.inputs.renamed import following
from vdistill.inputs.sides import Sides
from vdistill.records import Answer, Judgment, Rejection

REJECTED = 0.5  # a query of which no item is more likely to be accepted is not answered
FAR, SHOWN = 0.1, 200  # so many items were shown for a training query, and none is as likely: none at all will do


@dataclass(frozen=True)
class HeldOutAcceptance:
    """Of the held-out side: by query and item the probability of being accepted, and what is not answered.

    unanswered: queries that nothing answers by the word of the user.  judge: whose answers they are; None without any.
    """

    known: Mapping[str, Mapping[str, float]]
    unanswered: tuple[str, ...]
    judge: Judge | None

    @property
    def rejected(self) -> list[str]:
        """The queries of which the judge accepts nothing."""
        return [query for query, of in self.known.items() if not answers(of)]


def answers(chances: Mapping[str, float]) -> bool:
    """Whether any item is likely to be accepted. chances: by item."""
    return max(chances.values(), default=0.0) > REJECTED


def held_out(
    database: Database, hashes: Mapping[str, str], sides: Sides, judge: str | None = None
) -> HeldOutAcceptance:
    """hashes: of the images as they are now, by item; absent ones count as unchanged.  judge: as for `admissible`."""
    judgments = following(database.judgments("heldout"), hashes)
    chosen = admissible(judgments, hashes, sides, judge, juries_of(database)).judge
    found = _by(database, judgments, hashes, sides, chosen)
    said = [query.text for query in database.queries("heldout")]
    known = set(database.unanswered())
    unanswered = tuple(text for text in said if text in known)
    return HeldOutAcceptance({text: of for text, of in found.items() if text not in known}, unanswered, chosen)


def training(database: Database) -> tuple[list[str], list[str]]:
    """The training queries that the catalog answers, and those that it does not; what is doubtful is neither.

    One counts as answered where an answer took an image though it could have taken none, or where none was no option.
    """
    unanswered, neither = set(database.unanswered()), set[str]()
    known = [query.text for query in database.queries("train")]
    least = database.rejections.least("train")
    doubtful = [text for text in known if least.get(text, 0.0) > REJECTED and text not in unanswered]
    if doubtful:
        judgments = [one for _, one in database.judgments_on(doubtful) if one.split == "train"]
        of = set(doubtful)
        rejections = [one for _, one in database.rejections.keyed("train") if one.query in of]
        found = _acceptance(judgments, rejections)
        unanswered |= {text for text, of in found.items() if len(of) >= SHOWN and max(of.values()) < FAR}
        neither = {text for text in doubtful if not answers(found.get(text, {}))}
    judged = [text for text in known if text in least and text not in unanswered | neither]
    return judged, [text for text in known if text in unanswered]


def _by(
    database: Database, judgments: Sequence[Judgment], hashes: Mapping[str, str], sides: Sides, judge: Judge | None
) -> dict[str, dict[str, float]]:
    def counts(said: Judgment | Rejection) -> bool:
        ours = judge is not None and judge.gave(said.teacher, said.prompt)
        held = sides.of_registered(said.query, said.split) == "heldout"
        return held and (ours or may_reject(said.teacher, said.prompt))

    rejections = [_following(one, hashes) for _, one in database.rejections.keyed("heldout")]
    return _acceptance([one for one in judgments if counts(one)], [one for one in rejections if counts(one)])


def _acceptance(judgments: Sequence[Judgment], rejections: Sequence[Rejection]) -> dict[str, dict[str, float]]:
    if not judgments and not rejections:
        return {}
    found = preferences.acceptance(judgments, rejections)
    return {text: dict(zip(of.items, of.probability.tolist(), strict=True)) for text, of in found.items()}


def _following(said: Rejection, hashes: Mapping[str, str]) -> Rejection:
    """The rejection with the present ids of its images."""
    shown = Judgment(said.query, said.items, said.sha256, "best", Answer(), said.teacher, said.split)
    return replace(said, items=following([shown], hashes)[0].items)
