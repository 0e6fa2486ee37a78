"""Search in an index: texts or pictures in, hits out, without torch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vdistill.errors import VdistillError
from vdistill.index.manifest import Entry, FileFacts
from vdistill.index.store import Row, Store
from vdistill.records import Hit

if TYPE_CHECKING:
    from vdistill.query.picture import PictureEncoder
    from vdistill.query.text import TextEncoder

EXACT_BELOW = 20_000  # items; up to here a full scan takes milliseconds and misses nothing
_SPARE = 16  # fetched beyond k, so that ties at the end are ordered by id too


class Searcher:
    """An open index of one model with its encoders. Close it, or use it as a context manager."""

    def __init__(self, store: Store, model: str) -> None:
        self.model = model
        self._store = store

    @classmethod
    def open(cls, index: Path, model: str = "student") -> Searcher:
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

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors (n, dim), float32, of texts."""
        return self._text.encode(texts)

    def truncated(self, texts: Sequence[str]) -> int:
        """How many tokens of these texts lie beyond what the model reads."""
        return self._text.truncated(texts)

    def encode_picture(self, path: Path) -> np.ndarray:
        """The unit vector (dim,), float32, of a picture file. Raises VdistillError where it cannot be read."""
        return self._picture.encode(path)

    def search(self, vector: np.ndarray, k: int, where: str | None = None) -> list[Hit]:
        """The `k` items nearest to a unit vector (dim,), best first, ties by id; all of them where there are fewer.

        `where` is an SQLite expression over the metadata that hits must fulfil.
        Raises VdistillError for k < 1, a vector that cannot be compared, and a bad expression.
        """
        return self.search_many(np.asarray(vector)[None], k, where)[0]

    def search_many(self, vectors: np.ndarray, k: int, where: str | None = None) -> list[list[Hit]]:
        """`search` for each row of (n, dim)."""
        vectors = self._checked(vectors, k)
        allowed = None if where is None else self._allowed(where)
        return [self._hits(self._best(vector, k, allowed), vector, k) for vector in vectors]

    def vectors(self, ids: Sequence[str]) -> np.ndarray:
        """Stored unit vectors (n, dim), float32, in the order of `ids`. Raises VdistillError for an unknown id."""
        return self._store.vectors(self._keys_of(ids))

    def metadata(self, ids: Sequence[str]) -> list[dict[str, Any]]:
        """The metadata of items, in the order of `ids`. Raises VdistillError for an unknown id."""
        return [json.loads(row.metadata) for row in self._rows_of(ids)]

    def hashes(self, ids: Sequence[str]) -> dict[str, str]:
        """The SHA-256 of each item's file as it was embedded. Raises VdistillError for an unknown id."""
        return {row.id: row.sha256 for row in self._rows_of(ids)}

    def _rows_of(self, ids: Sequence[str]) -> list[Row]:
        keys = self._keys_of(ids)
        rows = self._store.rows_of(keys)
        return [rows[key] for key in keys]

    def _keys_of(self, ids: Sequence[str]) -> list[int]:
        try:
            return [self._keys[id_] for id_ in ids]
        except KeyError as error:
            raise VdistillError(f"{error.args[0]!r} is not indexed", hint="run `vdistill index` again") from error

    @cached_property
    def _keys(self) -> dict[str, int]:
        return {row.id: row.key for row in self._store.rows()}

    @cached_property
    def _text(self) -> TextEncoder:
        from vdistill.query.text import TextEncoder

        return TextEncoder.open(self._folder(self.manifest.text_encoder))

    @cached_property
    def _picture(self) -> PictureEncoder:
        from vdistill.query.picture import PictureEncoder

        if not self.manifest.image_encoder:
            raise VdistillError(
                "this backbone cannot be asked with a picture: its image tower takes pictures of any shape",
                hint="search by text, or index with a backbone of a fixed picture size",
            )
        return PictureEncoder.open(self._folder(self.manifest.image_encoder))

    def _folder(self, files: Sequence[FileFacts]) -> Path:
        """The folder of an exported encoder, once its files are found to be whole."""
        paths = [file.check(self._store.folder) for file in files]
        return paths[0].parent

    def _checked(self, vectors: np.ndarray, k: int) -> np.ndarray:
        if k < 1:
            raise VdistillError(f"cannot find {k} items", hint="ask for at least one: -k 10")
        if vectors.ndim != 2 or vectors.shape[1] != self.manifest.dim:
            raise VdistillError(f"vectors of shape {vectors.shape} in an index of dimension {self.manifest.dim}",
                                hint="encode queries with this index's own encoder")  # fmt: skip
        if not np.isfinite(vectors).all():
            raise VdistillError("the query's vector is not finite", hint="the model may be damaged: distill it again")
        return np.ascontiguousarray(vectors, np.float32)

    def _allowed(self, where: str) -> np.ndarray:
        """Keys of the items that fulfil the expression."""
        from vdistill.query.filters import matching_ids

        items = self._store.folder / self.manifest.items.name
        sql = "SELECT key FROM items WHERE id IN (SELECT value FROM json_each(?))"
        found = self._store.items.execute(sql, (json.dumps(matching_ids(items, where)),))
        return np.array(sorted(row[0] for row in found), np.uint64)

    def _best(self, vector: np.ndarray, k: int, allowed: np.ndarray | None) -> np.ndarray:
        """Keys of at least the `k` nearest items (among the allowed ones), with all that tie with the last of them."""
        if allowed is not None and len(allowed) <= max(EXACT_BELOW, k):
            return allowed
        wanted = k + _SPARE
        while True:
            keys, scores = self._nearest(vector, wanted)
            passed = np.ones(len(keys), bool) if allowed is None else np.isin(keys, allowed)
            best = scores[passed]
            settled = len(best) > k and best[k - 1] > best[-1]
            if settled or wanted >= len(self):
                return np.asarray(keys[passed])
            wanted *= 4

    def _nearest(self, vector: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Keys and similarities of the `count` nearest items, best first."""
        count = min(count, len(self))
        found = self._store.index.search(vector, count, exact=len(self) <= EXACT_BELOW or count > EXACT_BELOW)
        return np.asarray(found.keys), 1 - np.asarray(found.distances)

    def _hits(self, keys: np.ndarray, vector: np.ndarray, k: int) -> list[Hit]:
        """The `k` best of these keys, scored in float32 against the vectors as stored."""
        scores = (self._store.vectors([int(key) for key in keys]) * vector).sum(axis=1).round(6)
        if len(keys) > k:
            last = np.partition(scores, len(scores) - k)[len(scores) - k]
            keys, scores = keys[scores >= last], scores[scores >= last]
        rows = self._store.rows_of([int(key) for key in keys])
        ranked = sorted(
            ((float(score), rows[int(key)]) for key, score in zip(keys, scores, strict=True)),
            key=lambda pair: (-pair[0], pair[1].id),
        )
        return [
            Hit(rank, row.id, self.catalog_root / row.path, round(score, 6), json.loads(row.metadata))
            for rank, (score, row) in enumerate(ranked[:k], start=1)
        ]
