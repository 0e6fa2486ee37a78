"""From the judgments in the workspace to what is taught, what validates, and what examines."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vdistill import catalog as catalogs
from vdistill.catalog import Catalog
from vdistill.database import Database
from vdistill.distill import calls as lessons
from vdistill.distill import validation as validations
from vdistill.distill.calls import Calls
from vdistill.distill.retention import titles_of
from vdistill.distill.settings import DistillSettings
from vdistill.distill.towers import PartTower, Tower, embed, tower_of
from vdistill.distill.train import Lesson
from vdistill.distill.validation import Validation
from vdistill.encoder import DualEncoder
from vdistill.errors import ImageError, VdistillError
from vdistill.heldout import HeldOut, evaluate, from_judgments
from vdistill.heldout_judgments import admissible
from vdistill.images import file_sha256, load
from vdistill.metrics import Floats
from vdistill.records import Item, Judgment
from vdistill.splits import split_of
from vdistill.trunk_cache import TrunkCache

Say = Callable[[str], None]


@dataclass(frozen=True)
class Trunked:
    """How towers are made: on the cache of the trunk, where there is one, of up to `limit` bytes."""

    encoder: DualEncoder
    cache: TrunkCache | None
    limit: float

    def tower(self, items: Sequence[Item], hashes: Mapping[str, str]) -> Tower:
        """The tower over these pictures."""
        sha256 = [hashes[item.id] for item in items]
        return tower_of(self.encoder, [item.path for item in items], sha256, self.cache, self.limit)


@dataclass(frozen=True)
class Sources:
    """What the workspace holds for training.

    judgments: on training items that are still the pictures they were.  hashes: of the pictures' files, by item.
    """

    catalog: Catalog
    holdout: float
    judgments: list[Judgment]
    hashes: dict[str, str]

    @property
    def items(self) -> dict[str, Item]:
        """The catalog by id."""
        return {item.id: item for item in self.catalog.items}


def read(database: Database, say: Say) -> Sources:
    """Raises VdistillError where there is nothing to learn from."""
    root = database.setting("catalog")
    if root is None or not database.judgment_count():
        raise VdistillError(
            "there are no judgments yet", hint="run `vdistill label CATALOG` first: the student learns from them"
        )
    holdout, catalog = float(database.setting("holdout") or 0.0), catalogs.scan(Path(root))
    judgments, hashes = _usable(database.judgments("train"), catalog, holdout, say)
    return Sources(catalog, holdout, judgments, hashes)


def lesson_of(sources: Sources, trunked: Trunked, settings: DistillSettings, say: Say) -> Lesson:
    """What is taught, with validation as far as the settings ask for it and the judgments allow it."""
    calls, encoder, items = lessons.read(sources.judgments, settings.head), trunked.encoder, sources.items
    pictured = [items[key] for key in calls.items]
    tower = trunked.tower(pictured, sources.hashes)
    before = embed(tower)
    names = [item.title or "" for item in pictured]
    titles = titles_of(_vectors(encoder, names), names, before, encoder.logit_scale) if all(names) else None
    everything = Lesson(calls, tower, _vectors(encoder, calls.queries), before, titles)
    chosen = validations.parts(calls, settings.validation)
    validation = _validation(sources, encoder, everything, chosen)
    if validation:
        return _without(everything, chosen.training, validation, refit=settings.refit > 0)
    if settings.validation:
        say("too few judgments to set some aside for validation: the last epoch is taken")
    return everything


def _without(everything: Lesson, training: Calls, validation: Validation, *, refit: bool) -> Lesson:
    """The part of a lesson that these calls are about; with `refit`, the whole comes after it."""
    images = _places(everything.calls.items, training.items)
    queries = torch.from_numpy(_places(everything.calls.queries, training.queries))
    rows, titles = torch.from_numpy(images), everything.titles
    return Lesson(
        training,
        PartTower(everything.tower, images),
        everything.texts[queries.to(everything.texts.device)],
        everything.before[rows.to(everything.before.device)],
        titles and titles.part(rows.to(everything.before.device)),
        validation,
        everything if refit else None,
    )


def _places(of: Sequence[str], wanted: Sequence[str]) -> NDArray[np.int64]:
    place = {name: number for number, name in enumerate(of)}
    return np.array([place[name] for name in wanted], np.int64)


def _validation(
    sources: Sources, encoder: DualEncoder, everything: Lesson, chosen: validations.Parts
) -> Validation | None:
    items = sources.items
    exam = validations.exam_of(sources.judgments, chosen, [items[key] for key in sorted(chosen.items)])
    if exam is None:
        return None
    tower = PartTower(everything.tower, _places(everything.calls.items, exam.items))
    queries, titles = encoder.encode_texts(exam.queries), encoder.encode_texts(exam.titles)
    return Validation(exam, tower, queries, titles, encoder.logit_scale, None).with_known()


@dataclass(frozen=True)
class Exam:
    """The held-out pictures and what they are judged by. Texts are encoded once: their tower never changes."""

    heldout: HeldOut
    tower: Tower
    queries: np.ndarray
    titles: np.ndarray

    def grade(self) -> dict[str, Floats]:
        """The held-out metrics of the encoder as it is now, for each query or title."""
        return evaluate(self.heldout, embed(self.tower).cpu().numpy(), self.queries, self.titles)


def exam_of(database: Database, sources: Sources, trunked: Trunked, say: Say) -> Exam | None:
    """The held-out exam; None where nothing was judged for one."""
    catalog, holdout = sources.catalog, sources.holdout
    items = [item for item in catalog.items if split_of("item", item.id, holdout) == "heldout" and _decodes(item.path)]
    hashes = {item.id: file_sha256(item.path) for item in items}
    judgments, left_out = admissible(database.judgments("heldout"), hashes)
    for note in left_out:
        say(note)
    try:
        heldout = from_judgments(judgments, items)
    except VdistillError as error:  # training needs no exam
        say(f"{error.message}: the student's figures stay unknown")
        return None
    encoder, known = trunked.encoder, {item.id: item for item in items}
    return Exam(
        heldout,
        trunked.tower([known[key] for key in heldout.items], hashes),
        encoder.encode_texts(heldout.queries),
        encoder.encode_texts(heldout.titles),
    )


def _usable(
    judgments: Sequence[Judgment], catalog: Catalog, holdout: float, say: Say
) -> tuple[list[Judgment], dict[str, str]]:
    paths = {item.id: item.path for item in catalog.items}
    shown = {item for judgment in judgments for item in judgment.items if item in paths}
    hashes = {item: file_sha256(paths[item]) for item in sorted(shown) if _decodes(paths[item])}
    kept = [
        judgment
        for judgment in judgments
        if all(hashes.get(item) == known for item, known in zip(judgment.items, judgment.sha256, strict=True))
        and all(split_of("item", item, holdout) == "train" for item in judgment.items)
    ]
    if len(kept) < len(judgments):
        say(f"{len(judgments) - len(kept)} judgments are left out: their pictures are gone, changed or broken")
    if not kept:
        raise VdistillError(
            "no judgment can be used for training",
            hint="run `vdistill label CATALOG` on the catalog as it is now, with some training queries",
        )
    return kept, hashes


def _decodes(path: Path) -> bool:
    try:
        load(path, 64)
    except ImageError:
        return False
    return True


def _vectors(encoder: DualEncoder, texts: Sequence[str]) -> Tensor:
    return torch.from_numpy(encoder.encode_texts(texts)).to(encoder.device)
