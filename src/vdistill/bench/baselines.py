"""What else the table shows: other dual encoders, and what reads the items' text: BM25 and text encoders."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vdistill.arrays import Floats
from vdistill.bench.graded import Embedded, Known, Listed
from vdistill.bundle.items import Row
from vdistill.errors import VdistillError
from vdistill.evaluation.test_set import HeldOutSet
from vdistill.inputs.words import Bm25, words_of
from vdistill.records import Item

if TYPE_CHECKING:  # needs torch
    from vdistill.encoders.dual_encoder import DualEncoder
    from vdistill.encoders.sentence_encoder import SentenceEncoder
    from vdistill.index.embedding import ImageModel
    from vdistill.index.vector_cache import VectorCache

TEXT_SEARCH = "bm25"
_RUN = re.compile(r"(\.(trec|run|txt))?(\.gz)?$")  # endings of run files


class TextSearch:
    """BM25 over all text of the items' metadata, as a search engine has it: all items are in its index.

    An item with none of the query's words is not found.
    """

    def __init__(self, items: Sequence[Item]) -> None:
        self.notes: tuple[str, ...] = ()
        self._rows = {item.id: row for row, item in enumerate(items)}
        self._search = Bm25([words_of(item.metadata) for item in items])

    @property
    def empty(self) -> bool:
        """Whether no item has a word to be found by."""
        return self._search.empty

    def scores(self, held_out: HeldOutSet, known: Known) -> Iterator[Floats]:
        """(n,) for each held-out query."""
        rows = np.array([self._rows[key] for key in held_out.items], np.intp)
        for query in held_out.queries:
            found = self._search.scores(query)[rows]
            yield np.where(found > 0, found, -np.inf)


def labels(sources: Sequence[str], taken: Sequence[str]) -> list[str]:
    """What models and run files are called in the table: the last part of their names where nothing else has it."""
    short = [_RUN.sub("", Path(source).name) or source for source in sources]
    unique = [name not in taken and short.count(name) == 1 for name in short]
    return [name if ok else f"{source} (against)" for name, ok, source in zip(short, unique, sources, strict=True)]


class TextModel:
    """A text encoder (all-MiniLM, E5, BGE, …) that compares a query with the items' text; it sees no image.

    An item without text is not found.
    """

    def __init__(self, encoder: SentenceEncoder) -> None:
        self.notes: tuple[str, ...] = ()
        self._encoder = encoder
        self._vectors: dict[str, np.ndarray] = {}  # by text

    def scores(self, held_out: HeldOutSet, known: Known) -> Iterator[Floats]:
        """(n,) for each held-out query."""
        texts = {item.id: words_of(item.metadata) for item in known.items}
        rows = [row for row, key in enumerate(held_out.items) if texts[key]]
        if len(rows) < len(held_out.items):
            without = len(held_out.items) - len(rows)
            self.notes = (f"{self._encoder.source}: {without:,} held-out items have no text, and are never found",)
        items = self._embedded([texts[held_out.items[row]] for row in rows])  # (0, 1) where none has text
        for query in self._encoder.queries(held_out.queries):
            scores = np.full(len(held_out.items), -np.inf)
            if rows:
                scores[rows] = items @ query
            yield scores

    def _embedded(self, texts: Sequence[str]) -> np.ndarray:
        new = [text for text in dict.fromkeys(texts) if text not in self._vectors]  # variants often share a text
        if new:
            self._vectors |= dict(zip(new, self._encoder.documents(new), strict=True))
        return np.stack([self._vectors[text] for text in texts]) if texts else np.zeros((0, 1), np.float32)


class Files:
    """`Listed`: the images of a folder, which is no index."""

    def __init__(self, items: Sequence[Item], hashes: Mapping[str, str], catalog_root: str) -> None:
        self.catalog_root = catalog_root
        self._items, self._hashes = {item.id: item for item in items if item.id in hashes}, hashes

    @property
    def ids(self) -> Sequence[str]:
        """The ids of all items."""
        return list(self._items)

    def metadata(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """The metadata of the items."""
        return [dict(self._items[key].metadata) for key in ids]

    def files(self, ids: Sequence[str]) -> list[str]:
        """The locators of the images."""
        return [str(self._items[key].file) for key in ids]

    def hashes(self, ids: Sequence[str]) -> dict[str, str]:
        """The hashes of the files."""
        return {key: self._hashes[key] for key in ids}


class Against:
    """A model that embeds what `bench` asks for, without an index, over listed images."""

    def __init__(self, encoder: DualEncoder, over: Listed, cache: Path) -> None:
        self.ids, self.catalog_root = over.ids, over.catalog_root
        self.metadata, self.hashes, self.files = over.metadata, over.hashes, over.files
        self.encode = encoder.encode_texts
        self._encoder, self._cache = encoder, cache

    @classmethod
    def load(cls, source: str, over: Listed, cache: Path) -> Against:
        """The dual encoder `source`. Raises VdistillError where it cannot be loaded."""
        from vdistill.encoders.dual_encoder import DualEncoder

        return cls(DualEncoder.load(source), over, cache)

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
    rows = (Row(n, key, file, "", 0, 0, "{}") for n, (key, file) in enumerate(zip(ids, items.files(ids), strict=True)))
    for done, vectors, skipped in Embedder(items.catalog_root, models, vector_cache).embedded(rows):
        changed = [(row.id, "it changed since it was indexed") for row in done if row.sha256 != hashes[row.id]]
        for name, reason in (*((one.id, one.reason) for one in skipped), *changed):
            raise VdistillError(f"{name}: {reason}", hint="run `vdistill index` again")
        new = {row.sha256: vector for row, vector in zip(done, vectors, strict=True) if vector is not None}
        if new:
            vector_cache.add(list(new), np.stack(list(new.values())))
    return vector_cache.get([hashes[key] for key in ids])
