"""`label`: from a catalog and queries to judgments in the workspace."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from vdistill.database import Database
from vdistill.errors import VdistillError
from vdistill.label.asking import Asked, Asker, Tally, judgment_of
from vdistill.label.prepare import CALLS_PER_QUERY, HELDOUT_CALLS, LabelSettings, MayBeBare, Stage
from vdistill.label.schedules import Narrowing, Schedule, coverable
from vdistill.label.teacher import Teacher
from vdistill.records import Judgment, Question, Split
from vdistill.workspace import Workspace


@dataclass(frozen=True, slots=True)
class LabelReport:
    """What a run did, or with `--dry-run` would do. The fields are the keys of `label --json`."""

    teacher: str
    queries: int
    items: int
    calls: int
    judgments: int
    reused: int
    failed: int
    images_shown: int
    tokens: int
    cost_usd: float
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """The Contract's document."""
        return asdict(self)


def label(
    workspace: Workspace,
    stage: Stage,
    teacher: Teacher,
    say: Callable[[str], None],
    advance: Callable[[Tally, int], None],
) -> LabelReport:
    """Ask the teacher what was prepared, and commit each answer as it comes.

    `say` gets one-line notices; `advance` the tally and the number of calls planned.
    Raises VdistillError where the run cannot go on; what was answered before is kept.
    """
    started = time.monotonic()
    settings = stage.settings
    with workspace.lock("label"), Database.open(workspace.database) as database:
        remember_split(database, settings)
        stage.register(database)
        budget = CALLS_PER_QUERY * len(stage.queries) if settings.budget is None else settings.budget
        asker = Asker(
            teacher, database, budget, settings.max_cost, settings.concurrency, lambda tally: advance(tally, budget)
        )
        _ask_training(stage, asker, _guides(workspace, stage, say))
        _ask_heldout(stage, asker)
    return _report(stage, teacher.name, asker.tally, time.monotonic() - started)


def as_it_can(
    workspace: Workspace, stage: Stage, teacher: Teacher, say: Callable[[str], None]
) -> tuple[Stage, Tally | None]:
    """The stage, asking for rankings if the teacher's choices come without probabilities; and what it cost to know.

    One question of the plan tells, and its answer is kept like any other; what it told is remembered.
    """
    groups = (
        stage.training({}).next_round([])[:1] if isinstance(teacher, MayBeBare) and stage.queries_of("train") else []
    )
    if not groups or not isinstance(teacher, MayBeBare):
        return stage, None
    name, tally = f"ask/{teacher.name}/{teacher.prompt}", None
    with workspace.lock("label"), Database.open(workspace.database) as database:
        known = database.setting(name)
        if known is None:
            asker = Asker(teacher, database, 1, stage.settings.max_cost, 1, lambda _: None)
            remember_split(database, stage.settings)
            stage.register(database)
            answers = asker.ask([Asked(stage.question(groups[0]), "train", groups[0].pool)])
            tally = asker.tally
            for answer in answers.values():
                bare = max(answer.probabilities or (0.0,)) == 1.0 if teacher.bare is None else teacher.bare
                known = "rank" if bare else "best"
                database.remember(name, known)
    if known != "rank":
        return stage, tally
    say(f"{teacher.name} is asked to rank, which says more without probabilities (--ask best: one choice a call)")
    return replace(stage, settings=replace(stage.settings, ask="rank")), tally


def dry_run(workspace: Workspace | None, stage: Stage, teacher: Teacher) -> LabelReport:
    """What `label` would do and cost; nothing is asked, nothing is written."""
    # Calls that depend on answers or on a guide are counted as planned, never as reused.
    known = stage.settings.schedule in ("adaptive", "random")
    questions = [stage.question(group) for group in stage.training({}).next_round([])] if known else []
    stored, pace = 0, None
    if workspace is not None and workspace.database.is_file():
        with Database.open(workspace.database, write=False) as database:
            asker = Asker(teacher, database, 0, None, 1, lambda _: None)
            stored = len(database.answers([asker.key(question) for question in questions]))
            pace = database.pace(teacher.name)
    open_calls = 0 if known else len(stage.queries_of("train")) * stage.plan.calls_per_query
    heldout = len(stage.queries_of("heldout")) * max(stage.plan.calls_per_query, HELDOUT_CALLS)
    calls = len(questions) - stored + open_calls + heldout
    if stage.settings.budget is not None:
        calls = min(calls, stage.settings.budget)
    price = teacher.price(_largest(questions, stage))
    tally = Tally(
        calls=calls,
        judgments=calls,
        reused=stored,
        images_shown=calls * stage.plan.images_per_call,
        tokens=calls * price.tokens,
        cost_usd=calls * price.usd,
    )
    workers = max(1, min(stage.settings.concurrency, teacher.concurrency))
    return _report(stage, teacher.name, tally, calls * (price.seconds / workers if pace is None else pace))


