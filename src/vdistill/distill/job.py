"""The trainings of one `distill`: one for each seed, on the same data and with the same encoder."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from vdistill.database import Database
from vdistill.distill.adapter import attach
from vdistill.distill.callbacks import Callbacks, Progress
from vdistill.distill.checkpoint import Checkpoint, judgments_key, trained, training_key
from vdistill.distill.distributed import ALONE, Processes
from vdistill.distill.fields import Chosen, Material, choose
from vdistill.distill.frozen_int8 import frozen_in_int8
from vdistill.distill.held_out import HeldOutMetrics, held_out_metrics
from vdistill.distill.loop import Training
from vdistill.distill.phases import NOTHING, train
from vdistill.distill.seeds import Kept, Outcome
from vdistill.distill.settings import DistillSettings
from vdistill.distill.sources import Say, Sources
from vdistill.distill.sweep import set_strength
from vdistill.distill.towers import TowerMaker
from vdistill.distill.training_data import TrainingData
from vdistill.distill.unseen import Unseen
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.feature_cache import FOLDER, GIB, FeatureCache
from vdistill.encoders.frozen_layers import frozen_layers_of
from vdistill.encoders.item_head import ItemHead
from vdistill.encoders.text_copy import KeptTexts
from vdistill.images import DECODER_VERSION
from vdistill.workspace import Workspace

CHECKPOINT, SEEDS, UNSEEN = "checkpoint.safetensors", "seeds", "unseen_vectors"  # in the cache


@dataclass(frozen=True, slots=True)
class Where:
    """The backbone, and what it is trained on and with.

    feature_bytes: of the output of frozen layers that may be cached on disk.
    step_bytes: what the images of a step may keep in memory for the backward pass; None for half of what is free.
    """

    backbone: str
    device: str = "auto"
    precision: str = "auto"
    processes: Processes = ALONE
    feature_bytes: float = 8 * GIB
    tracker: str | None = None
    step_bytes: float | None = None


def tower_maker(workspace: Workspace, where: Where, encoder: DualEncoder, settings: DistillSettings) -> TowerMaker:
    """Of an encoder that no adapter is attached to yet."""
    frozen = frozen_layers_of(encoder, settings.train_layers)
    cache = FeatureCache(workspace.cache / FOLDER, frozen) if frozen else None
    return TowerMaker(encoder, cache, where.feature_bytes)


@dataclass(frozen=True)
class Finished:
    """What is published: the outcome, measured as it is published, and what its items' vectors are made of."""

    outcome: Outcome
    fields: Chosen


@dataclass(frozen=True)
class Store:
    """The database, what was read from it for the training, and what encodes its texts."""

    database: Database
    sources: Sources
    texts: KeptTexts


