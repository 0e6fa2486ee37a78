"""Before anything is asked: read catalog, queries and teacher, choose what will be shown, check those images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeAlias

from vdistill.database import Database
from vdistill.errors import ImageError, VdistillError
from vdistill.inputs import catalog as catalogs
from vdistill.inputs import near_duplicates, queries
from vdistill.inputs.item_table import PART, parts
from vdistill.inputs.items_by_id import ItemsById
from vdistill.inputs.known_hashes import hashes_of
from vdistill.inputs.listings import Skipped, skipped_lines
from vdistill.inputs.query_log import Log
from vdistill.inputs.sides import ItemSides, Sides, moved
from vdistill.inputs.views import View
from vdistill.label.coverage import REACH, coverage_of
from vdistill.label.layout import lay_out, served, usual_calls
from vdistill.label.purse import Purse
from vdistill.label.schedules import Plan, coverable, shown_items
from vdistill.label.schedules.plan import generator
from vdistill.label.settings import LabelSettings
from vdistill.label.stage import SIDES, Stage
from vdistill.label.teacher import Selective, Teacher, calls_of, pointwise
from vdistill.label.unanswered import apart
from vdistill.records import Item, Query, Question, ShownImage, Split
from vdistill.sources.read_ahead import readers
from vdistill.workspace import Workspace

IMAGES_TO_WRITE_BY, IMAGES_OF_A_CALL = 64, 8

# What the queries are written from, by side: a training query must not come from a held-out image.
Samples: TypeAlias = Mapping[Split, Sequence[ShownImage]]
WriteQueries: TypeAlias = Callable[[Teacher, Samples, Sides], list[Query]]


@dataclass(slots=True)
class Inputs:
    """Catalog, queries and teacher of one command, read once; each way to ask makes a stage from them.

    coverage: the share of the images that queries reach, before and after some were written.
    hashes: of the files, by id.  looks: whether the images will be opened; if so, broken ones are left out beforehand.
    unanswered: queries that are registered and not asked.  skipped: what was left out so far, and said.
    """

    teacher: Teacher
    items: ItemsById
    hashes: Mapping[str, str]
    sides: ItemSides
    say: Callable[[str], None]
    looks: bool
    queries: tuple[Query, ...] = ()
    unanswered: tuple[Query, ...] = ()
    coverage: tuple[float, float] | None = None
    skipped: list[Skipped] = field(default_factory=list)
    _checked: set[str] = field(default_factory=set)  # of those that were opened
    _broken: set[str] = field(default_factory=set)
    _sketched: dict[str, near_duplicates.Sketch] = field(default_factory=dict)
    _said: set[str] = field(default_factory=set)

    def stage(self, settings: LabelSettings) -> Stage:
        """What will be shown with these settings; each image is checked once.

        Raises VdistillError where there is nothing to ask about, and where `max_cost` does not allow one call.
        """
        if settings.images_per_call < 2:
            raise VdistillError("--images-per-call must be at least 2", hint="a choice needs an alternative")
        plan = Plan(
            1, settings.images_per_call, settings.pool, settings.seed, products=shared_products(self.sides),
            pointwise=pointwise(self.teacher),
        )  # fmt: skip
        calls = self.reach(settings)
        laid = lay_out(self.queries, calls if calls is None else self._questions(calls, settings), plan)
        ids = {side: [key for key in self.sides.of(side) if key in self.items.ids] for side in SIDES}
        shown = self.check([
            *shown_items(settings.schedule, ids["train"], laid.train),
            *coverable(ids["heldout"], laid.held_out, "heldout"),
        ])  # fmt: skip
        for note in near_duplicates.notes(self._sketched, self.sides.split):
            self._once(note)
        if not shown:
            raise VdistillError("none of the images can be read", hint="see the reason for each above")
        items = self.items.only(shown.ids)
        ids = {side: [key for key in some if key in shown.ids] for side, some in ids.items()}
        stage = Stage(settings, laid.train, laid.held_out, items, laid.queries, shown, ids, self.sides, self.unanswered)
        stage.check_sides(self._once)
        return stage

    def reach(self, settings: LabelSettings) -> int | None:
        """How many calls the caps allow; None without caps, or where the calls are free."""
        if settings.max_cost is None:
            return settings.budget
        some = islice(self.items.values(), settings.images_per_call)
        usual = Question(self.queries[0].text, tuple(ShownImage(item.id, item.file, "") for item in some), settings.ask)
        usd = (self.teacher.price(usual).usd or 0.0) / calls_of(self.teacher, usual)
        usual_most = usual_calls(self.queries) * calls_of(self.teacher, usual)
        most = usual_most if settings.budget is None else settings.budget
        calls = Purse(max_cost=settings.max_cost).reach(usd, most)
        if calls < 1:
            raise VdistillError(
                f"--max-cost {settings.max_cost:g} is too little for a call of {self.teacher.name} at about ${usd:.3g}",
                hint="raise it, or lower the price of a call with --images-per-call or --max-pixels",
            )
        if calls == most:
            return settings.budget
        self._once(f"--max-cost {settings.max_cost:g} allows about {calls:,} calls at ${usd:.3g}: planned for them")
        return calls

    def _questions(self, calls: int, settings: LabelSettings) -> int:
        """How many questions so many calls are."""
        return max(1, calls // settings.images_per_call) if pointwise(self.teacher) else calls

    def check(self, keys: Sequence[str], *, looks: bool | None = None) -> View[ShownImage]:
        """The images of these items as they are shown; broken ones are left out, and named."""
        unread = {one.id for one in self.skipped}
        self._broken |= {key for key in keys if key in unread} if unread else set()
        looks = self.looks if looks is None else looks
        new = [key for key in keys if key not in (self._checked if looks else self.hashes) and key not in self._broken]
        broken: list[Skipped] = []
        with readers(self.items.file_of(key) for key in new[:PART]) as executor:
            for part in parts(self.items.only(new).values()):  # a job in a thread's queue takes a kilobyte
                reasons = executor.map(lambda item: self._look(item, looks=looks), part)
                broken += [Skipped(item.id, why) for item, why in zip(part, reasons, strict=True) if why is not None]
                self._checked |= {item.id for item in part}
        self._broken |= {one.id for one in broken}
        for line in skipped_lines(broken):
            self.say(line)
        self.skipped += broken
        return View((key for key in keys if key not in self._broken), self._as_shown)

    def _as_shown(self, key: str) -> ShownImage:
        return ShownImage(key, self.items.file_of(key), self.hashes[key])

    def _look(self, item: Item, *, looks: bool) -> str | None:
        """Why an image cannot be shown; None where it can."""
        from vdistill.images import file_sha256, load

        try:
            if item.id not in self.hashes:  # it could not be read when the sides were settled
                file_sha256(item.source)
                return "it changed while it was being read"
            if looks:
                self._sketched[item.id] = near_duplicates.sketch(load(item.source, 64))
        except ImageError as error:
            return error.message
        except OSError as error:
            return error.strerror or str(error)
        return None

    def _once(self, text: str) -> None:
        if text not in self._said:
            self._said.add(text)
            self.say(text)


def read_inputs(
    settings: LabelSettings,
    workspace: Workspace | None,
    open_teacher: Callable[[Sequence[Item]], Teacher],
    say: Callable[[str], None],
    write_queries: WriteQueries | None = None,
    *,
    looks: bool = False,
    usual: Sequence[Query] = (),
) -> Inputs:
    """Read catalog and queries, and open the teacher.

    workspace: has the sides of what was judged before; None where there is none yet.
    write_queries: writes further ones about some images.  looks: whether others than teacher and guide will open them.
    usual: the queries without a file of them, instead of the built-in ones.
    Raises VdistillError for bad input; nothing but the cache of hashes is written here.
    """
    with hashes_of(settings.catalog, workspace.cache if workspace else None) as cache:
        catalog = catalogs.scan(settings.catalog)
        for line in catalog.told(catalog.skipped):
            say(line)
        known = sides_of(workspace, settings.holdout)
        log: Log | None = None
        if settings.queries is not None:
            given = queries.asked(settings.queries, known)
            asked, log = given.queries, given.log
        else:
            asked = [] if write_queries else [*usual] or queries.load(None, known)
        teacher = open_teacher(catalog.items)
        hashes = cache.of(catalog.items, say)
    for line in skipped_lines(cache.refused):
        say(line)
    looks = looks or teacher.looks or settings.guide != "none"
    sides = known.of_items(catalog.items, hashes)
    items, skipped = ItemsById(catalog.items, sides.keys.ids), [*catalog.skipped, *cache.refused]
    found = Inputs(teacher, items, hashes, sides, say, looks, skipped=skipped)
    if write_queries is not None:
        asked = _with_written(found, asked, write_queries, known, workspace, settings.seed)
    if other := moved(asked):
        say(
            f"{len(other):,} queries keep the side on which they were first judged, whatever the file says now, "
            f"e.g. {other[0].text!r} ({other[0].split})"
        )
    for note in found.sides.notes:
        say(note)
    asked, found.unanswered = apart(asked, say)
    found.items, asked = _known(teacher, items.only(key for key in items if key in sides.split), asked, say)
    found.queries = tuple(asked)
    if log is not None:
        found.queries = _cut(found, log, settings, say)
    return found


def _cut(found: Inputs, log: Log, settings: LabelSettings, say: Callable[[str], None]) -> tuple[Query, ...]:
    """As many of the most frequent queries of a log as the caps serve."""
    for note in log.notes:
        say(note)
    most = served(found.reach(settings), settings.holdout)
    if len(found.queries) > most:
        say(
            f"of {len(found.queries):,} queries the {most:,} most frequent are asked, which is what the calls serve: "
            f"{log.share(most):.0%} of the searches"
        )
    return found.queries[:most]


def sides_of(workspace: Workspace | None, holdout: float) -> Sides:
    """The sides that the workspace has registered, with this share of the rest held out."""
    with Database.existing(workspace) as database:
        return Sides.read(database, holdout)


def _with_written(
    found: Inputs, asked: list[Query], write: WriteQueries, known: Sides, workspace: Workspace | None, seed: int
) -> list[Query]:
    """The queries with those that the teacher writes about what no query reaches yet, which it is shown."""
    reach = coverage_of(workspace, list(found.items.values()))
    before = None
    if reach is not None:
        with Database.existing(workspace) as database:
            reach.add(query.text for query in (*asked, *(database.queries() if database else ())))
        before = reach.share
    samples = _to_write_by(found, seed, reach.reached if reach else frozenset())
    asked = queries.agreed(queries.unique([*asked, *write(found.teacher, samples, known)]))
    if reach is not None and before is not None:
        reach.add(query.text for query in asked)
        found.coverage = (before, reach.share)
        found.say(
            f"coverage: {before:.0%} of the images were among the {REACH} first of some query, now {reach.share:.0%}"
        )
    return asked


def _to_write_by(inputs: Inputs, seed: int, reached: Collection[str]) -> dict[Split, list[ShownImage]]:
    """Some readable images of each side that has any: of those that no query reaches, as long as they fill a call."""
    found: dict[Split, list[ShownImage]] = {}
    for split in SIDES:
        ours = [key for key in inputs.items if inputs.sides.split.get(key) == split]
        shuffled = [ours[row] for row in generator(seed, "seen by the writer", split).permutation(len(ours))]
        new = [key for key in shuffled if key not in reached]
        chosen = new or shuffled
        if len(chosen) < IMAGES_OF_A_CALL:
            chosen += [key for key in shuffled if key in reached][: IMAGES_OF_A_CALL - len(chosen)]
        if ours:
            different = Plan(1, 1, 1, seed, products=shared_products(inputs.sides)).distinct(chosen)
            found[split] = list(inputs.check(different[:IMAGES_TO_WRITE_BY], looks=True).values())
    return found


def shared_products(sides: ItemSides) -> dict[str, str]:
    """The product of each item, by id, that has other images too."""
    products = sides.products()
    images = Counter(products.values())
    return {key: name for key, name in products.items() if images[name] > 1}


def _known(
    teacher: Teacher, items: ItemsById, asked: list[Query], say: Callable[[str], None]
) -> tuple[ItemsById, list[Query]]:
    """Leave out what the teacher cannot judge, and say so."""
    if not isinstance(teacher, Selective):
        return items, asked
    queries, keys = teacher.unknown([query.text for query in asked], list(items))
    for kind, unknown in (("queries", queries), ("items", keys)):
        if unknown:
            say(f"{teacher.name} does not know {len(unknown)} of the {kind}, left out: {_few(unknown)}")
    unknown_items, unknown_queries = set(keys), set(queries)
    known = items.only(key for key in items if key not in unknown_items)
    left = [query for query in asked if query.text not in unknown_queries]
    if not known or not left:
        raise VdistillError(
            f"{teacher.name} knows none of the {'items' if not known else 'queries'}",
            hint="its item column must hold paths relative to the catalog, its query column the texts of --queries",
        )
    return known, left


def _few(names: Sequence[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + more
