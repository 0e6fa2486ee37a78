"""The findings of an audit, and what its answers say about the teacher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from vdistill.arrays import Floats
from vdistill.label.asking import Tally
from vdistill.label.audit.questions import Unit
from vdistill.label.audit.statistics import (
    UnitEvidence,
    bits,
    correlation,
    evidence,
    position_effects,
    query_sensitivity,
    reliability,
    with_interval,
)
from vdistill.label.stage import Stage
from vdistill.label.teacher import Teacher, pointwise
from vdistill.records import Answer

ENOUGH_CALLS = 100  # with fewer, a teacher that shows nothing may only have been asked too little
STEADY = 0.5  # correlation of scores with the same once more, which should be 1
TIE = 0.02  # two images whose probabilities are this close are a tie
WEAK = 0.2  # reliability of a teacher whose answers are mostly noise

AuditVerdict = Literal["worth its calls", "weak", "worthless", "undecided"]
Scores = Callable[[Sequence[str], Sequence[str]], Floats]  # (queries, items) → (queries, items)
WithInterval = tuple[float, float, float]  # a value and its 95 % interval


@dataclass(frozen=True, slots=True)
class SizeFindings:
    """The findings for one number of images per call.

    flip_rate: how often another order of the images brings another winner.  chance: how often random answers would.
    position_bias: how much more evidence the favoured position gets than the least favoured one, in logits, shares of
    1 or places, depending on the kind of answers.  bits: information in a call.
    """

    images: int
    calls: int
    flip_rate: float
    chance: float
    reliability: float
    position_bias: float
    bits: float
    bits_per_1000_tokens: float | None


@dataclass(frozen=True, slots=True)
class Audit:
    """The findings; the fields are the keys of `label --audit --json`.

    reliability: None of a teacher that scores each image by itself, which has no orders to contradict itself in;
    `sizes` is empty then.
    hears_query: query sensitivity.  backbone: the correlation with its scores, None where there is none.
    coverage: the mean probability of all option letters together, None where it is unknown.
    thought_tokens: the mean of an answer.
    none: how much likelier "none of these" is of the images it likes least, None where it was not asked.
    """

    teacher: str
    prompt: str
    calls: int
    reused: int
    failed: int
    tokens: int
    cost_usd: float
    soft: bool
    reliability: WithInterval | None
    hears_query: WithInterval
    self_agreement: float | None
    tie_rate: float | None
    backbone: float | None
    coverage: float | None
    thought_tokens: float
    sizes: tuple[SizeFindings, ...]
    images_per_call: int
    verdict: AuditVerdict
    reason: str
    none: WithInterval | None = None

    def to_json(self) -> dict[str, Any]:
        """The document."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class AuditAnswers:
    """What a teacher answered.

    units: those with the answers to all their questions.
    repeats: the two answers to each repeated question.
    """

    units: Sequence[tuple[Unit, Sequence[Answer]]]
    repeats: Sequence[tuple[Answer, Answer]]
    tally: Tally


def judge(stage: Stage, teacher: Teacher, found: AuditAnswers, scores: Scores | None) -> Audit:
    """The findings about a teacher; scores: the backbone's, to compare with."""
    answers = [answer for _, three in found.units for answer in three]
    soft = [answer for answer in answers if answer.soft]
    covered = [answer.coverage for answer in answers if answer.coverage is not None]
    mostly_soft = len(soft) > len(answers) / 2
    scores_images = pointwise(teacher)
    seen, sizes = (
        ([_of_scores(*both) for _, both in found.units], ())
        if scores_images
        else _by_size(stage, teacher, found.units, graded=mostly_soft or answers[0].order is not None)
    )
    reliable = None if scores_images else with_interval(seen, reliability, stage.settings.seed)
    sensitive = with_interval(seen, query_sensitivity, stage.settings.seed)
    asked = sum(len(answer.probabilities or ()) for answer in answers) if scores_images else len(answers)
    verdict, reason = _verdict(reliable, sensitive, asked, _repeated(found.repeats) if scores_images else None)
    tally = found.tally
    return Audit(
        teacher=teacher.name,
        prompt=teacher.prompt,
        calls=tally.calls,
        reused=tally.reused,
        failed=tally.failed,
        tokens=tally.tokens,
        cost_usd=tally.cost_usd,
        soft=mostly_soft,
        reliability=reliable,
        hears_query=sensitive,
        self_agreement=_same_winner(found.repeats),
        tie_rate=float(np.mean([_is_tie(answer) for answer in soft])) if soft else None,
        backbone=None if scores is None else _like_backbone(found.units, scores),
        coverage=float(np.mean(covered)) if covered else None,
        thought_tokens=float(np.mean([answer.thought_tokens for answer in answers])),
        sizes=sizes,
        images_per_call=_best_size(sizes) if sizes else stage.plan.images_per_call,
        verdict=verdict,
        reason=reason,
    )


