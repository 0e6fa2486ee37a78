"""Rows for what a student's item vectors are made of, where they hold texts too: the image, and the texts, alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vdistill.bench.baselines import Against, image_vectors
from vdistill.bench.graded import Embedded, Listed
from vdistill.encoders.item_head import ItemHead, encoded
from vdistill.inputs.item_texts import texts_of
from vdistill.query.search import Searcher

if TYPE_CHECKING:  # needs torch
    from vdistill.encoders.dual_encoder import DualEncoder

_BLOCK = 4096  # items at once
IMAGE, TEXT = "student, image alone", "student, text alone"


class Part:
    """The items of an index, with other vectors."""

    def __init__(self, searcher: Searcher, vectors: Callable[[Sequence[str]], np.ndarray]) -> None:
        self.ids, self.catalog_root = searcher.ids, searcher.catalog_root
        self.metadata, self.hashes, self.files = searcher.metadata, searcher.hashes, searcher.files
        self.encode, self.vectors = searcher.encode, vectors


def parts(searcher: Searcher, head: ItemHead, cache: Path) -> dict[str, Embedded]:
    """The rows by name. searcher: of the student.  head: its item head.  cache: keeps vectors of images.

    The row of the image is missing for a backbone whose image tower cannot be exported.
    """

    def texts(ids: Sequence[str]) -> np.ndarray:
        return with_texts(searcher, head, ids, np.zeros((len(ids), searcher.manifest.dim), np.float32))

    def images(ids: Sequence[str]) -> np.ndarray:
        from vdistill.index.vector_cache import VectorCache

        entry = searcher.manifest
        with VectorCache(cache / "against", entry.model_fingerprint, "exported", entry.dim) as vector_cache:
            return image_vectors(searcher, [searcher.image_encoder], vector_cache, ids)

    alone: dict[str, Embedded] = {IMAGE: Part(searcher, images)} if searcher.manifest.image_encoder else {}
    return {**alone, TEXT: Part(searcher, texts)}


class WithTexts(Against):
    """A student whose items' vectors hold texts too, without an index."""

    def __init__(self, encoder: DualEncoder, over: Listed, cache: Path, head: ItemHead) -> None:
        super().__init__(encoder, over, cache)
        self._head = head

    def vectors(self, ids: Sequence[str]) -> np.ndarray:
        """Unit vectors (n, d). Raises VdistillError for an image that can no longer be read."""
        return with_texts(self, self._head, ids, super().vectors(ids))


def with_texts(items: Embedded, head: ItemHead, ids: Sequence[str], images: np.ndarray) -> np.ndarray:
    """Unit vectors (n, dim) of items from those of their images (n, dim), zero for none, and their texts."""
    found = np.zeros_like(images, np.float32)
    for at in range(0, len(ids), _BLOCK):
        part = slice(at, at + _BLOCK)
        rows = [texts_of(metadata, head.fields) for metadata in items.metadata(ids[part])]
        found[part] = head.vectors(images[part], encoded(rows, items.encode, images.shape[1]))
    return found
