"""Search in an index: texts, pictures and mixtures of both in, hits out, without torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vdistill import workspace
from vdistill.bundle import shards
from vdistill.bundle.items import Row
from vdistill.bundle.manifest import Entry, FileFacts
from vdistill.bundle.store import Store
from vdistill.encoders.student import provenance, same_provenance
from vdistill.errors import VdistillError
from vdistill.inputs.lines import well_formed
from vdistill.query.ranking import diversified, fused
from vdistill.query.terms import Term, wanted_text
from vdistill.records import Hit

if TYPE_CHECKING:
    from vdistill.bundle.image_encoder import ImageEncoder
    from vdistill.bundle.text_encoder import TextEncoder

_SPARE = 16  # fetched beyond k, so that ties at the end are ordered by id too
_ROUGH = 4  # times as many are fetched where they are found by i8, then scored by the vectors beside it
_POOL = 5  # times as many candidates where the order is decided later, and at least:
_LEAST = 100
_SAMPLE = 1000  # pictures that tell how widely the scores of a term spread

Asked = str | Path | Term | Sequence[Term] | np.ndarray


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """What hits must be like, beyond near.

    where: an SQLite expression over the metadata that they fulfil.  exact: compare with every vector.
    hybrid: rank by the words of the query too.  min_score: the least similarity.
    diverse: from 0, alike is fine, to 1, as different as can be.
    """

    where: str | None = None
    exact: bool = False
    hybrid: bool = False
    min_score: float | None = None
    diverse: float = 0.0


class Searcher:
    """An open index of one model with its encoders. Close it, or use it as a context manager.

    May be shared between threads. It goes on answering from the index that it opened when a newer is published.
    Encoders are opened when first used: ask once before a re-index with another student, or open anew after it.
    """

    def __init__(self, store: Store, model: str) -> None:
        self.model = model
        self._store = store
        self._filtered: tuple[str, np.ndarray] | None = None  # the last expression, and the keys that fulfil it

    @classmethod
    def open(cls, folder: str | Path = ".", model: str | None = None) -> Searcher:
        """Open the index of a workspace: the `.vdistill` folder itself, or a folder that it belongs to.

        model: "student" or "backbone"; the student where there is one.
        Raises VdistillError where workspace or index are missing, damaged, or the student is not the one indexed.
        """
        path = Path(folder).resolve()
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
    def at(cls, index: Path, model: str) -> Searcher:
        """Open the index of `model` in the folder `index`. Raises VdistillError where it is missing or damaged."""
        return cls(Store.open(index, model), model)

    def __enter__(self) -> Searcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self.manifest.count

    def close(self) -> None:
        """Let go of the files."""
        self._store.close()

    @property
    def store(self) -> Store:
        """The open index itself."""
        return self._store

    @property
    def manifest(self) -> Entry:
        """The facts of this index: fingerprints, catalog, count, precision and more."""
        return self._store.entry

    @property
    def catalog_root(self) -> Path:
        """The folder that item ids are relative to."""
        return Path(self.manifest.catalog)

    @cached_property
    def ids(self) -> list[str]:
        """All item ids, sorted."""
        return list(self._keys)

    def search(
        self,
        query: Asked,
        k: int = 10,
        *,
        where: str | None = None,
        hybrid: bool = False,
        min_score: float | None = None,
        diverse: float = 0.0,
        exact: bool = False,
    ) -> list[Hit]:
        """The `k` items that fit best, best first, ties by id; all of them where there are fewer.

        query: a text, the Path of a picture, Terms to be mixed, or a unit vector (dim,).
        where: an SQLite expression over the metadata that hits must fulfil.
        hybrid: rank by the words of the query in the items' texts too, by reciprocal rank fusion.
        min_score: the least cosine similarity.  diverse: 0…1, how much results should differ from one another.
        exact: compare with every vector, also where there is a graph.
        Raises VdistillError for k < 1, an empty query, a picture that cannot be read, a vector that cannot be compared
        and a bad expression.
        """
        options = SearchOptions(where, exact, hybrid, min_score, diverse)
        if isinstance(query, np.ndarray):
            return self.hits(query, k, options)
        if isinstance(query, str | Path):
            query = Term(query)
        terms = (query,) if isinstance(query, Term) else query
        return self.hits(self.vector(terms), k, options, wanted_text(terms))

    def vector(self, terms: Sequence[Term]) -> np.ndarray:
        """The unit vector (dim,), float32, of a query.

        In a mixture the scores of each term are brought to the same spread over the catalog before they are weighed:
        pictures are much nearer to a picture than to any text, and would outweigh it.
        """
        if not terms or not all(str(term.what).strip() for term in terms):
            raise VdistillError("the query is empty", hint="say what you look for")
        if len(terms) == 1 and terms[0].weight > 0:
            return self._encoded(terms[0].what)
        parts = np.stack([self._encoded(term.what) for term in terms])
        weights = np.array([term.weight for term in terms])
        if len(terms) > 1:
            weights = weights / np.maximum((self._sample @ parts.T).std(axis=0), 1e-6)
        mixed = weights @ parts
        length = float(np.linalg.norm(mixed))
        if length <= 1e-6 * float(np.abs(weights).sum()):
            raise VdistillError("the parts of the query cancel out", hint="leave one of them out")
        return np.asarray(mixed / length, np.float32)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors (n, dim), float32, of texts, each encoded by itself: its vector depends on no other text."""
        if not texts:
            return np.zeros((0, self.manifest.dim), np.float32)
        return np.concatenate([self._text.encode([well_formed(text)]) for text in texts])

    def truncated(self, texts: Sequence[str]) -> int:
        """How many tokens of these texts lie beyond what the model reads."""
        return self._text.truncated([well_formed(text) for text in texts])

    def encode_image(self, path: Path) -> np.ndarray:
        """The unit vector (dim,), float32, of a picture file. Raises VdistillError where it cannot be read."""
        return self.image_encoder.encode(path)

    def hits(self, vector: np.ndarray, k: int, options: SearchOptions, words: str = "") -> list[Hit]:
        """The `k` best for a unit vector (dim,); `words` are what a hybrid search looks for in the items' texts."""
        vector = self._checked(vector, k, options.diverse)
        allowed = None if options.where is None else self._allowed(options.where)
        if not options.hybrid and not options.diverse:
            return self._ranked(*self._nearest(vector, k, allowed, options.exact), k, options.min_score)
        pool = max(_POOL * k, _LEAST)
        found = self._ranked(*self._nearest(vector, pool, allowed, options.exact), pool, options.min_score)
        if options.hybrid:
            found = self._with_words(found, vector, words, pool, allowed, options.min_score)
        if options.diverse:
            vectors = self.vectors([hit.id for hit in found])
            relevance = (
                -np.arange(len(found), dtype=float) if options.hybrid else np.array([hit.score for hit in found])
            )
            found = [found[place] for place in diversified(relevance, vectors, k, options.diverse)]
        return [replace(hit, rank=rank) for rank, hit in enumerate(found[:k], start=1)]

    def vectors(self, ids: Sequence[str]) -> np.ndarray:
        """Stored unit vectors (n, dim), float32, in the order of `ids`. Raises VdistillError for an unknown id."""
        return self._store.vectors(np.array(self._keys_of(ids), np.uint64))

    def metadata(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """The metadata of items, in the order of `ids`. Raises VdistillError for an unknown id."""
        return [json.loads(row.metadata) for row in self._rows_of(ids)]

    def hashes(self, ids: Sequence[str]) -> dict[str, str]:
        """The SHA-256 of each item's file as it was embedded. Raises VdistillError for an unknown id."""
        return {row.id: row.sha256 for row in self._rows_of(ids)}

    def _encoded(self, what: str | Path) -> np.ndarray:
        return self.encode_image(what) if isinstance(what, Path) else np.asarray(self.encode([what])[0])

    @cached_property
    def _sample(self) -> np.ndarray:
        """Vectors (n, dim) of items spread over the whole catalog."""
        keys = self._store.items.some_keys(_SAMPLE)
        return self._store.vectors(keys)

    def _rows_of(self, ids: Sequence[str]) -> list[Row]:
        keys = self._keys_of(ids)
        rows = self._store.items.rows_of(keys)
        return [rows[key] for key in keys]

    def _keys_of(self, ids: Sequence[str]) -> list[int]:
        known = self._store.items.keys_of(ids)
        try:
            return [known[id_] for id_ in ids]
        except KeyError as error:
            raise VdistillError(f"{error.args[0]!r} is not indexed", hint="run `vdistill index` again") from error

    @cached_property
    def _keys(self) -> dict[str, int]:
        return {row.id: row.key for row in self._store.items.rows()}

    @cached_property
    def _text(self) -> TextEncoder:
        from vdistill.bundle.text_encoder import TextEncoder

        return TextEncoder.open(self._folder(self.manifest.text_encoder))

    @cached_property
    def image_encoder(self) -> ImageEncoder:
        """The exported image encoder. Raises VdistillError for a backbone that has none."""
        from vdistill.bundle.image_encoder import ImageEncoder

        if not self.manifest.image_encoder:
            raise VdistillError(
                "this backbone cannot be asked with a picture: its image tower takes pictures of any shape",
                hint="search by text, or index with a backbone of a fixed picture size",
            )
        return ImageEncoder.open(self._folder(self.manifest.image_encoder))

    def _folder(self, files: Sequence[FileFacts]) -> Path:
        """The folder of an exported encoder, once its files are found to be whole."""
        paths = [file.check(self._store.folder) for file in files]
        return paths[0].parent

    def _checked(self, vector: np.ndarray, k: int, diverse: float) -> np.ndarray:
        if k < 1:
            raise VdistillError(f"cannot find {k} items", hint="ask for at least one: -k 10")
        if not 0 <= diverse <= 1:
            raise VdistillError(f"diverse={diverse:g} is not between 0 and 1", hint="try 0.3")
        if vector.shape != (self.manifest.dim,):
            raise VdistillError(f"a vector of shape {vector.shape} in an index of dimension {self.manifest.dim}",
                                hint="encode queries with this index's own encoder")  # fmt: skip
        if not np.isfinite(vector).all():
            raise VdistillError("the query's vector is not finite", hint="the model may be damaged: distill it again")
        return np.ascontiguousarray(vector, np.float32)

    def _allowed(self, where: str) -> np.ndarray:
        """Keys of the items that fulfil the expression, ascending; asked once for a batch of queries."""
        from vdistill.query.filters import matching_keys

        known = self._filtered
        if known is None or known[0] != where:
            known = self._filtered = (where, self._store.items.use(lambda items: matching_keys(items, where)))
        return known[1]

    def _nearest(
        self, vector: np.ndarray, k: int, allowed: np.ndarray | None, exact: bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Keys and scores of at least the `k` nearest (allowed) items, with all that tie with the last of them."""
        if allowed is not None and len(allowed) <= max(shards.FLAT, k):
            return allowed, self._cosines(allowed, vector)
        rough = _ROUGH if self.manifest.dtype == "i8" else 1
        wanted = rough * (k + _SPARE)
        while True:
            keys, scores = self._store.nearest(vector, wanted, exact)
            passed = self._alive(keys)
            if allowed is not None:
                passed &= np.isin(keys, allowed)
            best = scores[passed]
            enough = len(best) > rough * k and best[k - 1] > best[-1]
            if enough or wanted >= self._store.stored:
                keys = keys[passed]
                return keys, self._cosines(keys, vector) if exact else self._store.scores(keys, best, vector)
            wanted *= 4

    def _alive(self, keys: np.ndarray) -> np.ndarray:
        if self._store.stored == len(self):
            return np.ones(len(keys), bool)
        return self._store.items.live(keys)

    def _with_words(
        self, near: list[Hit], vector: np.ndarray, words: str, pool: int, allowed: np.ndarray | None,
        min_score: float | None,
    ) -> list[Hit]:  # fmt: skip
        keys = self._store.items.matching_words(well_formed(words), pool, allowed)
        worded = {hit.id: hit for hit in self._ranked(keys, self._cosines(keys, vector), len(keys), min_score)}
        rows = self._store.items.rows_of(keys)
        by_words = [rows[int(key)].id for key in keys if rows[int(key)].id in worded]
        hits = {**worded, **{hit.id: hit for hit in near}}
        return [hits[id_] for id_ in fused([[hit.id for hit in near], by_words])]

    def _cosines(self, keys: np.ndarray, vector: np.ndarray) -> np.ndarray:
        return np.asarray((self._store.vectors(keys) * vector).sum(axis=1))

    def _ranked(self, keys: np.ndarray, scores: np.ndarray, k: int, min_score: float | None) -> list[Hit]:
        """The `k` best of these keys, by their scores to six digits."""
        scores = scores.round(6)
        if min_score is not None:
            keys, scores = keys[scores >= min_score], scores[scores >= min_score]
        if len(keys) > k:
            last = np.partition(scores, len(scores) - k)[len(scores) - k]
            keys, scores = keys[scores >= last], scores[scores >= last]
        rows = self._store.items.rows_of(keys)
        ranked = sorted(
            ((float(score), rows[int(key)]) for key, score in zip(keys, scores, strict=True)),
            key=lambda pair: (-pair[0], pair[1].id),
        )
        return [
            Hit(rank, row.id, self.catalog_root / row.path, round(score, 6), json.loads(row.metadata))
            for rank, (score, row) in enumerate(ranked[:k], start=1)
        ]
