"""From the judgments in the workspace to what is trained on, with what validates it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vdistill.arrays import Ints
from vdistill.distill import choices, validation
from vdistill.distill.choices import Calls
from vdistill.distill.distributed import ALONE, Processes
from vdistill.distill.exam import Exam, exam_of
from vdistill.distill.reader import Reader
from vdistill.distill.retention import Titles, titles_of
from vdistill.distill.settings import DistillSettings
from vdistill.distill.sources import Say, Sources
from vdistill.distill.towers import PartTower, Tower, TowerMaker, embed
from vdistill.distill.validation import Validation
from vdistill.distill.wordings import Wordings, texts_of, wordings_of
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.text_vectors import Encode
from vdistill.evaluation.test_set import HeldOutSet


@dataclass(frozen=True)
class TrainingData:
    """Calls, the tower over their images, and what the backbone knew of those images.

    wordings: of the queries.  before: (images, dim) the backbone's.
    exam: the larger test on the validation items, made when it is first asked for.
    reader: what a reader of the items' texts teaches; None where there is none, or it would not help.
    everything: the same with what validation sets aside, to train on at the end; None to leave it out.
    """

    calls: Calls
    tower: Tower
    wordings: Wordings
    before: Tensor
    titles: Titles
    validation: Validation | None = None
    everything: TrainingData | None = None
    exam: Callable[[], Exam | None] = lambda: None
    reader: Reader | None = None

    @property
    def final(self) -> TrainingData:
        """What is trained on in the end."""
        return self.everything or self

    def part(self, calls: Calls, validation: Validation) -> TrainingData:
        """The part that these calls are about."""
        images = _places(self.calls.items, calls.items)
        rows = torch.from_numpy(images).to(self.before.device)
        wordings = self.wordings.part(_places(self.calls.queries, calls.queries))
        tower = PartTower(self.tower, images)
        return TrainingData(calls, tower, wordings, self.before[rows], self.titles.part(rows), validation)


def training_data_of(
    sources: Sources,
    towers: TowerMaker,
    encode: Encode,
    settings: DistillSettings,
    say: Say,
    processes: Processes = ALONE,
    announce: Callable[[Sequence[str], Sequence[str]], None] = lambda ids, sha256: None,
) -> TrainingData:
    """All judgments as training data, with validation as far as the settings ask for it and the judgments allow it.

    encode: texts that train to unit vectors (n, dim).
    announce: gets the ids and hashes of the images before they are read.
    """
    calls, encoder = choices.read(sources.judgments, settings.head), towers.encoder
    items = [*sources.items.only(calls.items).values()]
    hashes = [sources.hashes[item.id] for item in items]
    announce(calls.items, hashes)
    tower = towers.tower([item.file for item in items], hashes, processes)
    before = embed(tower, processes)
    names = [item.title or "" for item in items]
    titles = titles_of(names, before, lambda texts: _on_device(encode(texts), encoder), encoder.logit_scale)
    if untitled := names.count(""):
        say(
            f"{untitled:,} of the {len(names):,} training images have no title: the student is kept close to the "
            "backbone's vectors of them instead"
        )
    everything = TrainingData(calls, tower, _wordings(encoder, encode, calls, sources), before, titles)
    aside = validation.set_aside(calls, settings.validation, sources.sides.families())
    watched = [*sources.items.only(sorted(aside.items)).values()]
    test_set = validation.test_set_of(sources.judgments, aside, watched, sources.sides.products())
    if test_set is not None:
        data = everything.part(aside.training, _validation(test_set, encoder, everything))
        return replace(
            data, everything=everything if settings.refit > 0 else None, exam=_exam(data, everything, sources)
        )
    if not settings.validation:
        return everything
    test_set = validation.titles_alone(items)
    if test_set is None:
        say("too few judgments to set some aside for validation: the last epoch is taken")
        return everything
    say(
        "too few judgments to set some aside for validation: the titles of "
        f"{len(test_set.items)} training images are watched instead"
    )
    return replace(everything, validation=replace(_validation(test_set, encoder, everything), trains=True))


def _validation(test_set: HeldOutSet, encoder: DualEncoder, everything: TrainingData) -> Validation:
    places = _places(everything.calls.items, test_set.items)
    queries = everything.wordings.part(_places(everything.calls.queries, test_set.queries)).originals.cpu().numpy()
    titles = encoder.encode_texts(test_set.titles)
    found = Validation(test_set, PartTower(everything.tower, places), queries, titles, encoder.logit_scale)
    return found.with_backbone(everything.before[torch.from_numpy(places).to(everything.before.device)])


def _exam(data: TrainingData, everything: TrainingData, sources: Sources) -> Callable[[], Exam | None]:
    @functools.cache
    def exam() -> Exam | None:
        if data.validation is None or not data.validation.backbone:
            return None
        vectors = dict(zip(everything.calls.queries, everything.wordings.originals.cpu().numpy(), strict=True))
        items = [*sources.items.only(data.validation.test_set.items).values()]
        before = everything.before.cpu().numpy()[_places(everything.calls.items, data.validation.test_set.items)]
        return exam_of(data.validation, vectors, sources.judgments, items, sources.sides.products(), before)

    return exam


def _wordings(encoder: DualEncoder, encode: Encode, calls: Calls, sources: Sources) -> Wordings:
    texts = texts_of(calls.queries, sources.paraphrases)
    return wordings_of(_on_device(encode([text for some in texts for text in some]), encoder), texts)


def _places(of: Sequence[str], wanted: Sequence[str]) -> Ints:
    place = {name: number for number, name in enumerate(of)}
    return np.array([place[name] for name in wanted], np.int64)


def _on_device(vectors: np.ndarray, encoder: DualEncoder) -> Tensor:
    return torch.from_numpy(vectors).to(encoder.device)
