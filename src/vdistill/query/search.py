"""Search in an index: texts, images and mixtures of both in, hits out, without torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vdistill import workspace
from vdistill.bundle import manifest
from vdistill.bundle.early import EarlySessions
from vdistill.bundle.fit import Context, FitModel
from vdistill.bundle.items import Row
from vdistill.bundle.manifest import Entry
from vdistill.bundle.pack import Place, place_of
from vdistill.bundle.store import Store
from vdistill.encoders.student import provenance, same_provenance
from vdistill.errors import VdistillError
from vdistill.query.encoding import QueryEncoder
from vdistill.query.retrieval import Fits, Retriever, SearchOptions, require_fit
from vdistill.query.terms import Term, is_text, wanted_text
from vdistill.records import Hit, Per
from vdistill.sources import joined

if TYPE_CHECKING:
    from vdistill.bundle.image_encoder import ImageEncoder
    from vdistill.query.encoding import Texts
    from vdistill.query.filters import Limits

__all__ = ["SearchOptions", "Searcher"]


Query = str | Path | Term | Sequence[Term] | np.ndarray


class Searcher:
    """An open index of one model with its encoders. Close it, or use it as a context manager.

    May be shared between threads. It keeps answering from the index that it opened when a newer one is published.
    Encoders are opened when first used: query once before a re-index with another student, or open anew after it.
    """

    def __init__(
        self,
        store: Store,
        model: str,
        early: EarlySessions | None = None,
        *,
        texts: Texts | None = None,
        limits: Limits | None = None,
    ) -> None:
        """From an open index.  texts: encodes texts instead of the index's own encoder.  limits: of `where`."""
        self.model = model
        self._store = store
        self._retriever = Retriever(store, limits)
        self._encoder = QueryEncoder(store.folder, store.entry, lambda: store.sample, early, texts)

    @classmethod
    def open(cls, folder: str | Path = ".", model: str | None = None) -> Searcher:
        """Open the index of a workspace: the `.vdistill` folder itself, or a folder that it belongs to; or a pack.

        model: "student" or "backbone"; the student where there is one. A pack holds one of them.
        Raises VdistillError where workspace or index are missing, damaged, or the student is not the one indexed.
        """
        path = Path(folder).resolve()
        if path.is_file():
            return cls.packed(path, model)
        found = workspace.at(path) if path.name == workspace.FOLDER else workspace.find(path)
        if found is None:
            raise VdistillError(f"no workspace in {path} or above", hint="run `vdistill index CATALOG` first")
        name = model or ("student" if found.student.is_dir() else "backbone")
        searcher = cls.at(found.index, name)
        if name == "student" and not same_provenance(searcher.manifest.made_from, provenance(found, name, "")):
            searcher.close()
            raise VdistillError("the index is of another student", hint="run `vdistill index`")
        return searcher

    @classmethod
    def packed(cls, path: Path, model: str | None = None, *, by_text: bool = False) -> Searcher:
        """Open a pack, a file of `vdistill index --pack`; or the folder of an index.

        by_text: texts are searched for, so their encoder is opened at once.
        Raises VdistillError where it is missing or damaged, or holds another model.
        """
        place = place_of(path)
        entries = manifest.read(place)
        found = model or ("student" if "student" in entries else next(iter(entries), "student"))
        early = EarlySessions(place, [found]) if by_text else None
        return cls.at(place, found, early)

    @classmethod
    def at(cls, index: Place, model: str, early: EarlySessions | None = None) -> Searcher:
        """Open the index of `model` in the folder `index`. Raises VdistillError where it is missing or damaged.

        early: sessions of text encoders that are being opened already.
        """
        return cls(Store.open(index, model), model, early)

    def __enter__(self) -> Searcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self.manifest.count

    def close(self) -> None:
        """Release the files."""
        self._store.close()

    @property
    def store(self) -> Store:
        """The open index itself."""
        return self._store

    @property
    def manifest(self) -> Entry:
        """What the index was made from: fingerprints, catalog, number of items, precision and more."""
        return self._store.entry

    @property
    def catalog_root(self) -> str:
        """The catalog: a folder that item ids are relative to, or the address of what was indexed."""
        return self.manifest.catalog

    @cached_property
    def ids(self) -> list[str]:
        """All item ids, sorted."""
        return [row.id for row in self._store.items.rows()]

    def search(
        self,
        query: Query,
        k: int = 10,
        *,
        where: str | None = None,
        hybrid: bool = False,
        min_score: float | None = None,
        diverse: float = 0.0,
        exact: bool = False,
        per: Per = "product",
        min_fit: float | None = None,
    ) -> list[Hit]:
        """The `k` results that fit best, best first, ties by id; all of them where there are fewer.

        query: a text, the Path of an image, Terms to be mixed, or a unit vector (dim,).
        where: an SQLite expression over the metadata that hits must fulfil.
        hybrid: rank by the words of the query in the items' texts too, by reciprocal rank fusion.
        min_score: the lowest cosine similarity.  diverse: 0…1, how much results should differ from one another.
        exact: compare with every vector, also where there are lists.
        per: "product" gives one result a product (a column `group`, `item_id` or `sku`), with the image that fits best;
        "image" gives every image by itself.
        min_fit: the lowest probability that the teacher would accept a hit; for a query that is one text, in an index
        that knows it.
        Raises VdistillError for k < 1, an empty query, an image that cannot be read, a vector that cannot be compared
        and an invalid expression.
        """
        options = SearchOptions(where, exact, hybrid, min_score, diverse, per, min_fit)
        if isinstance(query, np.ndarray):
            return self.hits(query, k, options)
        if isinstance(query, str | Path):
            query = Term(query)
        terms = (query,) if isinstance(query, Term) else query
        return self.hits(self.vector(terms), k, options, wanted_text(terms), text=is_text(terms))

    def vector(self, terms: Sequence[Term]) -> np.ndarray:
        """The unit vector (dim,), float32, of a query. Raises VdistillError for an empty one.

        In a mixture the scores of each term are scaled to the same spread over the catalog before they are weighted:
        images are much closer to an image than to any text, so it would outweigh the text.
        """
        return self._encoder.vector(terms)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors (n, dim), float32, of texts, each encoded by itself: its vector depends on no other text."""
        return self._encoder.encode(texts)

    def truncated(self, texts: Sequence[str]) -> int:
        """How many tokens of these texts are cut, because the model reads no more."""
        return self._encoder.truncated(texts)

    def encode_image(self, path: Path) -> np.ndarray:
        """The unit vector (dim,), float32, of an image file. Raises VdistillError where it cannot be read."""
        return self._encoder.encode_image(path)

    @cached_property
    def image_encoder(self) -> ImageEncoder:
        """The exported image encoder. Raises VdistillError for a backbone that has none."""
        return self._encoder.image_encoder

    def hits(
        self, vector: np.ndarray, k: int, options: SearchOptions, words: str = "", *, text: bool = False
    ) -> list[Hit]:
        """The `k` best results for a unit vector (dim,); `words` are what a hybrid search looks for in the texts.

        text: whether the vector is that of a single text, so that its hits have a fit where the index knows it.
        Raises VdistillError for a `min_fit` where they have none.
        """
        if options.min_fit is not None:
            require_fit(self.fit is not None, text=text)
        return self._retriever.hits(vector, k, options, words, self.fits(vector) if text else None)

    @cached_property
    def fit(self) -> FitModel | None:
        """What the index knows of fit; None where it knows nothing."""
        return None if self.manifest.fit is None else FitModel.of_json(self.manifest.fit)

    def fits(self, vector: np.ndarray) -> Fits | None:
        """What gives the hits of a text's vector (dim,) their fits; None where the index does not know them."""
        model = self.fit
        if model is None:
            return None
        context = self.contexts(model)(vector)
        return lambda scores: model.probabilities(context.features(np.asarray(scores, np.float64)))

    def contexts(self, model: FitModel) -> Callable[[np.ndarray], Context]:
        """What gives the vector (dim,) of a query what is known of it before its hits."""
        return lambda vector: model.context(vector, self._store.sample)

    def vectors(self, ids: Sequence[str]) -> np.ndarray:
        """Stored unit vectors (n, dim), float32, in the order of `ids`. Raises VdistillError for an unknown id."""
        return self._store.vectors(self._store.items.keys_of(ids))

    def metadata(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """The metadata of items, in the order of `ids`. Raises VdistillError for an unknown id."""
        return [json.loads(row.metadata) for row in self._rows(ids)]

    def files(self, ids: Sequence[str]) -> list[str]:
        """The locator of each item's image, such as its path. Raises VdistillError for an unknown id."""
        return [joined(self.catalog_root, row.path) for row in self._rows(ids)]

    def hashes(self, ids: Sequence[str]) -> dict[str, str]:
        """The SHA-256 of each item's file as it was embedded. Raises VdistillError for an unknown id."""
        return {row.id: row.sha256 for row in self._rows(ids)}

    def filtered(self, where: str) -> bool:
        """Whether the items that fulfil this expression are known already."""
        return self._retriever.has_filtered(where)

    def _rows(self, ids: Sequence[str]) -> list[Row]:
        keys = self._store.items.keys_of(ids)
        rows = self._store.items.rows_of(keys)
        return [rows[key] for key in keys.tolist()]