def _ask_training(stage: Stage, asker: Asker, guides: dict[str, dict[str, float]]) -> None:
    schedule = stage.training(guides)
    _ask_rounds(schedule, stage, asker, "train")


def _ask_heldout(stage: Stage, asker: Asker) -> None:
    """Narrow the held-out items down, all held-out queries a round at a time."""
    items = coverable(stage.items_of("heldout"), stage.plan, "heldout")
    if len(items) < 2:
        return
    calls = max(stage.plan.calls_per_query, HELDOUT_CALLS)
    _ask_rounds(Narrowing(stage.queries_of("heldout"), items, stage.plan, calls), stage, asker, "heldout")


def _ask_rounds(schedule: Schedule, stage: Stage, asker: Asker, split: Split) -> None:
    said: list[Judgment] = []
    known: set[str] = set()
    while groups := schedule.next_round(said):
        asked = [Asked(stage.question(group), split, group.pool) for group in groups if len(group.items) > 1]
        keyed = {asker.key(one.question): one for one in asked}
        # Among few images the same question can come up twice; its answer counts once.
        keyed = {key: one for key, one in keyed.items() if key not in known}
        known.update(keyed)
        answers = asker.ask_keyed(keyed)
        fresh = [judgment_of(one, answers[key], asker.teacher.name) for key, one in keyed.items() if key in answers]
        if not fresh:  # the caps are reached, or nothing was answered: another round would know no more
            return
        said += fresh


def _guides(workspace: Workspace, stage: Stage, say: Callable[[str], None]) -> dict[str, dict[str, float]]:
    """For each training query the guide's score of each training item; empty without a guide."""
    guide = stage.settings.guide or ("student" if workspace.student.is_dir() else "none")
    if guide == "none":
        return {}
    from vdistill.label.guide import scores

    if guide == "student" and not workspace.student.is_dir():
        raise VdistillError("--guide student: there is no student yet", hint="run `vdistill distill` first")
    say(f"the {guide} guides what is shown")
    items = [stage.items[key] for key in stage.items_of("train")]
    texts = stage.queries_of("train")
    matrix = scores(workspace if guide == "student" else None, stage.settings.backbone, texts, items)
    keys = [item.id for item in items]
    return {text: dict(zip(keys, row.tolist(), strict=True)) for text, row in zip(texts, matrix, strict=True)}


def remember_split(database: Database, settings: LabelSettings) -> None:
    """Note catalog, backbone and the held-out share. Raises VdistillError where another share was used before."""
    before = database.setting("holdout")
    if before is not None and before != settings.holdout:
        if database.judgment_count():
            raise VdistillError(
                f"this workspace was labelled with --holdout {before}, not {settings.holdout}",
                hint="a different split would let held-out judgments into training: use another --workspace for it",
            )
        database.forget_sides()
    database.remember("holdout", settings.holdout)
    catalog = str(settings.catalog.resolve())
    if database.setting("catalog") != catalog:
        database.remember("catalog", catalog)
        database.remember("indexed", catalog)  # the next `index` goes with it
    if settings.backbone is not None:
        database.remember("backbone", settings.backbone)


def _report(stage: Stage, teacher: str, tally: Tally, seconds: float) -> LabelReport:
    return LabelReport(
        teacher=teacher,
        queries=len(stage.queries),
        items=len(stage.items),
        calls=tally.calls,
        judgments=tally.judgments,
        reused=tally.reused,
        failed=tally.failed,
        images_shown=tally.images_shown,
        tokens=tally.tokens,
        cost_usd=round(tally.cost_usd, 6),
        seconds=round(seconds, 3),
    )


def _largest(questions: Sequence[Question], stage: Stage) -> Question:
    """A question of the usual size, for its price."""
    if questions:
        return max(questions, key=lambda question: len(question.images))
    images = tuple(stage.shown.values())[: stage.plan.images_per_call]
    return Question(stage.queries[0].text, images, stage.settings.ask)
