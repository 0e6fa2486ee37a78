"""`label`: from a catalog and queries to judgments in the workspace."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from vdistill.database import Database
from vdistill.errors import VdistillError
from vdistill.label.asking import Asked, Asker, Tally, key_of
from vdistill.label.prepare import MayAnswerHard
from vdistill.label.purse import Purse
from vdistill.label.schedules import Guides, Schedule
from vdistill.label.settings import LabelSettings
from vdistill.label.stage import Stage
from vdistill.label.teacher import Teacher
from vdistill.label.turns import Side, take_turns
from vdistill.records import Answer, Ask, Split
from vdistill.workspace import Workspace

TELLING = 3  # answers without readable probabilities that mean that there are none


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
    purse: Purse,
    say: Callable[[str], None],
    advance: Callable[[Tally, int], None],
) -> LabelReport:
    """Ask the teacher what was prepared, and commit each answer as it comes.

    `say` gets one-line notices; `advance` the tally and the number of calls planned.
    Raises VdistillError where the run cannot go on; what was answered before is kept.
    """
    started = time.monotonic()
    guides = guides_of(workspace, stage, say)
    with workspace.lock("label"), Database.open(workspace.database) as database:
        remember_split(database, stage.settings)
        stage.register(database)
        sides = both_sides(stage, guides, teacher)
        planned = sum(side.calls for side in sides)
        asker = Asker(teacher, database, purse, stage.settings.concurrency, lambda tally: advance(tally, planned))
        take_turns(sides, asker.ask_keyed)
    tally = asker.tally
    if tally.failed:
        say(f"{tally.failed:,} of {tally.calls:,} calls failed, the last one: {tally.last_failure}")
    return report(stage, teacher.name, asker.tally, time.monotonic() - started)


def both_sides(stage: Stage, guides: Guides, teacher: Teacher) -> list[Side]:
    """What training queries and held-out ones will be asked, where there is anything to ask."""
    schedules: dict[Split, Schedule | None] = {
        "train": stage.training(guides) if stage.queries_of("train") else None,
        "heldout": stage.held_out(),
    }
    key = partial(key_of, teacher)
    return [
        Side(split, schedule, stage, key, teacher.name) for split, schedule in schedules.items() if schedule is not None
    ]


def as_it_can(
    workspace: Workspace, stage: Stage, teacher: Teacher, purse: Purse, say: Callable[[str], None]
) -> tuple[Stage, Tally | None]:
    """The stage, asking for rankings if the teacher's choices come without probabilities; and what it cost to know.

    A question of the plan tells, and its answer is kept like any other; what it told is remembered. Where it leaves
    that open (an answer that is stored, or whose probabilities cannot be read, may be one-hot by chance), so many more
    are asked that their answers decide.
    """
    if not isinstance(teacher, MayAnswerHard):
        return stage, None
    known, tally = mode_of(workspace, teacher), None
    open_mode = known is None and stage.queries_of("train")
    groups = stage.training({}).next_round([])[:TELLING] if open_mode else []
    if groups:
        with workspace.lock("label"), Database.open(workspace.database) as database:
            asker = Asker(teacher, database, purse, 1, lambda _: None)
            remember_split(database, stage.settings)
            stage.register(database)
            tally = asker.tally
            answers: list[Answer] = []
            for group in groups:
                said = asker.ask([Asked(stage.question(group), "train", group.pool)])
                answers += said.values()
                known = _told(teacher, answers)
                if known is not None or not said:
                    break
            if known is not None:
                database.remember(_mode_name(teacher), known)
    return ranking(stage, teacher, known, say), tally


def _told(teacher: MayAnswerHard, answers: Sequence[Answer]) -> Ask | None:
    """How to ask a teacher that gave these answers: as it knows itself, else by their probabilities."""
    if teacher.hard_answers is not None:
        return "rank" if teacher.hard_answers else "best"
    if any(max(answer.probabilities or (1.0,)) < 1.0 for answer in answers):
        return "best"
    return "rank" if len(answers) >= TELLING else None


def mode_of(workspace: Workspace | None, teacher: Teacher) -> Ask | None:
    """How this teacher is best asked, where an earlier run found out."""
    if workspace is None or not workspace.database.is_file():
        return None
    with Database.open(workspace.database, write=False) as database:
        known = database.setting(_mode_name(teacher))
    return "rank" if known == "rank" else None if known is None else "best"


def ranking(stage: Stage, teacher: Teacher, mode: Ask | None, say: Callable[[str], None]) -> Stage:
    """The stage, asking for rankings where `mode` says so."""
    if mode != "rank":
        return stage
    say(f"{teacher.name} is asked to rank, which says more without probabilities (--ask best: one choice a call)")
    return replace(stage, settings=replace(stage.settings, ask="rank"))


def _mode_name(teacher: Teacher) -> str:
    return f"ask/{teacher.name}/{teacher.prompt}"


def guides_of(workspace: Workspace | None, stage: Stage, say: Callable[[str], None]) -> Guides:
    """For each training query the guide's score of each training item; empty without a guide."""
    guide = stage.settings.guide
    if guide == "none":
        return {}
    from vdistill.label.guide import scores

    if guide == "student" and (workspace is None or not workspace.student.is_dir()):
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


def report(stage: Stage, teacher: str, tally: Tally, seconds: float) -> LabelReport:
    """The figures of a run."""
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
