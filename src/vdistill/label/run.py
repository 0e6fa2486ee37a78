"""`label`: from a catalog and queries to judgments in the workspace."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from vdistill import catalog as catalogs
from vdistill import preferences, queries
from vdistill.database import Database
from vdistill.errors import ImageError, VdistillError
from vdistill.interrupts import deferred
from vdistill.label.asking import Asked, Asker, Tally, judgment_of
from vdistill.label.schedule import Group, Plan, heldout_pool, narrowing_round, pools, training_groups
from vdistill.label.teacher import Teacher
from vdistill.records import Ask, Item, Judgment, Query, Question, ShownImage
from vdistill.splits import split_of
from vdistill.workspace import Workspace

CALLS_PER_QUERY = 40
# Fewer calls than this tell nothing trustworthy about a held-out query; rather fewer queries.
HELDOUT_CALLS = 10


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """What `label` is asked to do; None leaves the choice to it."""

    catalog: Path
    queries: Path | None = None
    budget: int | None = None
    max_cost: float | None = None
    images_per_call: int = 8
    ask: Ask = "best"
    guide: Literal["student", "backbone", "none"] | None = None
    backbone: str | None = None
    pool: int = 64
    concurrency: int = 8
    holdout: float = 0.2
    seed: int = 0


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


@runtime_checkable
class Selective(Protocol):
    """A teacher that knows only some queries and items, and says which."""

    def unknown(self, queries: Sequence[str], items: Sequence[str]) -> tuple[list[str], list[str]]:
        """The queries and the item ids it cannot judge."""
        ...


@dataclass(frozen=True, slots=True)
class Stage:
    """All that a run works with."""

    settings: LabelSettings
    plan: Plan
    items: dict[str, Item]
    queries: tuple[Query, ...]
    shown: dict[str, ShownImage]

    def question(self, group: Group) -> Question:
        """The teacher call of a group."""
        return Question(group.query, tuple(self.shown[item] for item in group.items), self.settings.ask)


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
        _remember(database, settings)
        database.add_queries(stage.queries)
        budget = settings.budget or CALLS_PER_QUERY * len(stage.queries)
        asker = Asker(
            teacher, database, budget, settings.max_cost, settings.concurrency, lambda tally: advance(tally, budget)
        )
        _ask_training(stage, asker, _guides(workspace, stage, say))
        _ask_heldout(stage, asker)
    return _report(stage, teacher.name, asker.tally, time.monotonic() - started)


def dry_run(workspace: Workspace | None, stage: Stage, teacher: Teacher) -> LabelReport:
    """What `label` would do and cost; nothing is asked, nothing is written.

    The held-out rounds depend on answers, so theirs are counted as planned, never as reused.
    """
    groups = [group for query in _of(stage, "train") for group in training_groups(query, _pools(stage), stage.plan)]
    stored = 0
    questions = [stage.question(group) for group in groups]
    if workspace is not None and workspace.database.is_file():
        with Database.open(workspace.database) as database:
            asker = Asker(teacher, database, 0, None, 1, lambda _: None)
            stored = len(database.answers([asker.key(question) for question in questions]))
    heldout = len(_of(stage, "heldout")) * stage.plan.calls_per_query
    calls = len(questions) - stored + heldout
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
    return _report(stage, teacher.name, tally, calls * price.seconds / workers)


def prepare(
    settings: LabelSettings, open_teacher: Callable[[Sequence[Item]], Teacher], say: Callable[[str], None]
) -> tuple[Stage, Teacher]:
    """Read catalog and queries, open the teacher, choose what it will be shown, and check those pictures.

    Raises VdistillError for bad input; nothing is written.
    """
    catalog = catalogs.scan(settings.catalog)
    for skipped in catalog.skipped:
        say(f"skipped {skipped.id}: {skipped.reason}")
    asked = queries.load(settings.queries, settings.holdout)
    teacher = open_teacher(catalog.items)
    items, asked = _known(teacher, {item.id: item for item in catalog.items}, asked, say)
    plan = _plan(settings, len(asked))
    chosen = tuple(_affordable(asked, settings, plan))
    sample = _sample(sorted(items), plan, settings.holdout)
    shown = _check_pictures([items[key] for key in sample], teacher.looks, say)
    return Stage(settings, plan, {key: items[key] for key in shown}, chosen, shown), teacher


def _plan(settings: LabelSettings, query_count: int) -> Plan:
    if settings.images_per_call < 2:
        raise VdistillError("--images-per-call must be at least 2", hint="a choice needs an alternative")
    calls = CALLS_PER_QUERY if settings.budget is None else max(1, settings.budget // max(query_count, 1))
    return Plan(calls, settings.images_per_call, settings.pool, settings.seed)


def _affordable(asked: Sequence[Query], settings: LabelSettings, plan: Plan) -> list[Query]:
    """The queries that the budget reaches for: at least one call each, and HELDOUT_CALLS for a held-out one."""
    if settings.budget is None:
        return list(asked)
    train = [query for query in asked if query.split == "train"]
    heldout = [query for query in asked if query.split == "heldout"]
    money = round(settings.budget * len(heldout) / max(len(asked), 1))
    count = min(len(heldout), max(1, money // max(plan.calls_per_query, HELDOUT_CALLS)))
    return [*train[: settings.budget], *heldout[:count]]


def _known(
    teacher: Teacher, items: dict[str, Item], asked: list[Query], say: Callable[[str], None]
) -> tuple[dict[str, Item], list[Query]]:
    """Leave out what the teacher cannot judge, and say so."""
    if not isinstance(teacher, Selective):
        return items, asked
    queries, keys = teacher.unknown([query.text for query in asked], list(items))
    for kind, unknown in (("queries", queries), ("items", keys)):
        if unknown:
            say(f"{teacher.name} does not know {len(unknown)} of the {kind}, left out: {_few(unknown)}")
    known = {key: item for key, item in items.items() if key not in set(keys)}
    left = [query for query in asked if query.text not in set(queries)]
    if not known or not left:
        raise VdistillError(
            f"{teacher.name} knows none of the {'items' if not known else 'queries'}",
            hint="its item column must hold paths relative to the catalog, its query column the texts of --queries",
        )
    return known, left


def _sample(keys: Sequence[str], plan: Plan, holdout: float) -> list[str]:
    """The items that will be shown at all."""
    train = [key for key in keys if split_of("item", key, holdout) == "train"]
    heldout = [key for key in keys if split_of("item", key, holdout) == "heldout"]
    return [key for pool in pools(train, plan) for key in pool] + heldout_pool(heldout, plan)


def _check_pictures(items: Sequence[Item], looks: bool, say: Callable[[str], None]) -> dict[str, ShownImage]:
    """Hash every picture, and decode it where the teacher will look at it; broken ones are left out by name."""
    from vdistill.images import file_sha256, load

    def check(item: Item) -> ShownImage | str:
        try:
            if looks:
                load(item.path, 64)
            return ShownImage(item.id, item.path, file_sha256(item.path))
        except ImageError as error:
            return error.message
        except OSError as error:
            return error.strerror or str(error)

    shown: dict[str, ShownImage] = {}
    with ThreadPoolExecutor() as executor:
        for item, result in zip(items, executor.map(check, items), strict=True):
            if isinstance(result, str):
                say(f"skipped {item.id}: {result}")
            else:
                shown[item.id] = result
    if not shown:
        raise VdistillError("none of the pictures can be read", hint="the reasons stand above, one a picture")
    return shown


def _pools(stage: Stage) -> list[list[str]]:
    return pools(_split_items(stage, "train"), stage.plan)


def _split_items(stage: Stage, split: str) -> list[str]:
    return sorted(key for key in stage.items if split_of("item", key, stage.settings.holdout) == split)


def _of(stage: Stage, split: str) -> list[str]:
    return [query.text for query in stage.queries if query.split == split]


def _ask_training(stage: Stage, asker: Asker, guides: dict[str, dict[str, float]]) -> None:
    shared = _pools(stage)
    asked = [
        Asked(stage.question(group), "train", group.pool)
        for query in _of(stage, "train")
        for group in training_groups(query, shared, stage.plan, guides.get(query))
        if len(group.items) > 1
    ]
    asker.ask(asked)


def _ask_heldout(stage: Stage, asker: Asker) -> None:
    """Narrow the held-out items down, all held-out queries a round at a time."""
    items = heldout_pool(_split_items(stage, "heldout"), stage.plan)
    if len(items) < 2:
        return
    calls = max(stage.plan.calls_per_query, HELDOUT_CALLS)
    left = dict.fromkeys(_of(stage, "heldout"), calls)
    shown: dict[str, set[frozenset[str]]] = {query: set() for query in left}
    said: list[Judgment] = []
    for turn in range(calls):
        estimates = _estimates(said, items)
        asked = []
        for query, count in left.items():
            groups = narrowing_round(query, items, estimates.get(query), turn, count, stage.plan)
            fresh = [group for group in groups if frozenset(group.items) not in shown[query]]
            shown[query].update(frozenset(group.items) for group in fresh)
            left[query] = count - len(fresh) if fresh else 0  # nothing new to show: the ranking is settled
            asked += [Asked(stage.question(group), "heldout") for group in fresh]
        if not asked:
            return
        said += _judgments(asked, asker.ask(asked), asker)


def _judgments(asked: Sequence[Asked], answers: dict[str, Any], asker: Asker) -> list[Judgment]:
    keyed = [(one, answers.get(asker.key(one.question))) for one in asked]
    return [judgment_of(one, answer, asker.teacher.name) for one, answer in keyed if answer is not None]


def _estimates(said: Sequence[Judgment], items: Sequence[str]) -> dict[str, Any]:
    """The current utilities of `items` for each query that has judgments."""
    if not said:
        return {}
    fitted = preferences.fit(said)
    found = {}
    for query in fitted.queries:
        utilities = dict(zip(*fitted.means(query), strict=True))
        found[query] = np.array([utilities.get(item, 0.0) for item in items])
    return found


def _guides(workspace: Workspace, stage: Stage, say: Callable[[str], None]) -> dict[str, dict[str, float]]:
    """For each training query the guide's score of each training item; empty without a guide."""
    guide = stage.settings.guide or ("student" if workspace.student.is_dir() else "none")
    if guide == "none":
        return {}
    with deferred():
        from vdistill.label.guide import scores

    if guide == "student" and not workspace.student.is_dir():
        raise VdistillError("--guide student: there is no student yet", hint="run `vdistill distill` first")
    say(f"the {guide} guides what is shown")
    items = [stage.items[key] for key in _split_items(stage, "train")]
    texts = _of(stage, "train")
    matrix = scores(workspace if guide == "student" else None, stage.settings.backbone, texts, items)
    keys = [item.id for item in items]
    return {text: dict(zip(keys, row.tolist(), strict=True)) for text, row in zip(texts, matrix, strict=True)}


def _remember(database: Database, settings: LabelSettings) -> None:
    before = database.setting("holdout")
    if before is not None and before != settings.holdout and database.judgment_count():
        raise VdistillError(
            f"this workspace was labelled with --holdout {before}, not {settings.holdout}",
            hint="a different split would let held-out judgments into training: use another --workspace for it",
        )
    database.remember("holdout", settings.holdout)
    database.remember("catalog", str(settings.catalog.resolve()))
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


def _few(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + more
