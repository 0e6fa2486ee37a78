"""`query --from`: the text encoder is here, the vectors are in a database."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from vdistill.bundle import manifest
from vdistill.bundle.fit import FitModel
from vdistill.bundle.manifest import Entry
from vdistill.bundle.store import SAMPLE
from vdistill.databases.address import Address
from vdistill.databases.conditions import Condition
from vdistill.databases.engine import Database, Found, Nearest, Version, VersionGoneError
from vdistill.databases.opening import open_database
from vdistill.databases.results import Least, Results
from vdistill.databases.where import condition_of
from vdistill.errors import VdistillError
from vdistill.inputs.words import Tokens, terms
from vdistill.query.encoding import QueryEncoder
from vdistill.query.ranking import diversified
from vdistill.query.retrieval import LEAST, ONE_TEXT, POOL, Fits, SearchOptions, checked
from vdistill.records import Hit
from vdistill.sources import joined

if TYPE_CHECKING:
    from vdistill.query.terms import Term

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Asked:
    """A search, as at `DatabaseSearcher.hits`."""

    vector: np.ndarray
    k: int
    options: SearchOptions
    words: str
    text: bool


class DatabaseSearcher:
    """Searches the live version of a database as `Searcher` searches an index, in one thread at a time.

    Close it, or use it in a `with`.

    When another version becomes live, it is searched from then on, as long as its text encoder is the same.
    """

    def __init__(self, database: Database, version: Version, folder: Path, entry: Entry) -> None:
        self._database, self._version, self._folder, self._entry = database, version, folder, entry
        self._encoder = QueryEncoder(folder, entry, lambda: self._ask(lambda now: database.sample(now, SAMPLE)))
        self._condition: tuple[str, Version, Condition] | None = None
        self._fit: tuple[Version, FitModel, np.ndarray] | None = None  # with the sample's vectors, read once

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

        words: what a hybrid search looks for in the texts.  text: whether it is the vector of a single text, so that
        its hits have a fit where the database knows it.
        Raises VdistillError for what the database cannot answer, by its name, and a `min_fit` where hits have none.
        """
        vector = checked(vector, k, options, self._version.dim)
        if options.hybrid and "words" not in self._database.can:
            raise VdistillError(f"--hybrid: {self._database.engine} is not searched by words",
                                hint="leave it out, or search the local index: without --from")  # fmt: skip
        asked = _Asked(vector, k, options, words, text)
        return self._ask(lambda version: self._hits(version, asked))

    def _hits(self, version: Version, asked: _Asked) -> list[Hit]:
        vector, k, options = asked.vector, asked.k, asked.options
        fits = self._fits(version, vector) if asked.text else None
        if options.min_fit is not None and fits is None:
            raise _no_fit(version, text=asked.text)
        search = Nearest(vector, 0, self._allowed(version, options.where), options.exact)
        pool = max(POOL * k, LEAST) if options.hybrid or options.diverse else k
        results = Results(options.per == "product", Least(options.min_score, options.min_fit, fits))
        found = results.best(lambda count: self._database.nearest(version, replace(search, count=count)), pool)
        if options.hybrid:
            tokens = [token for one in Tokens().of(terms(asked.words)) for token in one]
            matching = results.first(
                lambda count: self._database.matching(version, replace(search, count=count), tokens), pool
            )
            found = results.together(found, matching)
        if options.diverse:
            found = self._diverse(version, found, asked)
        return _numbered(found[:k], version, fits)

    def _diverse(self, version: Version, found: list[Found], asked: _Asked) -> list[Found]:
        known = self._database.vectors(version, [one.id for one in found])
        found = [one for one in found if one.id in known]
        scores = np.array([one.score for one in found])
        if asked.options.hybrid:
            scores = -np.arange(len(found), dtype=float)
        vectors = np.array([known[one.id] for one in found]).reshape(len(found), version.dim)
        return [found[place] for place in diversified(scores, vectors, asked.k, asked.options.diverse)]

    def _fits(self, version: Version, vector: np.ndarray) -> Fits | None:
        """What gives the hits of a text's vector (dim,) their fits; None where the version does not know them.

        Of the sample those count that are still there; where a push has just removed all of them, nothing is known.
        """
        if version.fit is None:
            return None
        if self._fit is None or self._fit[0] is not version:
            known = self._database.vectors(version, version.fit.sample)
            sample = np.array([*known.values()], np.float32).reshape(len(known), version.dim)
            self._fit = (version, FitModel.of_json(version.fit.model), sample)
        _, model, sample = self._fit
        return partial(model.fits, vector, sample) if len(sample) else None

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


def _numbered(found: Sequence[Found], version: Version, fits: Fits | None) -> list[Hit]:
    known: list[float | None] = [None] * len(found)
    if fits is not None and found:
        known = [*fits(np.array([one.score for one in found])).round(4).tolist()]
    return [
        Hit(rank, one.id, joined(version.catalog, one.path), one.score, one.metadata, one.product, one.images, fit)
        for rank, (one, fit) in enumerate(zip(found, known, strict=True), start=1)
    ]


def _no_fit(version: Version, *, text: bool) -> VdistillError:
    """Why a `min_fit` cannot be kept."""
    if version.fit is not None and not text:
        return VdistillError(ONE_TEXT, hint="leave it out for others")
    return VdistillError("min-fit: the database knows no fit",
                         hint="run `vdistill index --to` again: it brings what the index knows of fit")  # fmt: skip


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
