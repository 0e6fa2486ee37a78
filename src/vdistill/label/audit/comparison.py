"""Audits of several teachers side by side, on the same images: what each tells, for how much, and what to buy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vdistill import preferences
from vdistill.database import Database
from vdistill.errors import TeacherError, VdistillError
from vdistill.label.audit.findings import Audit, Scores, SizeFindings
from vdistill.label.audit.teacher_audit import audit_teacher, planned_units
from vdistill.label.jury.core import shown_once
from vdistill.label.jury.report import agreements, bits_of_call
from vdistill.label.jury.shares import Means, Offer, dealt
from vdistill.label.questions import Asked, judgment_of, key_of
from vdistill.label.run import LabelRun
from vdistill.label.stage import Stage
from vdistill.label.teacher import Teacher, pointwise
from vdistill.records import Judgment
from vdistill.workspace import Workspace

USUAL_CALLS = 1000  # that a mixture is advised for, where no cap says otherwise
LOOKS = 2.0  # at an image that a query's calls show, on average
_TELLING = 3  # teachers: of two it cannot be told which one errs


@dataclass(frozen=True)
class Audited:
    """One teacher and what was found about it.

    judgments: its answers to the questions that all were asked.  answers: how many it gave in all.
    """

    teacher: Teacher
    audit: Audit
    judgments: Sequence[Judgment]
    answers: int
    pace: float | None  # seconds a call


@dataclass(frozen=True)
class Wanted:
    """What is compared: audits of so many calls each, and a mixture for a budget.  scores: the backbone's."""

    calls: int
    scores: Scores | None
    budget: int | None


def compare(
    workspace: Workspace, stage: Stage, run: LabelRun, teachers: Sequence[Teacher], wanted: Wanted
) -> dict[str, Any]:
    """Audit each teacher with the same questions, and compare them; the document of `label --audit --json`.

    A teacher that cannot be asked is left out, with a notice. Raises VdistillError where none can.
    """
    found: list[Audited] = []
    for teacher in teachers:
        try:
            asking = replace(run, teacher=teacher)
            audit = audit_teacher(workspace, stage, asking, wanted.calls, wanted.scores, probe_none=False)
        except TeacherError as error:
            run.say(f"{teacher.name} is left out: {error.message}")
            continue
        with Database.open(workspace.root / "audit.db", write=False) as database:
            (judgments, answers), pace = _answers(database, stage, teacher, wanted), database.pace(teacher.name)
        found.append(Audited(teacher, audit, judgments, answers, pace and pace / _calls_of_answer(teacher, judgments)))
    if not found:
        raise VdistillError("none of the teachers could be audited", hint="see the reason for each above")
    return _document(stage, found, run, wanted)


def _answers(database: Database, stage: Stage, teacher: Teacher, wanted: Wanted) -> tuple[list[Judgment], int]:
    """What it said of the images that all were asked about, each once where it scores them; and all its answers."""
    scores = pointwise(teacher)
    units = planned_units(stage, wanted.calls, teacher)
    asked = [Asked(stage.question(group), "train") for unit in units for group in unit.asked(scores=scores)]
    answers = database.answers([key_of(teacher, one.question) for one in asked])
    keyed = {key_of(teacher, one.question): one for one in (shown_once(asked) if scores else asked)}
    return [judgment_of(keyed[key], answers[key], teacher.name) for key in keyed if key in answers], len(answers)


def _calls_of_answer(teacher: Teacher, judgments: Sequence[Judgment]) -> float:
    """How many calls an answer is, on average."""
    return float(np.mean([len(one.items) for one in judgments])) if pointwise(teacher) and judgments else 1.0


def _document(stage: Stage, found: Sequence[Audited], run: LabelRun, wanted: Wanted) -> dict[str, Any]:
    images, names = stage.plan.images_per_call, [one.teacher.name for one in found]
    everything = [judgment for one in found for judgment in one.judgments]
    known = _known(found)
    mixed = len({pointwise(one.teacher) for one in found}) > 1
    offers = [_offer(one, known.get(one.teacher.name), stage, images, mixed=mixed) for one in found]
    money = run.purse.max_cost
    looks = LOOKS if not any(offer.once for offer in offers) else LOOKS / images  # a call shows a single image
    bought = dealt(offers, Means(wanted.budget or USUAL_CALLS, money, looks)).round().astype(int).tolist()
    agreed = agreements(names, everything)
    rows = [
        _row(one, offer, images, calls) | {"agreement": agreed[one.teacher.name]}
        for one, offer, calls in zip(found, offers, bought, strict=True)
    ]
    return {
        "teachers": rows, "images_per_call": images, "budget": wanted.budget, "max_cost": money,
        "advice": _advice(rows, wanted.budget, money),
    }  # fmt: skip


