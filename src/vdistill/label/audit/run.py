"""Carry an audit out, and judge by it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from vdistill.arrays import Floats
from vdistill.database import Database
from vdistill.errors import VdistillError
from vdistill.label.asking import Asked, Asker, Tally
from vdistill.label.audit.questions import REPEATED, Unit, units
from vdistill.label.audit.statistics import (
    Seen,
    bits,
    correlation,
    evidence,
    interval,
    is_soft,
    position_effects,
    query_sensitivity,
    reliability,
    winner,
)
from vdistill.label.purse import Purse
from vdistill.label.schedules.shared_pools import pools
from vdistill.label.stage import Stage
from vdistill.label.teacher import Teacher
from vdistill.records import Answer, Question
from vdistill.workspace import Workspace

LEAST_CALLS = 30
ENOUGH_CALLS = 100  # with fewer, a teacher that shows nothing may only have been asked too little
TIE = 0.02  # the two likeliest this close
WEAK = 0.2  # reliability of a teacher whose answers are mostly noise

Verdict = Literal["worth its calls", "weak", "worthless", "undecided"]
Scores = Callable[[Sequence[str], Sequence[str]], Floats]  # (queries, items) → (queries, items)


@dataclass(frozen=True, slots=True)
class OfSize:
    """What was seen with so many pictures a call.

    flip_rate: how often another order of the pictures brings another winner. chance: how often it would by dice.
    position_bias: by how much the favoured slot is preferred to the least favoured, in logits, of shares of 1, or of
    places, after the kind of the answers. bits: information of a call.
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

    reliability, hears_query: with their 95 % intervals. hears_query: by how much answers to the same query are more
    alike than answers to different ones. backbone: correlation with its scores, None where there is none.
    """

    teacher: str
    prompt: str
    calls: int
    reused: int
    failed: int
    tokens: int
    cost_usd: float
    soft: bool
    reliability: tuple[float, float, float]
    hears_query: tuple[float, float, float]
    self_agreement: float | None
    tie_rate: float | None
    backbone: float | None
    sizes: tuple[OfSize, ...]
    images_per_call: int
    verdict: Verdict
    reason: str

    def to_json(self) -> dict[str, Any]:
        """The document."""
        return asdict(self)


def audit(
    workspace: Workspace,
    stage: Stage,
    teacher: Teacher,
    calls: int,
    purse: Purse,
    advance: Callable[[Tally, int], None],
    scores: Scores | None,
) -> Audit:
    """Spend up to `calls` calls on training queries and pictures. The answers are kept, but teach no student.

    purse: caps beside `calls`; where the money does not reach for them, the audit is laid out for fewer.
    scores: the backbone's. Raises VdistillError for too few calls, queries or pictures, and where all calls failed.
    """
    queries, trained = stage.queries_of("train"), stage.items_of("train")
    if calls < LEAST_CALLS:
        raise VdistillError(f"--audit {calls} is too little to tell", hint=f"at least {LEAST_CALLS}; 200 is good")
    if len(trained) < 2 or len(queries) < 2:
        raise VdistillError("an audit needs two training queries and pictures", hint="give a lower --holdout")
    settings, items = stage.settings, pools(trained, stage.plan)[0]
    planned = units(queries, items, calls, settings.seed)
    reached = _reached(stage, teacher, planned, calls, purse)
    if reached < calls:
        calls, planned = reached, units(queries, items, reached, settings.seed)
    with workspace.lock("label"), Database.open(workspace.root / "audit.db") as database, purse.within(calls):
        asker = Asker(teacher, database, purse, settings.concurrency, lambda tally: advance(tally, calls))
        groups = [group for unit in planned for group in (unit.first, unit.turned, unit.other)]
        asked = [Asked(stage.question(group), "train", 0) for group in groups]
        answers = asker.ask(asked)
        again = _repeats([one.question for one in asked], answers, asker)
    found = [
        (unit, [answers.get(asker.key(stage.question(group))) for group in (unit.first, unit.turned, unit.other)])
        for unit in planned
    ]
    answered = [(unit, [answer for answer in three if answer is not None]) for unit, three in found]
    whole = [(unit, three) for unit, three in answered if len(three) == 3]
    if len(whole) < 2:
        raise VdistillError(
            f"{teacher.name} answered too little to be judged: {asker.tally.last_failure or 'the caps are reached'}",
            hint="see docs/teachers.md on what can go wrong",
        )
    database_name = f"audit/{teacher.name}/{teacher.prompt}"
    result = _judge(stage, teacher, asker.tally, whole, again, scores)
    with Database.open(workspace.database) as database:
        database.remember(database_name, result.to_json())
    return result


def stored_size(workspace: Workspace, teacher: Teacher) -> int | None:
    """The number of pictures a call that an earlier audit of this teacher has picked."""
    if not workspace.database.is_file():
        return None
    with Database.open(workspace.database, write=False) as database:
        found = database.setting(f"audit/{teacher.name}/{teacher.prompt}")
    return None if found is None else int(found["images_per_call"])


def _reached(stage: Stage, teacher: Teacher, planned: Sequence[Unit], calls: int, purse: Purse) -> int:
    """How many of the calls the money reaches for. Raises VdistillError where that is too little to tell."""
    if not purse.counts_money():
        return calls
    groups = [group for unit in planned for group in (unit.first, unit.turned, unit.other)]
    usd = float(np.mean([teacher.price(stage.question(group)).usd or 0.0 for group in groups]))
    reached = purse.reach(usd, calls)
    if reached < LEAST_CALLS:
        raise VdistillError(
            f"--max-cost reaches for {reached} calls of about ${usd:.3g}, which is too little to tell",
            hint=f"an audit takes {LEAST_CALLS} calls at least: raise it to {purse.usd + LEAST_CALLS * usd:.3g}",
        )
    return reached


def _repeats(questions: Sequence[Question], answers: dict[str, Answer], asker: Asker) -> list[bool]:
    """For every tenth call whether it says the same once more, as far as the caps reach."""
    same = []
    for question in questions[::REPEATED]:
        before = answers.get(asker.key(question))
        said = None if before is None else asker.ask_again(question)
        if before is not None and isinstance(said, Answer):
            same.append(winner(said) == winner(before))
    return same


def _judge(
    stage: Stage,
    teacher: Teacher,
    tally: Tally,
    whole: Sequence[tuple[Unit, list[Answer]]],
    again: Sequence[bool],
    scores: Scores | None,
) -> Audit:
    answers = [answer for _, three in whole for answer in three]
    soft = [answer for answer in answers if is_soft(answer)]
    graded = len(soft) > len(answers) / 2 or answers[0].order is not None
    seen: list[Seen] = []
    sizes = []
    for size in sorted({len(unit.turn) for unit, _ in whole}):
        rows, bias = _seen([(unit, three) for unit, three in whole if len(unit.turn) == size])
        seen += rows
        sizes.append(_of_size(stage, teacher, size, rows, bias, graded=graded))
    seed = stage.settings.seed
    reliable = (reliability(seen), *interval(seen, reliability, seed))
    hears = (query_sensitivity(seen), *interval(seen, query_sensitivity, seed))
    verdict, reason = _verdict(reliable, hears, len(answers))
    return Audit(
        teacher=teacher.name,
        prompt=teacher.prompt,
        calls=tally.calls,
        reused=tally.reused,
        failed=tally.failed,
        tokens=tally.tokens,
        cost_usd=tally.cost_usd,
        soft=len(soft) > len(answers) / 2,
        reliability=reliable,
        hears_query=hears,
        self_agreement=float(np.mean(again)) if again else None,
        tie_rate=float(np.mean([_is_tie(answer) for answer in soft])) if soft else None,
        backbone=None if scores is None else _like_backbone(whole, scores),
        sizes=tuple(sizes),
        images_per_call=_best_size(sizes),
        verdict=verdict,
        reason=reason,
    )


def _seen(part: Sequence[tuple[Unit, list[Answer]]]) -> tuple[list[Seen], float]:
    """The units of one size, what each slot gets for itself taken out; and how far these amounts lie apart."""
    positions = position_effects(
        [(evidence(three[0]), evidence(three[1]), unit.turn) for unit, three in part], len(part[0][0].turn)
    )
    found = []
    for unit, three in part:
        first, turned, other = (evidence(answer) - positions for answer in three)
        back = np.empty(len(unit.turn))
        back[list(unit.turn)] = turned
        raw = evidence(three[1])
        flipped = raw[unit.turn.index(winner(three[0]))] < raw.max() - 1e-6  # with a tie either may win
        found.append(Seen(first, back, other, flipped))
    return found, float(np.ptp(positions))


def _of_size(stage: Stage, teacher: Teacher, size: int, rows: Sequence[Seen], bias: float, *, graded: bool) -> OfSize:
    reliable = reliability(rows)
    images = tuple(stage.shown.values())[:size]
    tokens = teacher.price(Question(stage.queries[0].text, images, stage.settings.ask)).tokens
    information = bits(reliable, size, soft=graded)
    return OfSize(
        images=size,
        calls=3 * len(rows),
        flip_rate=float(np.mean([row.flipped for row in rows])),
        chance=1 - 1 / size,
        reliability=reliable,
        position_bias=bias,
        bits=information,
        bits_per_1000_tokens=1000 * information / tokens if tokens else None,
    )


def _best_size(sizes: Sequence[OfSize]) -> int:
    """The number of pictures that tells most for the tokens it costs; a call, where no tokens are counted."""
    return max(sizes, key=lambda one: one.bits if one.bits_per_1000_tokens is None else one.bits_per_1000_tokens).images


def _verdict(
    reliable: tuple[float, float, float], hears: tuple[float, float, float], calls: int
) -> tuple[Verdict, str]:
    if reliable[1] <= 0 or hears[1] <= 0:
        why = (
            "shown the same pictures in another order, it says something else"
            if reliable[1] <= 0
            else "it says the same whatever the query is"
        )
        if calls < ENOUGH_CALLS:
            return "undecided", f"so far {why}; audit with more calls"
        return "worthless", why
    if reliable[0] < WEAK:
        return "weak", "its answers are mostly noise: give it many calls, or take another teacher"
    return "worth its calls", "its answers hang on query and pictures more than on the pictures' order"


def _is_tie(answer: Answer) -> bool:
    best = sorted(answer.probabilities or (), reverse=True)
    return best[0] - best[1] < TIE


def _like_backbone(whole: Sequence[tuple[Unit, list[Answer]]], scores: Scores) -> float:
    """The correlation of the teacher's evidence with the backbone's scores of the same pictures."""
    queries = sorted({unit.first.query for unit, _ in whole})
    items = sorted({item for unit, _ in whole for item in unit.first.items})
    matrix = scores(queries, items)
    row, column = ({name: at for at, name in enumerate(names)} for names in (queries, items))
    theirs = [matrix[row[unit.first.query], [column[item] for item in unit.first.items]] for unit, _ in whole]
    ours = [evidence(three[0]) for _, three in whole]
    return correlation(ours, [values - values.mean() for values in theirs])
