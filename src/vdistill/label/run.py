"""`label`: from a catalog and queries to judgments in the workspace."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

from vdistill.database import Database
from vdistill.errors import VdistillError
from vdistill.inputs.listings import Skipped
from vdistill.label import ask_mode, habits, paraphrase
from vdistill.label.asking import Asker, Tally
from vdistill.label.paraphrase import Paraphraser
from vdistill.label.purse import Purse
from vdistill.label.registry import NewSides
from vdistill.label.schedules import Guides, Schedule
from vdistill.label.settings import LabelSettings
from vdistill.label.stage import Stage
from vdistill.label.teacher import Teacher
from vdistill.label.turns import Side, take_turns
from vdistill.records import Split
from vdistill.sources import absolute
from vdistill.workspace import Workspace


@dataclass(frozen=True, slots=True)
class LabelReport:
    """What a run did, or with `--dry-run` would do. The fields are the keys of `label --json`."""

    teacher: str
    queries: int
    items: int
    calls: int = 0
    judgments: int = 0
    reused: int = 0
    failed: int = 0
    images_shown: int = 0
    tokens: int = 0
    thought_tokens: int = 0
    cost_usd: float = 0.0
    seconds: float = 0.0
    paraphrases: int = 0
    paraphrase_calls: int = 0
    paraphrase_failed: int = 0
    paraphrase_tokens: int = 0
    paraphrase_cost_usd: float = 0.0
    batch_submitted: int = 0
    batch_waiting: int = 0
    batch_jobs: int = 0
    coverage_before: float | None = None
    coverage: float | None = None
    none_asked: int = 0
    rejected: int = 0
    skipped: tuple[Skipped, ...] = ()
    teachers: tuple[dict[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """What `label --json` prints; `teachers` for a jury alone."""
        rounded = {name: round(getattr(self, name), 6) for name in ("cost_usd", "paraphrase_cost_usd")}
        skipped = [{"id": one.id, "reason": one.reason} for one in self.skipped]
        found = asdict(replace(self, skipped=())) | rounded | {"seconds": round(self.seconds, 3), "skipped": skipped}
        return found if self.teachers else {name: value for name, value in found.items() if name != "teachers"}


@dataclass(frozen=True, slots=True)
class LabelRun:
    """Who is asked, what that may cost, and who is told.

    say: gets one-line notices.  advance: gets the tally and the number of calls planned.
    rewording: gets how many calls for paraphrases were made, of how many, and how many failed.
    """

    teacher: Teacher
    purse: Purse
    say: Callable[[str], None]
    advance: Callable[[Tally, int], None] = lambda tally, planned: None
    rewording: Callable[[int, int, int], None] = lambda calls, planned, failed: None


def label(workspace: Workspace, stage: Stage, run: LabelRun, *, choose_ask: bool = False) -> LabelReport:
    """Ask the teacher what was prepared, and commit each answer as it comes.

    choose_ask: whether the first answers may decide that rankings are asked for.
    Raises VdistillError where the run cannot go on; what was answered before is kept.
    """
    started, planned = time.monotonic(), stage.most_calls
    teacher, say = run.teacher, run.say
    paraphrases = paraphrase.count_for(teacher, stage.settings.paraphrases)
    guides = guides_of(workspace, stage, say)
    with workspace.lock("label"), Database.open(workspace.database) as database:
        remember_split(database, stage.settings)
        refuse_while_batched(database, teacher)
        stage.register(database)
        paraphrase.keep_given(database, stage.queries, say)
        habits.calibrate(teacher, database)
        writer = Paraphraser(teacher, database, run.purse, stage.settings.concurrency, say, run.rewording)
        writer.write(stage, paraphrases)
        asker = Asker(
            teacher,
            database,
            run.purse,
            stage.settings.concurrency,
            lambda tally: run.advance(tally, planned),
            NewSides(stage.sides),
        )
        if choose_ask:
            stage = ask_mode.chosen(stage, guides, asker, say)
        sides = both_sides(stage, guides, teacher)
        planned = sum(side.calls for side in sides)
        take_turns(sides, asker.ask_each, database.answers)
    tally = asker.tally
    if tally.failed:
        say(f"{tally.failed:,} of {tally.calls:,} calls failed, the last one: {asker.last_failure}")
    return LabelReport(
        teacher.name,
        len(stage.queries),
        len(stage.items),
        **asdict(tally),
        seconds=time.monotonic() - started,
        **writer.tally.to_json(),
    )


def refuse_while_batched(database: Database, teacher: Teacher) -> None:
    """Raise VdistillError where questions of this teacher are under way in batch jobs."""
    if jobs := database.batch_jobs.open(teacher.name):
        raise VdistillError(
            f"{sum(job.calls for job in jobs):,} questions of {teacher.name} are under way in batch jobs",
            hint="collect them first, with the command that submitted them (--batch or --batch-file)",
        )


def both_sides(stage: Stage, guides: Guides, teacher: Teacher) -> list[Side]:
    """The training side and the held-out one, where there is anything to ask."""
    schedules: dict[Split, Schedule | None] = {
        "train": stage.training(guides) if stage.queries_of("train") else None,
        "heldout": stage.held_out(),
    }
    return [Side(split, schedule, stage, teacher) for split, schedule in schedules.items() if schedule]


def guides_of(workspace: Workspace | None, stage: Stage, say: Callable[[str], None]) -> Guides:
    """For each training query the guide's score of each training item; empty without a guide."""
    guide = stage.settings.guide
    if guide == "none":
        return {}
    from vdistill.label.guide import scores

    if guide == "student" and (workspace is None or not workspace.student.is_dir()):
        raise VdistillError("--guide student: there is no student yet", hint="run `vdistill distill` first")
    say(f"the {guide} guides what is shown")
    texts, keys = stage.queries_of("train"), stage.items_of("train")
    items = [stage.items[key] for key in keys]
    matrix = scores(workspace if guide == "student" else None, stage.settings.backbone, texts, items)
    return {text: dict(zip(keys, row.tolist(), strict=True)) for text, row in zip(texts, matrix, strict=True)}


def remember_split(database: Database, settings: LabelSettings) -> None:
    """Remember catalog, backbone and the held-out share. Raises VdistillError where another share was used before."""
    before = database.setting("holdout")
    if before is not None and before != settings.holdout:
        if database.judgment_count():
            raise VdistillError(
                f"this workspace was labelled with --holdout {before}, not {settings.holdout}",
                hint="a different split would let held-out judgments into training: use another --workspace for it",
            )
        database.forget_sides()
    database.remember("holdout", settings.holdout)
    catalog = absolute(settings.catalog)
    if database.setting("catalog") != catalog:
        database.remember("catalog", catalog)
        database.remember("indexed", catalog)  # the next `index` goes with it
    if settings.backbone is not None:
        database.remember("backbone", settings.backbone)