def _known(found: Sequence[Audited]) -> dict[str, preferences.Trust]:
    """What the answers of all show of each.

    Who scores images answers fewer of the questions, and a fit of all is made on those that all answered. So those who
    compare are measured by themselves, as soon as they are enough to tell which of them errs.
    """
    everybody = preferences.trust([judgment for one in found for judgment in one.judgments])
    comparing = [one for one in found if not pointwise(one.teacher)]
    if len(comparing) in (len(found), *range(_TELLING)):
        return everybody
    known = preferences.trust([judgment for one in comparing for judgment in one.judgments])
    if not known or not everybody:
        return everybody
    unit = next(iter(known.values())).utility / next(iter(everybody.values())).utility
    return {name: trust.scaled(unit) for name, trust in everybody.items()} | known


def _offer(one: Audited, trust: preferences.Trust | None, stage: Stage, images: int, *, mixed: bool) -> Offer:
    """What a teacher offers; nothing where it is not known to be worth its calls.

    mixed: whether some of the teachers score each image by itself, and some compare.
    """
    once = pointwise(one.teacher)
    usd = one.teacher.price(stage.example(1 if once else min(images, len(stage.shown)))).usd
    trust = trust if one.audit.verdict in ("worth its calls", "weak") else None
    answered = one.answers / (one.answers + one.audit.failed)
    looks = trust.bits(images) / trust.bits_of_number if trust and mixed and not once else 1.0
    return Offer(trust, usd, answered, once, looks)


def _row(one: Audited, offer: Offer, images: int, bought: int) -> dict[str, Any]:
    """The row of one teacher. bits: of a call, with the share of calls that bring an answer."""
    audit, size = one.audit, _size(one.audit, images)
    bits = bits_of_call(offer.trust, 1 if offer.once else images) * offer.answered if offer.trust else 0.0
    return {
        "name": one.teacher.name, "calls": audit.calls, "reused": audit.reused, "failed": audit.failed,
        "cost_usd": audit.cost_usd, "bits": round(bits, 4),
        "bits_per_usd": round(bits / offer.usd, 3) if offer.usd else None,
        "bits_per_second": round(bits / one.pace, 3) if one.pace else None,
        "noise": round(offer.trust.noise, 4) if offer.trust else None, "answered": round(offer.answered, 4),
        "flip_rate": size and size.flip_rate, "reliability": audit.reliability and audit.reliability[0],
        "coverage": audit.coverage, "self_agreement": audit.self_agreement,
        "usd_per_call": offer.usd, "seconds_per_call": one.pace,
        "buy_calls": bought, "buy_usd": None if offer.usd is None else round(bought * offer.usd, 6),
        "verdict": audit.verdict, "reason": audit.reason, "audit": audit.to_json(),
    }  # fmt: skip


def _size(audit: Audit, images: int) -> SizeFindings | None:
    """What was found with about so many images a call; None of a teacher whose calls show a single one."""
    return min(audit.sizes, key=lambda size: abs(size.images - images), default=None)


def _advice(rows: Sequence[dict[str, Any]], budget: int | None, money: float | None) -> str:
    """What to buy, in a line."""
    bought = [row for row in sorted(rows, key=lambda row: -row["buy_calls"]) if row["buy_calls"]]
    if not bought:
        undecided = any(row["verdict"] == "undecided" for row in rows)
        return (
            "too few calls to know what any of these teachers is worth: audit with more"
            if undecided
            else "none of these teachers is worth its calls"
        )
    usd = sum(row["buy_usd"] or 0.0 for row in bought)
    caps = f"{budget or USUAL_CALLS:,} calls" + (f" and ${money:g}" if money is not None else "")
    parts = " and ".join(f"{row['buy_calls']:,} of {row['name']}" for row in bought)
    return f"for {caps}: buy {parts}" + (f", ${usd:,.4g} in all" if usd else "")
