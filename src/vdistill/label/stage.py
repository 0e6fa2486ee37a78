"""What one run of `label` works with: its settings, its plans, and the queries and images that it may show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from vdistill.database import Database
from vdistill.errors import VdistillError
from vdistill.inputs.item_keys import Key
from vdistill.inputs.sides import ItemSides, Sides
from vdistill.label import schedules
from vdistill.label.layout import in_order
from vdistill.label.schedules import Group, Guides, Narrowing, Plan, Schedule, coverable
from vdistill.label.settings import LabelSettings
from vdistill.records import Item, Query, Question, ShownImage, Split

SIDES: tuple[Split, ...] = ("train", "heldout")


@dataclass(frozen=True, slots=True)
class Stage:
    """All that a run works with.

    plan: of the training queries.  held_out_plan: of the held-out ones.  ids: of the items on each side, in order.
    items, shown: the items that may be shown and their readable images, by id.
    unanswered: queries that nothing answers; they are not asked.
    """

    settings: LabelSettings
    plan: Plan
    held_out_plan: Plan
    items: Mapping[str, Item]
    queries: tuple[Query, ...]
    shown: Mapping[str, ShownImage]
    ids: Mapping[Split, Sequence[str]]
    sides: ItemSides
    unanswered: tuple[Query, ...] = ()

    def question(self, group: Group) -> Question:
        """The teacher call of a group."""
        return Question(group.query, tuple(self.shown[item] for item in group.items), self.settings.ask, group.none)

    def example(self, size: int) -> Question:
        """A question about `size` images, to get a price for."""
        return Question(self.queries[0].text, tuple(islice(self.shown.values(), size)), self.settings.ask)

    @property
    def most_calls(self) -> int:
        """How many calls both plans make, at most."""
        plans = {"train": self.plan, "heldout": self.held_out_plan}
        each = self.plan.images_per_call if self.plan.pointwise else 1
        return each * sum(plans[query.split].calls_per_query for query in self.queries)

    def items_of(self, split: Split) -> Sequence[str]:
        """The ids on one side of the held-out split, in order."""
        return self.ids[split]

    def register(self, database: Database) -> None:
        """Register the sides of the queries; those of items are registered with the judgments on them.

        Raises VdistillError where another process has registered others since this was planned.
        """
        database.add_queries((*self.queries, *self.unanswered))
        database.call_unanswered([query.text for query in self.unanswered], [query.text for query in self.queries])
        known = Sides.read(database)
        if self._elsewhere(known.items) or any(
            known.of_registered(query.text, query.split) != query.split for query in self.queries
        ):
            raise VdistillError(
                "meanwhile another `vdistill label` has judged some of these queries or items on the other side",
                hint="run the same command again",
            )

    def _elsewhere(self, registered: Mapping[Key, Split]) -> bool:
        """Whether any item that may be shown is registered on another side than it was planned for."""
        planned = self.sides.split
        return bool(registered) and any(
            registered.get(key, planned[one]) != planned[one]
            for one in self.shown
            for key in self.sides.keys[one]
            if key[0] != "id"
        )

    def queries_of(self, split: Split) -> list[str]:
        """The texts on one side of the held-out split."""
        return [query.text for query in self.queries if query.split == split]

    def training(self, guides: Guides) -> Schedule:
        """What the training queries are shown. guides: empty without a guide."""
        queries = in_order(self.queries_of("train"), self.plan.seed)
        return schedules.training(self.settings.schedule, queries, self.items_of("train"), self.plan, guides)

    def held_out(self) -> Schedule | None:
        """The held-out items are narrowed down for each held-out query; None where there is nothing to compare."""
        queries = in_order(self.queries_of("heldout"), self.plan.seed)
        items = coverable(self.items_of("heldout"), self.held_out_plan, "heldout")
        if not queries or len(items) < 2:
            return None
        if self.held_out_plan.pointwise:
            return schedules.scored(queries, items, self.held_out_plan)
        return Narrowing(queries, items, self.held_out_plan)

    def check_sides(self, say: Callable[[str], None]) -> None:
        """Say which side has nothing to ask about.

        Raises VdistillError where neither has anything, or where there are too few items to train on.
        """
        queries = {split: len(self.queries_of(split)) for split in SIDES}
        items = {split: len(self.items_of(split)) for split in SIDES}
        holdout = self.settings.holdout
        if queries["train"] and items["train"] < 2:
            raise VdistillError(
                f"of {len(self.items)} images {items['train']} can be used for training, and a choice needs two",
                hint=f"add images to the catalog, or hold out less: a new workspace with a --holdout below {holdout:g}",
            )
        if not queries["train"] and (not queries["heldout"] or items["heldout"] < 2):
            raise VdistillError(
                f"nothing to ask: {len(self.queries)} queries, all held out, and {items['heldout']} held-out images",
                hint="give more queries, or hold out less: a new workspace with a lower --holdout",
            )
        if not queries["train"]:
            say("all queries are held out: the judgments measure models, `vdistill distill` cannot learn from them")
        elif holdout and (not queries["heldout"] or items["heldout"] < 2):
            few = "no query" if not queries["heldout"] else f"only {items['heldout']} of the images"
            say(f"{few} fell to the held-out side: `vdistill bench` will have nothing to measure by")
