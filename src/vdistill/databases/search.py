"""`query --from`: the text encoder is here, the vectors are in a database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from vdistill.bundle import manifest
from vdistill.bundle.manifest import Entry
from vdistill.bundle.store import SAMPLE
from vdistill.databases.address import Address
from vdistill.databases.conditions import Condition
from vdistill.databases.engine import Database, Found, Nearest, Version, VersionGoneError
from vdistill.databases.opening import open_database
from vdistill.databases.where import condition_of
from vdistill.errors import VdistillError
from vdistill.inputs.words import Tokens, terms
from vdistill.query.encoding import QueryEncoder
from vdistill.query.ranking import diversified, fused
from vdistill.query.retrieval import LEAST, POOL, SPARE, SearchOptions, checked
from vdistill.records import Hit
from vdistill.sources import joined

if TYPE_CHECKING:
    from vdistill.query.terms import Term

T = TypeVar("T")
_IMAGES = 4  # of a product, when nothing is known yet


class DatabaseSearcher:
    """Searches the live version of a database as `Searcher` searches an index, in one thread at a time.

    Close it, or use it in a `with`.

    When another version becomes live, it is searched from then on, as long as its text encoder is the same.
    """

    def __init__(self, database: Database, version: Version, folder: Path, entry: Entry) -> None:
        self._database, self._version, self._folder, self._entry = database, version, folder, entry
        self._encoder = QueryEncoder(folder, entry, lambda: self._ask(lambda now: database.sample(now, SAMPLE)))
        self._condition: tuple[str, Version, Condition] | None = None

    @classmethod
    def open(cls, address: Address, index: Path, model: str | None = None) -> DatabaseSearcher:
        """Connect, and find the text encoder that belongs to the vectors there in the folder `index`.

        Of that folder only `manifest.json` and the encoders' folders are read.
        Raises VdistillError where the database cannot be reached or holds nothing, or not what belongs to the encoder.
        """
        database = open_database(address, reading=True)
        try:
            version = _live(database, address.shown, address.name)
            if model is not None and model != version.model:
                raise VdistillError(f"{address.shown} holds the {version.model}, not the {model}",
                                    hint=f"leave --model out, or run `vdistill index --model {model} --to …`"
                                    )  # fmt: skip
            return cls(database, version, index, _entry_for(index, version))
        except VdistillError:
            database.close()
            raise

    def __enter__(self) -> DatabaseSearcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the connection."""
        self._database.close()

    @property
    def model(self) -> str:
        """The model whose vectors are searched: "student" or "backbone"."""
        return self._version.model

    @property
    def outdated(self) -> bool:
        """Whether the local index is of a newer model than the database."""
        return self._entry.model_fingerprint != self._version.fingerprint

    def vector(self, terms: Sequence[Term]) -> np.ndarray:
        """The unit vector (dim,), float32, of a query. Raises VdistillError for an empty one."""
        if any(isinstance(term.what, Path) for term in terms) and self.outdated:
            raise VdistillError("the database holds vectors of another model than the image encoder here",
                                hint="run `vdistill index --to` first, or search by text")  # fmt: skip
        return self._encoder.vector(terms)

    def encode(self, texts: Sequence[str]) -> np.ndarray:
        """Unit vectors (n, dim), float32, of texts."""
        return self._encoder.encode(texts)

    def truncated(self, texts: Sequence[str]) -> int:
        """How many tokens of these texts are cut, because the model reads no more."""
        return self._encoder.truncated(texts)

    def hits(
        self, vector: np.ndarray, k: int, options: SearchOptions, words: str = "", *, text: bool = False
    ) -> list[Hit]:
        """The `k` best results for a unit vector (dim,), best first, ties by id; all where there are fewer.

        words: what a hybrid search looks for in the texts.  text: whether it is the vector of a single text.
        Raises VdistillError for what the database cannot answer, by its name.
        """
        vector = checked(vector, k, options, self._version.dim)
        if options.min_fit is not None:
            raise VdistillError("min-fit: a database knows no fit", hint="search the local index: without --from")
        if options.hybrid and "words" not in self._database.can:
            raise VdistillError(f"--hybrid: {self._database.engine} is not searched by words",
                                hint="leave it out, or search the local index: without --from")  # fmt: skip
        return self._ask(lambda version: self._hits(version, vector, k, options, words))

    def _hits(self, version: Version, vector: np.ndarray, k: int, options: SearchOptions, words: str) -> list[Hit]:
        search = Nearest(vector, 0, self._allowed(version, options.where), options.exact)
        pool = max(POOL * k, LEAST) if options.hybrid or options.diverse else k
        results = _Results(options.per == "product", options.min_score)
        found = results.best(lambda count: self._database.nearest(version, replace(search, count=count)), pool)
        if options.hybrid:
            tokens = [token for one in Tokens().of(terms(words)) for token in one]
            matching = results.first(
                lambda count: self._database.matching(version, replace(search, count=count), tokens), pool
            )
            found = results.together(found, matching)
        if options.diverse:
            scores = -np.arange(len(found), dtype=float) if options.hybrid else np.array([one.score for one in found])
            vectors = self._database.vectors(version, [one.id for one in found])
            found = [found[place] for place in diversified(scores, vectors, k, options.diverse)]
        return [_hit(rank, one, version) for rank, one in enumerate(found[:k], start=1)]

    def _allowed(self, version: Version, where: str | None) -> Condition | None:
        if where is None:
            return None
        known = self._condition
        if known is None or known[:2] != (where, version):
            database = self._database
            condition = condition_of(where, version.columns, database.engine, database.can)
            known = self._condition = (where, version, condition)
        return known[2]

    def _ask(self, answer: Callable[[Version], T]) -> T:
        """The answer of the live version, even where it is swapped meanwhile."""
        try:
            return answer(self._version)
        except VersionGoneError as error:
            version = next((one for one in self._database.versions() if one.live), None)
            if version is None or version.number == self._version.number:
                raise
            if (version.text_fingerprint, version.dim) != (self._version.text_fingerprint, self._version.dim):
                raise VdistillError("the database now holds vectors of another backbone",
                                    hint="start again, with its encoders in the index here") from error  # fmt: skip
            self._version = version
            return answer(version)


