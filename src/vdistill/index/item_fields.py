"""The vectors of items that hold texts too: each text is embedded once, and the item head makes one vector of all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from vdistill.encoders.item_head import ItemHead, encoded
from vdistill.index.vector_cache import VectorCache
from vdistill.inputs.item_texts import texts_of
from vdistill.records import Item


@dataclass(frozen=True)
class ItemFields:
    """head: of the student.  encode: texts to unit vectors (n, dim).  vector_cache: keeps them, beside the images'."""

    head: ItemHead
    encode: Callable[[Sequence[str]], np.ndarray]
    vector_cache: VectorCache

    def content(self, sha256: str, metadata: str) -> str:
        """Hash of the image and of the texts that a vector is made of."""
        return _hash(json.dumps([sha256, *self._texts(metadata)]))

    def with_text(self, items: Sequence[Item]) -> list[Item]:
        """Those of the items that can be indexed without an image."""
        return [item for item in items if any(texts_of(item.metadata, self.head.fields))]

    def has_text(self, metadata: str) -> bool:
        """Whether an item can be indexed without an image."""
        return any(self._texts(metadata))

    def vectors(self, images: np.ndarray, metadata: Sequence[str]) -> np.ndarray:
        """Unit vectors (n, dim), float32, from those of the images and from the items' metadata, given as JSON."""
        rows = [self._texts(one) for one in metadata]
        return self.head.vectors(images, encoded(rows, self._encoded, images.shape[1]))

    def _texts(self, metadata: str) -> tuple[str, ...]:
        return texts_of(json.loads(metadata), self.head.fields)

    def _encoded(self, texts: Sequence[str]) -> np.ndarray:
        """(n, dim) of distinct texts."""
        keys = [f"text {_hash(text)}" for text in texts]
        new = [place for place, key in enumerate(keys) if not self.vector_cache.has(key)]
        if new:
            self.vector_cache.add([keys[place] for place in new], self.encode([texts[place] for place in new]))
        return self.vector_cache.get(keys)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
