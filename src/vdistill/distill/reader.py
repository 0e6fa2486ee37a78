"""The reader: an item head over texts alone, that learns the judgments first and then teaches the image tower.

A title says at once what a product is; an image tower has to find out from few calls. So each step of its training also
holds the images to the preferences that the reader has among all training items, in wordings of all queries, whether
the teacher was asked about them or not. An index needs no texts for that.
Source: texts are what Lopez-Paz et al. 2016, arXiv 1511.03643 (generalized distillation), call privileged information.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import kl_div, log_softmax, softmax

from vdistill.distill.retention import some

WORDINGS = 256  # that a step compares all items by


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