class _Results:
    """What counts as a result: an item, or a product, which the best of its items stands for."""

    def __init__(self, per_product: bool, min_score: float | None) -> None:
        self._per_product, self._least = per_product, min_score

    def best(self, ask: Callable[[int], list[Found]], k: int) -> list[Found]:
        """The `k` results with the highest scores to six digits, ties by id."""
        return self._enough(ask, k, lambda found: sorted(found, key=lambda one: (-one.score, one.id)))[:k]

    def first(self, ask: Callable[[int], list[Found]], k: int) -> list[Found]:
        """The first `k` results, in the order in which they are found."""
        return self._enough(ask, k, list)[:k]

    def together(self, near: Sequence[Found], matching: Sequence[Found]) -> list[Found]:
        """Both rankings by reciprocal rank fusion; of a product the nearest item stands for it."""
        of = {self._result(one): one for one in [*matching, *near]}
        rankings = [[of[self._result(one)].id for one in ranking] for ranking in (near, matching)]
        by_id = {one.id: one for one in of.values()}
        return [by_id[id_] for id_ in fused(rankings)]

    def _enough(
        self, ask: Callable[[int], list[Found]], k: int, order: Callable[[list[Found]], Iterable[Found]]
    ) -> list[Found]:
        """Asks for more until `k` results are among them, however many items one product has."""
        count = k + SPARE
        while True:
            found = ask(count)
            rounded = [replace(one, score=round(one.score, 6)) for one in found]
            results = self._distinct(order(rounded))
            last_too_low = self._least is not None and bool(rounded) and min(o.score for o in rounded) < self._least
            if len(results) >= k or len(found) < count or last_too_low:
                return results
            count *= _IMAGES

    def _distinct(self, found: Iterable[Found]) -> list[Found]:
        distinct: dict[tuple[str, str], Found] = {}
        for one in found:
            if self._least is None or one.score >= self._least:
                distinct.setdefault(self._result(one), one)
        return list(distinct.values())

    def _result(self, found: Found) -> tuple[str, str]:
        return ("product", found.product) if self._per_product and found.product is not None else ("item", found.id)


def _hit(rank: int, found: Found, version: Version) -> Hit:
    return Hit(
        rank, found.id, joined(version.catalog, found.path), found.score, found.metadata, found.product, found.images
    )


def _live(database: Database, shown: str, name: str) -> Version:
    version = next((one for one in database.versions() if one.live), None)
    if version is None:
        raise VdistillError(f"{shown} has no vectors under the name {name!r}", hint="run `vdistill index --to` first")
    return version


def _entry_for(index: Path, version: Version) -> Entry:
    """The entry of the local index whose text encoder belongs to the vectors; of the same model, where there is one."""
    entries = [entry for entry in manifest.read(index).values() if entry.text_encoder]
    if not entries:
        raise VdistillError("there is no index here, and so no text encoder",
                            hint="run `vdistill index`, or copy manifest.json and the encoders' folders of one"
                            )  # fmt: skip
    fitting = [entry for entry in entries if entry.text_fingerprint == version.text_fingerprint]
    if not fitting:
        dims = sorted({entry.dim for entry in entries})
        sizes = f": {version.dim} numbers there, {dims[0]} here" if version.dim not in dims else ""
        raise VdistillError(f"the vectors in the database belong to another text encoder{sizes}",
                            hint="run `vdistill index --to` here, or query with the index that was written there"
                            )  # fmt: skip
    return min(fitting, key=lambda entry: entry.model_fingerprint != version.fingerprint)
