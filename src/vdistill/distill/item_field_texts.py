"""The texts of items, field by field, as vectors, and what an item head learns from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from vdistill.arrays import Floats
from vdistill.distill.head_training import Known
from vdistill.distill.training_data import TrainingData
from vdistill.encoders.dual_encoder import DualEncoder
from vdistill.encoders.item_head import text_vectors
from vdistill.encoders.text_vectors import Encode
from vdistill.inputs import item_texts
from vdistill.records import Item


class ItemTexts:
    """The vectors of some items' texts; each distinct text is encoded once."""

    def __init__(
        self, items: Mapping[str, Item], fields: tuple[str, ...], encoder: DualEncoder, encode: Encode
    ) -> None:
        self._fields, self._encoder = fields, encoder
        self._texts = {item.id: item_texts.texts_of(item.metadata, fields) for item in items.values()}
        distinct = list(dict.fromkeys(text for row in self._texts.values() for text in row if text))
        self._vectors = dict(zip(distinct, encode(distinct), strict=True))

    def of(self, items: Sequence[str], fields: Sequence[str]) -> Floats:
        """(n, f, dim) of these fields of the items."""
        places = [self._fields.index(name) for name in fields]
        rows = [[self._texts[key][place] for place in places] for key in items]
        return text_vectors(rows, self._vectors, self._encoder.dim)

    def known(self, part: TrainingData, images: Tensor, fields: Sequence[str], retention: float) -> Known:
        """What a head of these fields learns from a part of the judgments. images: (n, dim) vectors of its items."""
        texts = torch.from_numpy(self.of(part.calls.items, fields)).to(images.device)
        bf16 = self._encoder.on_cpu and self._encoder.precision == "bf16"
        return Known(part.calls, images, texts, part.wordings, part.titles, retention, bf16)

    @property
    def key(self) -> str:
        """The hash of fields and texts."""
        return hashlib.sha256(json.dumps([self._fields, sorted(self._texts.items())]).encode()).hexdigest()