@dataclass(frozen=True)
class Job:
    """What the trainings of all seeds share. store: what the first process alone has."""

    workspace: Workspace
    where: Where
    store: Store | None
    towers: TowerMaker
    data: TrainingData
    advance: Callable[[Progress], None]
    log: Callable[[dict[str, float]], None]
    say: Say

    def outcomes(self, settings: DistillSettings) -> list[Outcome]:
        """One of each seed; what is finished on disk is not trained again. The learning rate is searched for once."""
        found: list[Outcome] = []
        for seed in range(settings.seed, settings.seed + settings.seeds):
            if settings.seeds > 1:
                self.say(f"seed {seed}, {len(found) + 1} of {settings.seeds}")
            lr = self.where.processes.agreed([found[0].trained.lr])[0] if found else settings.lr
            found.append(self._outcome(replace(settings, seed=seed, lr=lr, seeds=1), several=settings.seeds > 1))
        return found

    def finished(self, outcome: Outcome, settings: DistillSettings) -> Finished:
        """The outcome to publish: its weights in the encoder's model, its fields chosen, measured with them."""
        settings = replace(settings, seed=outcome.seed)
        self._take(outcome, settings)
        fields = self._fields(outcome, settings) if outcome.trained.kept else Chosen()
        metrics = self._held_out(fields.head)
        return Finished(replace(outcome, metrics=metrics), fields)

    def _fields(self, outcome: Outcome, settings: DistillSettings) -> Chosen:
        """What items' vectors are made of."""
        assert self.store is not None
        unseen = self._unseen(outcome.seed, outcome.key).load()
        material = Material(
            self.data,
            self._sources.items,
            self.towers.encoder,
            self.store.texts.encode,
            settings,
            None if unseen is None else unseen.to(self.towers.encoder.device),
            self._sources.judgments,
            outcome.trained.history[-1]["retention"],
            self.say,
        )
        found = choose(material)
        self.store.texts.save()
        return found

    def _take(self, outcome: Outcome, settings: DistillSettings) -> None:
        """Put the weights of an outcome into the encoder's model, at their strength."""
        self._attach(settings)
        with torch.no_grad():
            for name, parameter in trained(self.towers.encoder.model).items():
                parameter.copy_(outcome.weights[name])
        set_strength(self.towers.encoder.model, outcome.trained.strength)
        self.towers.encoder.model.eval()

    def forget(self) -> None:
        """Delete what interrupted trainings left."""
        Checkpoint(self._cache / CHECKPOINT, "").remove()
        for path in self._cache.glob(f"{UNSEEN}*"):
            path.unlink()
        shutil.rmtree(self._cache / SEEDS, ignore_errors=True)

    @property
    def _cache(self) -> Path:
        return self.workspace.cache

    def _outcome(self, settings: DistillSettings, *, several: bool) -> Outcome:
        processes, encoder = self.where.processes, self.towers.encoder
        key = self._key(settings)
        kept = Kept(self._cache / SEEDS / f"{settings.seed}.safetensors", key)
        known = kept.read() if several and processes.leads else None
        if processes.agreed([float(known is not None)])[0]:
            return known or Outcome(settings.seed, key, NOTHING, None, {})
        self._attach(settings)
        callbacks = Callbacks(self.advance, self.log, self.say, self._unseen(settings.seed, key).save)
        training = Training(encoder, self.data, settings, callbacks, processes, self.where.step_bytes)
        with frozen_in_int8(encoder, self.data.tower):
            done = train(training, Checkpoint(self._cache / CHECKPOINT, key))
        set_strength(encoder.model, done.strength)
        measured = several and processes.leads
        metrics = self._held_out() if measured else None
        weights = {name: value.detach().clone() for name, value in trained(encoder.model).items()}
        outcome = Outcome(settings.seed, key, done, metrics, weights)
        if measured:
            kept.write(outcome)
        return outcome

    @property
    def _sources(self) -> Sources:
        assert self.store is not None
        return self.store.sources

    def _held_out(self, head: ItemHead | None = None) -> HeldOutMetrics | None:
        assert self.store is not None
        return held_out_metrics(self.store.database, self.store.sources, self.towers, self.say, head)

    def _unseen(self, seed: int, key: str) -> Unseen:
        return Unseen(self._cache / f"{UNSEEN}_{seed}.safetensors", key)

    def _attach(self, settings: DistillSettings) -> None:
        """Give the encoder's model a new adapter in place of the one that it may have."""
        model: Any = self.towers.encoder.model
        if hasattr(model, "unload"):
            self.towers.encoder.model = model.unload()
        attach(self.towers.encoder, settings)

    def _key(self, settings: DistillSettings) -> str:
        """The hash of all that decides the outcome; "" where it names no file."""
        if self.store is None:
            return ""
        encoder, data, sources = self.towers.encoder, self.data, self.store.sources
        paraphrases = [sources.paraphrases] if any(sources.paraphrases.values()) else []
        read = [data.reader.texts] if data.reader else []
        return training_key(
            {name: value for name, value in asdict(settings).items() if name != "fields"},  # they come after the tower
            encoder.fingerprint,
            f"{encoder.precision} {data.tower.crops} {DECODER_VERSION}",
            judgments_key(sources.judgments),
            [item.title for item in sources.items.only(data.final.calls.items).values()],
            *paraphrases,
            *read,
        )
