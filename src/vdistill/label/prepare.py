"""Before anything is asked: read catalog and queries, choose what will be shown, and check those pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, get_args, runtime_checkable

from vdistill import catalog as catalogs
from vdistill import near_duplicates, queries
from vdistill.database import Database
from vdistill.errors import ImageError, VdistillError
from vdistill.hashes import Hashes
from vdistill.label import schedules
from vdistill.label.schedules import Group, Plan, Schedule, ScheduleName, coverable, shown_items
from vdistill.label.schedules.plan import generator
from vdistill.label.teacher import Teacher
from vdistill.records import Ask, Item, Query, Question, ShownImage, Split
from vdistill.sides import ItemSides, Sides, moved
from vdistill.workspace import Workspace

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


# What the queries are written from, by side: a training query must not come from a held-out image.
Samples: TypeAlias = Mapping[Split, Sequence[ShownImage]]
WriteQueries: TypeAlias = Callable[[Teacher, Samples, Sides], list[Query]]


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
    sides: ItemSides

    def question(self, group: Group) -> Question:
        """The teacher call of a group."""
        return Question(group.query, tuple(self.shown[item] for item in group.items), self.settings.ask)

    def items_of(self, split: Split) -> list[str]:
        """The ids on one side of the held-out split, in order."""
        return [key for key in self.sides.of(split) if key in self.items]

    def register(self, database: Database) -> None:
        """Let the workspace keep the sides of all that is about to be judged.

        Raises VdistillError where another process has registered other ones since this was planned.
        """
        rows = self.sides.rows(self.shown)
        database.add_queries(self.queries)
        database.add_item_sides(rows)
        items, queries = database.item_sides(), Sides.read(database)
        if any(items[kind, key] != split for kind, key, split in rows if kind != "id") or any(
            queries.of_registered(query.text, query.split) != query.split for query in self.queries
        ):
            raise VdistillError(
                "another `vdistill label` has judged some of these queries or items on the other side meanwhile",
                hint="run the same command again",
            )

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
    workspace: Workspace | None,
    open_teacher: Callable[[Sequence[Item]], Teacher],
    say: Callable[[str], None],
    write_queries: WriteQueries | None = None,
) -> tuple[Stage, Teacher]:
    """Read catalog and queries, open the teacher, choose what it will be shown, and check those pictures.

    workspace: knows the sides of what was judged before; None where there is none yet.
    write_queries: gets the teacher and some pictures, and gives queries that are asked with those of the file.
    Raises VdistillError for bad input; nothing but the cache of hashes is written here.
    """
    catalog = catalogs.scan(settings.catalog)
    for skipped in catalog.skipped:
        say(f"skipped {skipped.id}: {skipped.reason}")
    known = sides_of(workspace, settings.holdout)
    asked = [] if write_queries and settings.queries is None else queries.load(settings.queries, known)
    teacher = open_teacher(catalog.items)
    with Hashes.open(workspace.cache if workspace else None) as cache:
        hashes = cache.of(catalog.items, say)
    sides = known.of_items(catalog.items, hashes)
    if write_queries is not None:
        samples = _to_write_by(catalog.items, sides, hashes, settings.seed, say)
        asked = queries.agreed(queries.unique([*asked, *write_queries(teacher, samples, known)]))
    for note in (*_said(asked), *sides.notes):
        say(note)
    items, asked = _known(teacher, {item.id: item for item in catalog.items if item.id in sides.split}, asked, say)
    plan = _plan(settings, asked)
    chosen = tuple(_affordable(asked, settings, plan))
    sample = [items[key] for key in _sample(items, sides, plan, settings)]
    sketched: dict[str, near_duplicates.Sketch] = {}
    shown = _check_pictures(sample, hashes, teacher.looks, say, sketched)
    for note in near_duplicates.notes(sketched, sides.split):
        say(note)
    return Stage(settings, plan, {key: items[key] for key in shown}, chosen, shown, sides), teacher


def sides_of(workspace: Workspace | None, holdout: float) -> Sides:
    """What the workspace knows of sides, with this share held out of the rest."""
    if workspace is None or not workspace.database.is_file():
        return Sides.read(None, holdout)
    with Database.open(workspace.database, write=False) as database:
        return Sides.read(database, holdout)


def _to_write_by(
    items: Sequence[Item], sides: ItemSides, hashes: Mapping[str, str], seed: int, say: Callable[[str], None]
) -> dict[Split, list[ShownImage]]:
    """Some readable images of each side that has any."""
    found: dict[Split, list[ShownImage]] = {}
    for split in get_args(Split):
        ours = [item for item in items if sides.split.get(item.id) == split]
        rows = generator(seed, "seen by the writer", split).permutation(len(ours))[:PICTURES_TO_WRITE_BY]
        if len(ours):
            found[split] = list(_check_pictures([ours[row] for row in rows], hashes, looks=True, say=say).values())
    return found


def _said(asked: Sequence[Query]) -> Iterator[str]:
    """One line where the file asks for another side than the one on which a query was judged."""
    other = moved(asked)
    if other:
        yield (
            f"{len(other):,} queries keep the side on which they were first judged, whatever the file says now, "
            f"e.g. {other[0].text!r} ({other[0].split})"
        )


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


def _sample(items: Mapping[str, Item], sides: ItemSides, plan: Plan, settings: LabelSettings) -> list[str]:
    """The items that will be shown at all."""
    train, heldout = ([key for key in sides.of(split) if key in items] for split in get_args(Split))
    return shown_items(settings.schedule, train, plan) + coverable(heldout, plan, "heldout")


def _check_pictures(
    items: Sequence[Item],
    hashes: Mapping[str, str],
    looks: bool,
    say: Callable[[str], None],
    sketched: dict[str, near_duplicates.Sketch] | None = None,
) -> dict[str, ShownImage]:
    """Decode every image where the teacher will look at it; broken ones are left out by name.

    sketched: gets what the images look like, where they are decoded.
    """
    from vdistill.images import file_sha256, load

    def check(item: Item) -> ShownImage | str:
        try:
            if item.id not in hashes:  # it could not be read when the sides were settled
                file_sha256(item.path)
                return "it has changed while it was read"
            if looks:
                image = load(item.path, 64)
                if sketched is not None:
                    sketched[item.id] = near_duplicates.sketch(image)
            return ShownImage(item.id, item.path, hashes[item.id])
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
