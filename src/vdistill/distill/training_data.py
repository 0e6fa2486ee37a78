"""From the judgments in the workspace to what is taught, what validates, and what examines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vdistill.arrays import Floats
from vdistill.database import Database
from vdistill.distill import choices
from vdistill.distill import validation as validations
from vdistill.distill.choices import Calls
from vdistill.distill.distributed import ALONE, Processes
from vdistill.distill.objective import TrainingData
from vdistill.distill.retention import titles_of
from vdistill.distill.settings import DistillSettings
from vdistill.distill.sources import Say, Sources, held_out_set
from vdistill.distill.towers import PartTower, Tower, embed, tower_of
from vdistill.distill.validation import Validation
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.feature_cache import FeatureCache
from vdistill.evaluation.test_set import HeldOutSet, evaluate
from vdistill.records import Item


@dataclass(frozen=True)
class TowerMaker:
    """How towers are made: on the cache of the trunk, where there is one, of up to `limit` bytes."""

    encoder: DualEncoder
    cache: FeatureCache | None
    limit: float

    def tower(self, items: Sequence[Item], hashes: Mapping[str, str], processes: Processes = ALONE) -> Tower:
        """The tower over these images; with a crew all processes must ask for it."""
        sha256 = [hashes[item.id] for item in items]
        return tower_of(self.encoder, [item.path for item in items], sha256, self.cache, self.limit, processes)


def training_data_of(
    sources: Sources, towers: TowerMaker, settings: DistillSettings, say: Say, processes: Processes = ALONE
) -> TrainingData:
    """What is taught, with validation as far as the settings ask for it and the judgments allow it."""
    calls, encoder, items = choices.read(sources.judgments, settings.head), towers.encoder, sources.items
    shown_items = [items[key] for key in calls.items]
    tower = towers.tower(shown_items, sources.hashes, processes)
    before = embed(tower)
    names = [item.title or "" for item in shown_items]
    titles = titles_of(names, before, lambda texts: _vectors(encoder, texts), encoder.logit_scale)
    if untitled := names.count(""):
        whole = "the drift of their vectors is held instead"
        say(f"{untitled:,} of the {len(names):,} training images have no title: {whole}")
    everything = TrainingData(calls, tower, _vectors(encoder, calls.queries), before, titles)
    chosen = validations.parts(calls, settings.validation, sources.sides.families())
    validation = _validation(sources, encoder, everything, chosen)
    if validation:
        return _without(everything, chosen.training, validation, refit=settings.refit > 0)
    if not settings.validation:
        return everything
    watching = _watching(encoder, everything, shown_items)
    instead = (
        f"the titles of {len(watching.tower)} images that train watch over it"
        if watching
        else "the last epoch is taken"
    )
    say(f"too few judgments to set some aside for validation: {instead}")
    return replace(everything, validation=watching)


def _without(everything: TrainingData, training: Calls, validation: Validation, *, refit: bool) -> TrainingData:
    """The part of a lesson that these calls are about; with `refit`, the whole comes after it."""
    images = _places(everything.calls.items, training.items)
    queries = torch.from_numpy(_places(everything.calls.queries, training.queries))
    rows, titles = torch.from_numpy(images), everything.titles
    return TrainingData(
        training,
        PartTower(everything.tower, images),
        everything.texts[queries.to(everything.texts.device)],
        everything.before[rows.to(everything.before.device)],
        titles.part(rows.to(everything.before.device)),
        validation,
        everything if refit else None,
    )


def _places(of: Sequence[str], wanted: Sequence[str]) -> NDArray[np.int64]:
    place = {name: number for number, name in enumerate(of)}
    return np.array([place[name] for name in wanted], np.int64)


def _validation(
    sources: Sources, encoder: DualEncoder, everything: TrainingData, chosen: validations.Parts
) -> Validation | None:
    items = sources.items
    test_set = validations.test_set_of(sources.judgments, chosen, [items[key] for key in sorted(chosen.items)])
    return None if test_set is None else _graded_by(test_set, encoder, everything)


def _watching(encoder: DualEncoder, everything: TrainingData, items: Sequence[Item]) -> Validation | None:
    """Validation where too little was judged to set some aside: by titles alone, of images that train."""
    test_set = validations.titles_alone(items)
    return None if test_set is None else replace(_graded_by(test_set, encoder, everything), trains=True)


def _graded_by(test_set: HeldOutSet, encoder: DualEncoder, everything: TrainingData) -> Validation:
    places = _places(everything.calls.items, test_set.items)
    queries = everything.texts[torch.from_numpy(_places(everything.calls.queries, test_set.queries))].cpu().numpy()
    titles = encoder.encode_texts(test_set.titles)
    known = Validation(test_set, PartTower(everything.tower, places), queries, titles, encoder.logit_scale)
    return known.with_backbone(everything.before[torch.from_numpy(places).to(everything.before.device)])


@dataclass(frozen=True)
class HeldOutVectors:
    """The held-out images and what they are judged by. Texts are encoded once: their tower never changes."""

    held_out: HeldOutSet
    encoder: DualEncoder
    tower: Tower
    queries: np.ndarray
    titles: np.ndarray

    def both(self) -> tuple[dict[str, Floats], dict[str, Floats]]:
        """The held-out metrics of the backbone and of the student, for each query or title.

        The backbone is the encoder without its adapter, so nothing of this need be done before the training.
        """
        with self.encoder.model.disable_adapter():
            before = self._grade()
        return before, self._grade()

    def _grade(self) -> dict[str, Floats]:
        return evaluate(self.held_out, embed(self.tower).cpu().numpy(), self.queries, self.titles)


def held_out_vectors_of(database: Database, sources: Sources, towers: TowerMaker, say: Say) -> HeldOutVectors | None:
    """The held-out exam; None where nothing was judged for one."""
    held_out = held_out_set(database, sources, say)
    if held_out is None:
        return None
    encoder, items = towers.encoder, sources.items
    return HeldOutVectors(
        held_out,
        encoder,
        towers.tower([items[key] for key in held_out.items], sources.hashes),
        encoder.encode_texts(held_out.queries),
        encoder.encode_texts(held_out.titles),
    )


def _vectors(encoder: DualEncoder, texts: Sequence[str]) -> Tensor:
    return torch.from_numpy(encoder.encode_texts(texts)).to(encoder.device)
