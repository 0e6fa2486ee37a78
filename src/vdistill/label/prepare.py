"""Before anything is asked: read catalog and queries, choose what will be shown, and check those pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from vdistill import catalog as catalogs
from vdistill import queries
from vdistill.errors import ImageError, VdistillError
from vdistill.label import schedules
from vdistill.label.schedules import Group, Plan, Schedule, ScheduleName, coverable, shown_items
from vdistill.label.schedules.plan import generator
from vdistill.label.teacher import Teacher
from vdistill.records import Ask, Item, Query, Question, ShownImage, Split
from vdistill.splits import split_of

CALLS_PER_QUERY = 40
# Fewer calls than this tell nothing trustworthy about a held-out query; rather fewer queries.
HELDOUT_CALLS = 10
PICTURES_TO_WRITE_BY = 64


@dataclass(frozen=True, slots=True)
class LabelSettings:
    """What `label` is asked to do; None leaves the choice to it."""

    catalog: Path
    queries: str | None = None
    budget: int | None = None
    max_cost: float | None = None
    images_per_call: int = 8
    ask: Ask = "best"
    schedule: ScheduleName = "adaptive"
    guide: Literal["student", "backbone", "none"] | None = None
    backbone: str | None = None
    pool: int = 64
    concurrency: int = 8
    holdout: float = 0.2
    seed: int = 0


WriteQueries: TypeAlias = Callable[[Teacher, Sequence[ShownImage]], list[Query]]


@runtime_checkable
class MayBeBare(Protocol):
    """A teacher whose choices may come without probabilities; None before that is known."""

    bare: bool | None


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

    def items_of(self, split: Split) -> list[str]:
        """The ids on one side of the held-out split, in order."""
        return sorted(key for key in self.items if split_of("item", key, self.settings.holdout) == split)

    def queries_of(self, split: Split) -> list[str]:
        """The texts on one side of the held-out split."""
        return [query.text for query in self.queries if query.split == split]

    def training(self, guides: Mapping[str, Mapping[str, float]]) -> Schedule:
        """What the training queries are shown, by the scores of a guide where there are some."""
        settings = self.settings
        return schedules.training(
            settings.schedule, self.queries_of("train"), self.items_of("train"), self.plan, guides
        )


def prepare(
    settings: LabelSettings,
    open_teacher: Callable[[Sequence[Item]], Teacher],
    say: Callable[[str], None],
    write_queries: WriteQueries | None = None,
) -> tuple[Stage, Teacher]:
    """Read catalog and queries, open the teacher, choose what it will be shown, and check those pictures.

    write_queries: gets the teacher and some pictures, and gives queries that are asked with those of the file.
    Raises VdistillError for bad input; nothing is written here.
    """
    catalog = catalogs.scan(settings.catalog)
    for skipped in catalog.skipped:
        say(f"skipped {skipped.id}: {skipped.reason}")
    asked = [] if write_queries and settings.queries is None else queries.load(settings.queries, settings.holdout)
    teacher = open_teacher(catalog.items)
    if write_queries is not None:
        rows = generator(settings.seed, "seen by the writer").permutation(len(catalog.items))[:PICTURES_TO_WRITE_BY]
        some = _check_pictures([catalog.items[row] for row in rows], looks=True, say=say)
        asked = queries.unique([*asked, *write_queries(teacher, list(some.values()))])
    items, asked = _known(teacher, {item.id: item for item in catalog.items}, asked, say)
    plan = _plan(settings, asked)
    chosen = tuple(_affordable(asked, settings, plan))
    sample = _sample(sorted(items), plan, settings)
    shown = _check_pictures([items[key] for key in sample], teacher.looks, say)
    return Stage(settings, plan, {key: items[key] for key in shown}, chosen, shown), teacher


def _plan(settings: LabelSettings, asked: Sequence[Query]) -> Plan:
    if settings.images_per_call < 2:
        raise VdistillError("--images-per-call must be at least 2", hint="a choice needs an alternative")
    calls = CALLS_PER_QUERY if settings.budget is None else max(1, settings.budget // max(len(asked), 1))
    train = sum(query.split == "train" for query in asked)
    train = train if settings.budget is None else min(train, settings.budget)
    return Plan(calls, settings.images_per_call, settings.pool, settings.seed, train)


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


def _sample(keys: Sequence[str], plan: Plan, settings: LabelSettings) -> list[str]:
    """The items that will be shown at all."""
    train = [key for key in keys if split_of("item", key, settings.holdout) == "train"]
    heldout = [key for key in keys if split_of("item", key, settings.holdout) == "heldout"]
    return shown_items(settings.schedule, train, plan) + coverable(heldout, plan, "heldout")


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


def _few(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + more
