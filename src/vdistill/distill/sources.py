"""What the workspace holds for a training: judgments that may teach, and those that examine. Without torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vdistill.database import Database
from vdistill.distill.held_out_size import bounded
from vdistill.errors import VdistillError
from vdistill.evaluation.admissible import admissible
from vdistill.evaluation.test_set import HeldOutSet, from_judgments
from vdistill.inputs import catalog as catalogs
from vdistill.inputs import near_duplicates
from vdistill.inputs.catalog import Catalog
from vdistill.inputs.hashes import Hashes
from vdistill.inputs.sides import ItemSides, Sides
from vdistill.records import Item, Judgment

Say = Callable[[str], None]


@dataclass(frozen=True)
class Sources:
    """What the workspace holds for training.

    judgments: of training queries on training items that are still the images they were.
    sides: of the items.  known: of everything.  hashes: of the images' files, by item.
    sketched: what the readable images that were judged for training look like, by item.
    """

    catalog: Catalog
    known: Sides
    sides: ItemSides
    judgments: list[Judgment]
    hashes: dict[str, str]
    sketched: dict[str, near_duplicates.Sketch]

    @property
    def holdout(self) -> float:
        """The share that is held out."""
        return self.known.holdout

    @property
    def items(self) -> dict[str, Item]:
        """The catalog by id."""
        return {item.id: item for item in self.catalog.items}


def read(database: Database, say: Say, cache: Path | None = None) -> Sources:
    """cache: the folder that keeps the hashes of files. Raises VdistillError where there is nothing to learn from."""
    root = database.setting("catalog")
    if root is None or not database.judgment_count():
        raise VdistillError(
            "there are no judgments yet", hint="run `vdistill label CATALOG` first: the student learns from them"
        )
    catalog, known = catalogs.scan(Path(root)), Sides.read(database)
    with Hashes.open(cache) as kept:
        hashes = kept.of(catalog.items, say)
    sides = known.of_items(catalog.items, hashes)
    for note in sides.notes:
        say(note)
    judgments = database.judgments("train")
    shown = {item for judgment in judgments for item in judgment.items}
    sketched = near_duplicates.sketches([item for item in catalog.items if item.id in shown and item.id in hashes])
    usable = _usable(judgments, {key: hashes[key] for key in sketched}, known, sides, say)
    return Sources(catalog, known, sides, usable, hashes, sketched)


def held_out_set(database: Database, sources: Sources, say: Say) -> HeldOutSet | None:
    """What the judge with most held-out judgments says of the held-out images; None where nothing was judged."""
    held = [item for item in sources.catalog.items if sources.sides.split.get(item.id) == "heldout"]
    there = [item for item in held if item.id in sources.hashes]
    hashes = {item.id: sources.hashes[item.id] for item in there}
    admitted = admissible(database.judgments("heldout"), hashes, sources.known)
    some, judgments = bounded(there, admitted.judgments)
    if len(some) < len(there):
        say(f"{len(some):,} of the {len(there):,} held-out images examine the student; `vdistill bench` takes all")
    sketched = near_duplicates.sketches(some)
    for note in (*near_duplicates.notes(sources.sketched | sketched, sources.sides.split), *admitted.notes):
        say(note)
    try:
        return from_judgments(judgments, [item for item in some if item.id in sketched])
    except VdistillError as error:  # training needs no exam
        say(f"{error.message}: the student's figures stay unknown")
        return None


def _usable(
    judgments: Sequence[Judgment], hashes: Mapping[str, str], known: Sides, sides: ItemSides, say: Say
) -> list[Judgment]:
    """Those that teach: of training queries on training items. hashes: of the images that can be read."""
    same = [
        judgment
        for judgment in judgments
        if all(hashes.get(item) == then for item, then in zip(judgment.items, judgment.sha256, strict=True))
    ]
    if len(same) < len(judgments):
        say(f"{len(judgments) - len(same)} judgments are left out: their pictures are gone, changed or broken")
    kept = [
        judgment
        for judgment in same
        if known.of_registered(judgment.query, judgment.split) == "train"
        and all(sides.split.get(item) == "train" for item in judgment.items)
    ]
    if len(kept) < len(same):
        say(f"{len(same) - len(kept)} judgments are left out: their queries or items are held out")
    if not kept:
        raise VdistillError(
            "no judgment can be used for training",
            hint="run `vdistill label CATALOG` on the catalog as it is now, with some training queries",
        )
    return kept