def _of_scores(first: Answer, other: Answer) -> UnitEvidence:
    """The scores of a unit's images for its two queries. Their order is nothing to them."""
    said = evidence(first)
    return UnitEvidence(said, said, evidence(other), flipped=False)


def _by_size(
    stage: Stage, teacher: Teacher, found: Sequence[tuple[Unit, Sequence[Answer]]], *, graded: bool
) -> tuple[list[UnitEvidence], tuple[SizeFindings, ...]]:
    """The evidence of all units, and what each number of images shows."""
    seen: list[UnitEvidence] = []
    sizes = []
    for size in sorted({len(unit.turn) for unit, _ in found}):
        rows, bias = _evidence([(unit, three) for unit, three in found if len(unit.turn) == size])
        seen += rows
        paid = [answer.tokens for unit, three in found if len(unit.turn) == size for answer in three]
        tokens = float(np.mean(paid)) if all(paid) else teacher.price(stage.example(size)).tokens
        sizes.append(_of_size(size, rows, bias, tokens, graded=graded))
    return seen, tuple(sizes)


def _evidence(part: Sequence[tuple[Unit, Sequence[Answer]]]) -> tuple[list[UnitEvidence], float]:
    """The units of one size without the effects of the positions, and how far apart these effects are."""
    positions = position_effects(
        [(evidence(first), evidence(turned), unit.turn) for unit, (first, turned, _) in part], len(part[0][0].turn)
    )
    found = []
    for unit, three in part:
        first, turned, other = (evidence(answer) - positions for answer in three)
        back = np.empty(len(unit.turn))
        back[list(unit.turn)] = turned
        raw = evidence(three[1])
        flipped = raw[unit.turn.index(three[0].best)] < raw.max() - 1e-6  # with a tie either may win
        found.append(UnitEvidence(first, back, other, flipped))
    return found, float(np.ptp(positions))


def _of_size(size: int, rows: Sequence[UnitEvidence], bias: float, tokens: float, *, graded: bool) -> SizeFindings:
    reliable = reliability(rows)
    information = bits(reliable, size, soft=graded)
    return SizeFindings(
        images=size,
        calls=3 * len(rows),
        flip_rate=float(np.mean([row.flipped for row in rows])),
        chance=1 - 1 / size,
        reliability=reliable,
        position_bias=bias,
        bits=information,
        bits_per_1000_tokens=1000 * information / tokens if tokens else None,
    )


def _best_size(sizes: Sequence[SizeFindings]) -> int:
    """The number of images with most information for its tokens, or per call where no tokens are counted."""
    return max(sizes, key=lambda one: one.bits if one.bits_per_1000_tokens is None else one.bits_per_1000_tokens).images


def _same_winner(repeats: Sequence[tuple[Answer, Answer]]) -> float | None:
    """How often the image that is preferred is the same once more."""
    return float(np.mean([before.best == again.best for before, again in repeats])) if repeats else None


def _repeated(repeats: Sequence[tuple[Answer, Answer]]) -> float | None:
    """The correlation of what is said twice; None where nothing is."""
    if not repeats:
        return None
    before, again = zip(*repeats, strict=True)
    return correlation([evidence(one) for one in before], [evidence(one) for one in again])


def _verdict(
    reliable: WithInterval | None, sensitive: WithInterval, calls: int, repeated: float | None
) -> tuple[AuditVerdict, str]:
    unreliable = reliable is not None and reliable[1] <= 0
    if unreliable or sensitive[1] <= 0:
        why = "it says the same whatever the query is"
        if unreliable:
            why = "shown the same images in another order, it says something else"
        return ("undecided", f"so far {why}; audit with more calls") if calls < ENOUGH_CALLS else ("worthless", why)
    if repeated is not None and repeated < STEADY:
        return "weak", "asked the same once more, it says something else"
    if reliable is None:
        return "worth its calls", "its scores depend on the query; how much noise they have, other teachers would show"
    if reliable[0] < WEAK:
        return "weak", "its answers are mostly noise: give it many calls, or take another teacher"
    return "worth its calls", "its answers depend on the query and the images more than on the order of the images"


def _is_tie(answer: Answer) -> bool:
    best = sorted(answer.probabilities or (), reverse=True)
    return best[0] - best[1] < TIE


def _like_backbone(units: Sequence[tuple[Unit, Sequence[Answer]]], scores: Scores) -> float:
    """The correlation of the teacher's evidence with the backbone's scores of the same images."""
    queries = sorted({unit.first.query for unit, _ in units})
    items = sorted({item for unit, _ in units for item in unit.first.items})
    matrix = scores(queries, items)
    row, column = ({name: at for at, name in enumerate(names)} for names in (queries, items))
    theirs = [matrix[row[unit.first.query], [column[item] for item in unit.first.items]] for unit, _ in units]
    ours = [evidence(three[0]) for _, three in units]
    return correlation(ours, [values - values.mean() for values in theirs])
