"""Trains the reader of the items' texts, and finds out whether it has anything to teach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from vdistill.arrays import Floats
from vdistill.distill.head_training import CALLS, HeadJob, HeadSettings, Known, trained_heads
from vdistill.distill.item_field_texts import ItemTexts
from vdistill.distill.reader import Reader
from vdistill.distill.retention import START
from vdistill.distill.settings import DistillSettings
from vdistill.distill.sources import Say
from vdistill.distill.training_data import TrainingData
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.item_head import ItemHead
from vdistill.encoders.text_vectors import Encode
from vdistill.inputs import item_texts
from vdistill.inputs.items_by_id import ItemsById

MANY, FEWEST_CALLS = 2048, 128  # of more items a step takes fewer calls: those that they show are its cost


def with_reader(
    data: TrainingData, items: ItemsById, encoder: DualEncoder, encode: Encode, settings: DistillSettings, say: Say
) -> TrainingData:
    """The data with a reader of the items' texts, if that foretells validation better than the backbone's images do.

    It reads the columns that `--fields auto` would take, whatever goes into the index.
    encode: texts that train to unit vectors (n, dim).
    """
    keys = data.final.calls.items
    fields = item_texts.automatic([item.metadata for item in items.only(keys).values()]) if settings.reader else ()
    exam = data.exam() if fields else None
    if exam is None:
        return data
    parts = [data, data.everything] if data.everything else [data]
    texts = ItemTexts(items.only((*keys, *exam.items)), fields, encoder, encode)
    blind = [texts.known(part, torch.zeros_like(part.before), fields, START) for part in parts]
    heads = _heads(blind, fields, settings)
    nats = float(exam.nats(_read(heads[0], texts.of(exam.items, fields)), settings.temperature).mean())
    before = float(exam.nats(exam.before, settings.temperature).mean())
    told = (
        f"the texts ({', '.join(fields)}) foretell validation at {nats:.3f} nats, the backbone's images at {before:.3f}"
    )
    if not nats < before:
        say(f"{told}: they teach the image tower nothing")
        return data
    say(f"{told}: the image tower learns from them, too")
    key = texts.key
    first, *later = (
        replace(part, reader=Reader(_vectors(head, texts.of(part.calls.items, fields), part), nats, key))
        for part, head in zip(parts, heads, strict=True)
    )
    return replace(first, everything=later[0]) if later else first


def _heads(parts: Sequence[Known], fields: tuple[str, ...], settings: DistillSettings) -> list[ItemHead]:
    """For each part of the judgments a head that never saw an image; all are trained side by side.

    One each: the mean of two taught the images no more.
    """
    most = max(len(part.calls.items) for part in parts)
    wanted = HeadSettings(fields, blind=1.0, calls=max(FEWEST_CALLS, CALLS * MANY // max(most, MANY)))
    return trained_heads([HeadJob(part, wanted, settings.seed) for part in parts], settings)


def _read(head: ItemHead, texts: Floats) -> Floats:
    """(n, dim) unit vectors of items by their texts (n, f, dim) alone; zero without text."""
    vectors = head.vectors(np.zeros((len(texts), texts.shape[2]), np.float32), texts)
    vectors[~texts.any(axis=(1, 2))] = 0.0
    return vectors


def _vectors(head: ItemHead, texts: Floats, part: TrainingData) -> torch.Tensor:
    return torch.from_numpy(_read(head, texts)).to(part.before.device)
