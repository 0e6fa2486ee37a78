"""Whether a teacher says "none of these" where it is due: more often of the images it likes least than of the best.

For some of the audit's questions the better and the worse half of the images are shown again, each with "none of
these". A teacher that cannot say it, says it always, or says it at random does so of both halves alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vdistill.label.asking import Asker
from vdistill.label.audit.questions import Unit
from vdistill.label.audit.statistics import RESAMPLES, evidence
from vdistill.label.questions import Asked
from vdistill.label.schedules import Group
from vdistill.label.stage import Stage
from vdistill.records import Answer

SHARE = 6  # of an audit's calls one in so many asks this
LEAST_PAIRS = 5

NoneFindings = tuple[float, float, float]


def calls_for(calls: int) -> int:
    """How many of an audit's calls, two of each question."""
    return 2 * max(LEAST_PAIRS, calls // SHARE // 2)


def says_none(
    stage: Stage, asker: Asker, answered: Sequence[tuple[Unit, Sequence[Answer]]], calls: int
) -> NoneFindings | None:
    """How much likelier "none of these" is of worse halves, with its 95 % interval; None where that is not known."""
    halves = [_halves(unit, three[0]) for unit, three in answered if len(unit.turn) >= 4][: calls // 2]
    questions = [[stage.question(group) for group in pair] for pair in halves]
    said = asker.ask([Asked(question, "train", 0) for pair in questions for question in pair])
    found = []
    for pair in questions:
        keys = [asker.key(question) for question in pair]
        if all(key in said for key in keys):
            better, worse = (_none(said[key], len(pair[0].images)) for key in keys)
            if better is not None and worse is not None:
                found.append(worse - better)
    if len(found) < LEAST_PAIRS:
        return None
    drawn = np.random.default_rng(stage.settings.seed).choice(found, (RESAMPLES, len(found))).mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return float(np.mean(found)), float(low), float(high)


def _halves(unit: Unit, answer: Answer) -> tuple[Group, Group]:
    """The better and the worse half of the images, each in the order they were shown."""
    order, half = np.argsort(-evidence(answer), kind="stable"), len(unit.turn) // 2
    items = unit.first.items
    better, worse = (tuple(items[place] for place in sorted(part)) for part in (order[:half], order[-half:]))
    return tuple(Group(unit.first.query, part, none=True) for part in (better, worse))  # type: ignore[return-value]


def _none(answer: Answer, images: int) -> float | None:
    """How far an answer is "none of these", from 0 to 1."""
    if answer.accepted is not None:
        return 1 - answer.accepted / images
    return answer.none
