"""The reader: an item head over texts alone, that learns the judgments first and then teaches the image tower.

A title says at once what a product is; an image tower has to find out from few calls. So each step of its training also
holds the images to the preferences that the reader has among all training items, in wordings of all queries, whether
the teacher was asked about them or not. An index needs no texts for that.
Source: texts are what Lopez-Paz et al. 2016, arXiv 1511.03643 (generalized distillation), call privileged information.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax, softmax

from vdistill.arrays import Floats
from vdistill.distill.head_training import CALLS, HeadJob, HeadSettings, Known, trained_heads
from vdistill.distill.retention import some
from vdistill.distill.settings import DistillSettings
from vdistill.encoders.item_head import ItemHead

WORDINGS = 256  # that a step compares all items by
MANY, FEWEST_CALLS = 2048, 128  # of more items a step takes fewer calls: those that they show are its cost


@dataclass(frozen=True)
class Reader:
    """What a reader makes of the training items.

    vectors: (n, dim) unit vectors, zero for items without text.  nats: the mean `Exam.nats` of what it makes of others.
    texts: the hash of what it read.
    """

    vectors: Tensor
    nats: float
    texts: str = ""

    def loss(
        self,
        student: Tensor,
        images: Tensor,
        memory: Tensor,
        wordings: Tensor,
        temperature: float,
        rng: torch.Generator,
    ) -> Tensor:
        """The divergence of the student's preferences from the reader's, in nats: the mean over wordings.

        student: (k, dim) unit vectors of the images `images` (k,).  memory: (n, dim) the last known of all images.
        wordings: (w, dim) unit vectors of the queries; `WORDINGS` random ones are taken.
        """
        mine = self._read[images]
        others = some(len(memory), images, rng)
        others = others[self._read[others]]
        asked = wordings[torch.randint(len(wordings), (WORDINGS,), generator=rng).to(wordings.device)]
        if not mine.any():
            return student.new_zeros(())
        places = torch.searchsorted(others, images[mine])
        vectors = memory[others].index_copy(0, places, student[mine])
        wanted = softmax(asked @ self.vectors[others].T / temperature, dim=1)
        found = log_softmax(asked @ vectors.T / temperature, dim=1)
        # Only the images of this step learn from it: by as much as if they were all there are.
        return kl_div(found, wanted, reduction="batchmean") * (len(others) / len(places))

    @cached_property
    def _read(self) -> Tensor:
        """(n,) bool: the items with text."""
        return self.vectors.any(dim=1)


def texts_key(fields: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The hash of the texts (n, f) of these fields (f)."""
    return hashlib.sha256(json.dumps([fields, rows]).encode()).hexdigest()


def reading_heads(parts: Sequence[Known], fields: Sequence[str], settings: DistillSettings) -> list[ItemHead]:
    """For each part of the judgments a head that never saw an image; all are trained side by side.

    One each: the mean of two taught the images no more.
    """
    most = max(len(part.calls.items) for part in parts)
    wanted = HeadSettings(tuple(fields), blind=1.0, calls=max(FEWEST_CALLS, CALLS * MANY // max(most, MANY)))
    return trained_heads([HeadJob(part, wanted, settings.seed) for part in parts], settings)


def read_by(head: ItemHead, texts: Floats) -> Floats:
    """(n, dim) unit vectors of items by their texts (n, f, dim) alone; zero without text."""
    vectors = head.vectors(np.zeros((len(texts), texts.shape[2]), np.float32), texts)
    vectors[~texts.any(axis=(1, 2))] = 0.0
    return vectors
