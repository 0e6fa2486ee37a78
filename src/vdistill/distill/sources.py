"""What the workspace holds for a training: the catalog, and the judgments that may be trained on. Without torch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vdistill.database import Database
from vdistill.errors import VdistillError
from vdistill.inputs import catalog as catalogs
from vdistill.inputs import near_duplicates
from vdistill.inputs.hashes import Hashes
from vdistill.inputs.renamed import following
from vdistill.inputs.sides import ItemSides, Sides, plain
from vdistill.records import Item, Judgment

Say = Callable[[str], None]


@dataclass(frozen=True)
class Sources:
    """What the workspace holds for a training.

    items: the catalog, by id.  registered: the sides of all that was judged.  sides: of the catalog's items.
    judgments: of training queries on training items whose images are unchanged.  hashes: of the image files, by item.
    sketched: sketches of the readable images that were judged for training, by item.
    paraphrases: other wordings of training queries, by query.
    """

    items: dict[str, Item]
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
    items, registered = catalogs.scan(root).items, Sides.read(database)
    with Hashes.open(cache) as kept:
        hashes = kept.of(items, say)
    sides = registered.of_items(items, hashes)
    for note in sides.notes:
        say(note)
    judgments = following(database.judgments("train"), hashes)
    shown = {item for judgment in judgments for item in judgment.items}
    sketched = near_duplicates.sketches([item for item in items if item.id in shown and item.id in hashes])
    usable = _usable(judgments, {key: hashes[key] for key in sketched}, registered, sides, say)
    paraphrases = _trainable(database.paraphrases.by_query(), {judgment.query for judgment in usable}, registered)
    return Sources({item.id: item for item in items}, registered, sides, usable, hashes, sketched, paraphrases)


def _usable(
    judgments: Sequence[Judgment], hashes: Mapping[str, str], registered: Sides, sides: ItemSides, say: Say
) -> list[Judgment]:
    """The judgments to train on: of training queries on training items. hashes: of the images that can be read."""
    same = [
        judgment
        for judgment in judgments
        if all(hashes.get(item) == then for item, then in zip(judgment.items, judgment.sha256, strict=True))
    ]
    if len(same) < len(judgments):
        say(f"{len(judgments) - len(same)} judgments are left out: their images are gone, changed or broken")
    kept = [
        judgment
        for judgment in same
        if registered.of_registered(judgment.query, judgment.split) == "train"
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


def _trainable(
    paraphrases: Mapping[str, Sequence[str]], trained: Collection[str], registered: Sides
) -> dict[str, list[str]]:
    """The paraphrases of training queries, without what has meanwhile become a query of its own."""
    return {
        query: [text for text in texts if plain(text) not in registered.queries]
        for query, texts in paraphrases.items()
        if query in trained
    }
