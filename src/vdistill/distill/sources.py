"""What the workspace holds for a training: the catalog, and the judgments that may be trained on. Without torch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vdistill.database import Database
from vdistill.errors import VdistillError
from vdistill.inputs import catalog as catalogs
from vdistill.inputs import near_duplicates
from vdistill.inputs.items_by_id import ItemsById
from vdistill.inputs.known_hashes import hashes_of
from vdistill.inputs.renamed import following, unchanged
from vdistill.inputs.sides import ItemSides, Sides, plain
from vdistill.records import Judgment

Say = Callable[[str], None]


@dataclass(frozen=True)
class Sources:
    """What the workspace holds for a training.

    items: the catalog, by id.  registered: the sides of all that was judged.  sides: of the catalog's items.
    judgments: of training queries on training items whose images are unchanged.  hashes: of the image files, by item.
    sketched: sketches of the readable images that were judged for training, by item.
    paraphrases: other wordings of training queries, by query.
    """

    items: ItemsById
    registered: Sides
    sides: ItemSides
    judgments: list[Judgment]
    hashes: dict[str, str]
    sketched: dict[str, near_duplicates.Sketch]
    paraphrases: dict[str, list[str]]


def read(database: Database, say: Say, cache: Path | None = None) -> Sources:
    """cache: the folder that keeps the hashes of files. Raises VdistillError where there is nothing to learn from."""
    root = database.setting("catalog")
    if root is None or not database.judgment_count():
        raise VdistillError(
            "there are no judgments yet", hint="run `vdistill label CATALOG` first: the student learns from them"
        )
    with hashes_of(root, cache) as kept:
        table, registered = catalogs.scan(root).items, Sides.read(database)
        hashes = kept.of(table, say)
    sides = registered.of_items(table, hashes)
    items = ItemsById(table, sides.keys.ids)
    for note in sides.notes:
        say(note)
    judgments = following(database.judgments("train"), hashes)
    shown = {item for judgment in judgments for item in judgment.items}
    there = items.only(key for key in sorted(shown) if key in items and key in hashes)
    sketched = near_duplicates.sketches([*there.values()])
    usable = _usable(judgments, {key: hashes[key] for key in sketched}, registered, sides, say)
    paraphrases = _trainable(database.paraphrases.by_query(), {judgment.query for judgment in usable}, registered)
    return Sources(items, registered, sides, usable, hashes, sketched, paraphrases)


def _usable(
    judgments: Sequence[Judgment], hashes: Mapping[str, str], registered: Sides, sides: ItemSides, say: Say
) -> list[Judgment]:
    """The judgments to train on: of training queries on training items. hashes: of the images that can be read."""
    same = [judgment for judgment in judgments if unchanged(judgment, hashes)]
    asked = {one.query: one.split for one in same}
    queries = {text for text, split in asked.items() if registered.of_registered(text, split) == "train"}
    items = {key for key in hashes if sides.split.get(key) == "train"}
    if len(same) < len(judgments):
        say(f"{len(judgments) - len(same)} judgments are left out: their images are gone, changed or broken")
    kept = [one for one in same if one.query in queries and items.issuperset(one.items)]
    if len(kept) < len(same):
        say(f"{len(same) - len(kept)} judgments are left out: their queries or items are held out")
    if not kept:
        raise VdistillError(
            "no judgment can be used for training",
            hint="run `vdistill label CATALOG` on the catalog as it is now, with some training queries",
        )
    return kept


def _trainable(
    paraphrases: Mapping[str, Sequence[str]], trained: Collection[str], registered: Sides
) -> dict[str, list[str]]:
    """The paraphrases of training queries, without what has meanwhile become a query of its own."""
    return {
        query: [text for text in texts if plain(text) not in registered.queries]
        for query, texts in paraphrases.items()
        if query in trained
    }
