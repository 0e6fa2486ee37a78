"""An audit from end to end: its calls are planned, made, judged and remembered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from vdistill.database import Database
from vdistill.errors import TeacherError, VdistillError
from vdistill.label.asking import Asker
from vdistill.label.audit.findings import Audit, AuditAnswers, Scores, judge
from vdistill.label.audit.none_probe import calls_for, says_none
from vdistill.label.audit.questions import REPEATED, Unit, units
from vdistill.label.none_share import setting_of as setting_of_none
from vdistill.label.purse import Purse
from vdistill.label.questions import Asked
from vdistill.label.run import LabelRun
from vdistill.label.schedules.shared_pools import pools
from vdistill.label.stage import Stage
from vdistill.label.teacher import Teacher, calls_of, none_version, pointwise
from vdistill.records import Answer, Question
from vdistill.workspace import Workspace

LEAST_CALLS = 30
MANY_CALLS = 60  # from which on some of them are for "none of these"


def audit_teacher(
    workspace: Workspace, stage: Stage, run: LabelRun, calls: int, scores: Scores | None, *, probe_none: bool = True
) -> Audit:
    """Spend up to `calls` calls on training queries and images. The answers are kept, but teach no student.

    Where the money of the run is too little for them, fewer are planned. scores: the backbone's.
    probe_none: whether some calls find out if the teacher can say "none of these".
    Raises VdistillError for too few calls, queries or images, TeacherError where all calls failed.
    """
    teacher, purse, settings = run.teacher, run.purse, stage.settings
    queries, items = stage.queries_of("train"), stage.items_of("train")
    if calls < LEAST_CALLS:
        raise VdistillError(f"--audit {calls} is too little to tell", hint=f"at least {LEAST_CALLS}; 200 is good")
    if len(items) < 2 or len(queries) < 2:
        raise VdistillError(
            "an audit needs two training queries and images",
            hint="give a lower --holdout" + (" or a higher --max-cost" if purse.max_cost is not None else ""),
        )
    scores_images, planned = pointwise(teacher), planned_units(stage, calls, teacher)
    reached = _reached(stage, teacher, planned, calls, purse)
    probes = calls_for(reached) if probe_none and none_version(teacher) and reached >= MANY_CALLS else 0
    if reached - probes < calls:
        calls, planned = reached, planned_units(stage, reached - probes, teacher)
    with workspace.lock("label"), Database.open(workspace.root / "audit.db") as database:
        asker = Asker(teacher, database, purse, settings.concurrency, lambda tally: run.advance(tally, calls))
        questions = [stage.question(group) for unit in planned for group in unit.asked(scores=scores_images)]
        answers = asker.ask([Asked(question, "train", 0) for question in questions])
        repeats = _repeats(questions, answers, asker)
        answered = _answered(stage, planned, answers, asker)
        none = says_none(stage, asker, answered, probes) if probes else None
    if len(answered) < 2:
        raise TeacherError(
            f"{teacher.name} answered too little to be judged: {asker.last_failure or 'the caps are reached'}",
            hint="see docs/teachers.md on what can go wrong",
        )
    found = replace(judge(stage, teacher, AuditAnswers(answered, repeats, asker.tally), scores), none=none)
    with Database.open(workspace.database) as database:
        database.remember(_setting(teacher), found.to_json())
        if none is not None:
            database.remember(setting_of_none(teacher), none[1] > 0)
    return found


def _answered(
    stage: Stage, planned: Sequence[Unit], answers: Mapping[str, Answer], asker: Asker
) -> list[tuple[Unit, list[Answer]]]:
    """The units with the answers to all their questions."""
    found = []
    for unit in planned:
        keys = [asker.key(stage.question(group)) for group in unit.asked(scores=pointwise(asker.teacher))]
        if all(key in answers for key in keys):
            found.append((unit, [answers[key] for key in keys]))
    return found


def planned_units(stage: Stage, calls: int, teacher: Teacher) -> list[Unit]:
    """What an audit of so many calls asks: the same of every teacher, and less of one whose calls are single images."""
    pool = stage.plan.distinct(pools(stage.items_of("train"), stage.plan)[0])
    return units(stage.queries_of("train"), pool, calls, stage.settings.seed, scores=pointwise(teacher))


def stored_size(workspace: Workspace | None, teacher: Teacher) -> int | None:
    """The number of images per call that an earlier audit of this teacher found best."""
    with Database.existing(workspace) as database:
        found = database.setting(_setting(teacher)) if database else None
    return None if found is None else int(found["images_per_call"])


def _setting(teacher: Teacher) -> str:
    return f"audit/{teacher.name}/{teacher.prompt}"


def _reached(stage: Stage, teacher: Teacher, planned: Sequence[Unit], calls: int, purse: Purse) -> int:
    """How many of the calls the money allows. Raises VdistillError where that is too little to tell."""
    if purse.max_cost is None:
        return calls
    asked = [stage.question(group) for unit in planned for group in unit.asked(scores=pointwise(teacher))]
    usd = sum(teacher.price(one).usd or 0.0 for one in asked) / sum(calls_of(teacher, one) for one in asked)
    reached = purse.reach(usd, calls)
    if reached < LEAST_CALLS:
        raise VdistillError(
            f"--max-cost allows {reached} calls at about ${usd:.3g}, which is too little to tell",
            hint=f"an audit takes {LEAST_CALLS} calls at least: raise it to {purse.usd + LEAST_CALLS * usd:.3g}",
        )
    return reached


def _repeats(questions: Sequence[Question], answers: Mapping[str, Answer], asker: Asker) -> list[tuple[Answer, Answer]]:
    """The answers to a tenth of the questions, and to the same once more, as far as the caps reach."""
    both = []
    for question in _largest(questions) if pointwise(asker.teacher) else questions[::REPEATED]:
        before = answers.get(asker.key(question))
        said = None if before is None else asker.ask_again(question)
        if before is not None and isinstance(said, Answer) and not (before.rejects or said.rejects):
            both.append((before, said))
    return both


def _largest(questions: Sequence[Question]) -> list[Question]:
    """Those with most images, a tenth of all images: more of them tell more of how scores differ."""
    left, found = sum(len(one.images) for one in questions) // REPEATED, list[Question]()
    for question in sorted(questions, key=lambda one: -len(one.images)):
        left -= len(question.images)
        if left < 0 and found:
            break
        found.append(question)
    return found
