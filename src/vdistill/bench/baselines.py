"""What else the table shows: other dual encoders, and text search over the metadata."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vdistill.bench.graded import Embedded, Values
from vdistill.bundle.items import Row
from vdistill.errors import VdistillError
from vdistill.evaluation.grading import grade
from vdistill.evaluation.test_set import HeldOutSet
from vdistill.inputs.words import Bm25
from vdistill.query.search import Searcher

if TYPE_CHECKING:  # needs torch
    from vdistill.encoders.dual_encoder import DualEncoder
    from vdistill.index.embedding import ImageModel
    from vdistill.index.vector_cache import VectorCache

TEXT_SEARCH = "bm25"


def text_search(held_out: HeldOutSet, texts: Sequence[str]) -> Values | None:
    """BM25 over the texts (n,) of the held-out items, as a ranker like others; None where they hold no words."""
    search = Bm25(texts)
    return None if search.empty else grade(held_out, map(search.scores, held_out.queries))


def labels(sources: Sequence[str], taken: Sequence[str]) -> list[str]:
    """What the models are called in the table: the last part of their names where no other model has it."""
    short = [Path(source).name or source for source in sources]
    unique = [name not in taken and short.count(name) == 1 for name in short]
    return [name if ok else f"{source} (against)" for name, ok, source in zip(short, unique, sources, strict=True)]


class Against:
    """Another model over the images of an index, which embeds what `bench` asks for."""

    def __init__(self, encoder: DualEncoder, searcher: Searcher, cache: Path) -> None:
        self.ids, self.catalog_root = searcher.ids, searcher.catalog_root
        self.metadata, self.hashes, self.encode = searcher.metadata, searcher.hashes, encoder.encode_texts
        self._encoder, self._cache = encoder, cache

    @classmethod
    def load(cls, source: str, searcher: Searcher, cache: Path) -> Against:
        """The dual encoder `source`. Raises VdistillError where it cannot be loaded."""
        from vdistill.encoders.dual_encoder import DualEncoder

        return cls(DualEncoder.load(source), searcher, cache)

    def vectors(self, ids: Sequence[str]) -> np.ndarray:
        """Unit vectors (n, d). Raises VdistillError for an image that can no longer be read."""
        from vdistill.encoders.replicas import replicas
        from vdistill.index.vector_cache import VectorCache

        with VectorCache(
            self._cache / "against", self._encoder.fingerprint, self._encoder.precision, self._encoder.dim
        ) as vector_cache:
            return image_vectors(self, replicas(self._encoder), vector_cache, ids)


def image_vectors(
    items: Embedded, models: Sequence[ImageModel], vector_cache: VectorCache, ids: Sequence[str]
) -> np.ndarray:
    """Unit vectors (n, d) of images of an index by copies of another model.

    Raises VdistillError for an image that can no longer be read, or is not the one that was indexed.
    """
    from vdistill.index.embedding import Embedder

    hashes = items.hashes(ids)
    embedder = Embedder(items.catalog_root, models, vector_cache)
    for done, vectors, skipped in embedder.embedded(Row(n, key, key, "", 0, 0, "{}") for n, key in enumerate(ids)):
        changed = [(row.id, "it changed since it was indexed") for row in done if row.sha256 != hashes[row.id]]
        for name, reason in (*((one.id, one.reason) for one in skipped), *changed):
            raise VdistillError(f"{name}: {reason}", hint="run `vdistill index` again")
        new = {row.sha256: vector for row, vector in zip(done, vectors, strict=True) if vector is not None}
        if new:
            vector_cache.add(list(new), np.stack(list(new.values())))
    return vector_cache.get([hashes[key] for key in ids])
