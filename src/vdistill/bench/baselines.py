"""What else stands in the table: any other dual encoder, and text search over what the catalog says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vdistill.errors import VdistillError
from vdistill.evaluation.metrics import Floats
from vdistill.evaluation.test_set import HeldOutSet, grade
from vdistill.inputs.words import Bm25

if TYPE_CHECKING:
    from vdistill.encoders.dual_encoder import DualEncoder
    from vdistill.query.search import Searcher

WORDS = "bm25"


def words(held_out: HeldOutSet, texts: Sequence[str]) -> dict[str, Floats] | None:
    """BM25 over the texts (n,) of the held-out items, as a ranker like others; None where there are no words."""
    search = Bm25(texts)
    return None if search.empty else grade(held_out, map(search.scores, held_out.queries))


def labels(sources: Sequence[str], taken: Sequence[str]) -> list[str]:
    """What the models are called in the table: the last part of their names where that is nobody else's."""
    short = [Path(source).name or source for source in sources]
    plain = [name not in taken and short.count(name) == 1 for name in short]
    return [name if ok else f"{source} (against)" for name, ok, source in zip(short, plain, sources, strict=True)]


class Against:
    """Another model over the same pictures: what `bench` asks of an index, computed as it is asked for."""

    def __init__(self, encoder: DualEncoder, searcher: Searcher, cache: Path) -> None:
        self._encoder, self._searcher, self._cache = encoder, searcher, cache

    @classmethod
    def load(cls, source: str, searcher: Searcher, cache: Path) -> Against:
        """The dual encoder `source`. Raises VdistillError where it cannot be had."""
        from vdistill.encoders.dual_encoder import DualEncoder

        return cls(DualEncoder.load(source), searcher, cache)

    @property
    def ids(self) -> list[str]:
        """The ids of all items."""
        return self._searcher.ids

    @property
    def catalog_root(self) -> Path:
        """The folder that the ids are relative to."""
        return self._searcher.catalog_root

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors (n, d)."""
        return self._encoder.encode_texts(texts)

    def vectors(self, ids: Sequence[str]) -> np.ndarray:
        """Unit vectors (n, d). Raises VdistillError for a picture that cannot be read any more."""
        from vdistill.bundle.items import Row
        from vdistill.encoders.replicas import replicas
        from vdistill.index.embedding import Embedder
        from vdistill.index.vector_cache import VectorCache

        hashes = self._searcher.hashes(ids)
        rows = [Row(n, key, key, "", 0, 0, "{}") for n, key in enumerate(ids)]
        with VectorCache(
            self._cache / "against", self._encoder.fingerprint, self._encoder.precision, self._encoder.dim
        ) as vector_cache:
            embedder = Embedder(self.catalog_root, replicas(self._encoder), vector_cache)
            for done, vectors, skipped in embedder.embedded(rows):
                changed = [(row.id, "it changed since it was indexed") for row in done if row.sha256 != hashes[row.id]]
                for name, reason in (*((one.id, one.reason) for one in skipped), *changed):
                    raise VdistillError(f"{name}: {reason}", hint="run `vdistill index` again")
                new = {row.sha256: vector for row, vector in zip(done, vectors, strict=True) if vector is not None}
                if new:
                    vector_cache.add(list(new), np.stack(list(new.values())))
            return vector_cache.get([hashes[key] for key in ids])

    def metadata(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """What the catalog says of the items."""
        return self._searcher.metadata(ids)

    def hashes(self, ids: Sequence[str]) -> dict[str, str]:
        """The content hashes of the pictures."""
        return self._searcher.hashes(ids)
