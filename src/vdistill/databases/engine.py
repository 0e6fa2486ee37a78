"""What a database must be able to do: the seam behind which each engine is a module of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from vdistill.bundle.columns import Kind, known_kind
from vdistill.databases.conditions import Condition
from vdistill.errors import VdistillError

SCHEMA_VERSION = 2  # 1 knew nothing of fit; without one it is still written, for older versions to read


class ConnectionLostError(VdistillError):
    """The database went away and did not come back; what it acknowledged is stored."""


class VersionGoneError(VdistillError):
    """Another version became the live one, and this one was dropped."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the metadata.  name: in the metadata.  key: in the database, where names are less free."""

    name: str
    key: str
    kind: Kind


@dataclass(frozen=True, slots=True)
class KnownFit:
    """What a version knows of fit.

    model: as `FitModel.to_json`.  sample: ids of the items whose scores tell how those of a query spread; their vectors
    are those of the version itself.
    """

    model: Mapping[str, Any]
    sample: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Version:
    """All vectors of one model under one name. One version is live: what is searched.

    model: "student" or "backbone".  fingerprint: of all weights.  text_fingerprint: of the text encoder, which queries
    need.  catalog: the folder that paths are relative to, on the machine that wrote.  fit: None where it is not known.
    """

    number: int
    model: str
    fingerprint: str
    text_fingerprint: str
    dim: int
    catalog: str
    columns: tuple[Column, ...]
    live: bool = False
    fit: KnownFit | None = None

    def facts(self) -> str:
        """What a database keeps about it, as JSON."""
        columns = [[column.name, column.key, column.kind] for column in self.columns]
        known = {name: getattr(self, name) for name in ("model", "fingerprint", "text_fingerprint", "dim", "catalog")}
        if self.fit is None:
            return json.dumps({"schema_version": SCHEMA_VERSION - 1, **known, "columns": columns})
        fit = {"model": dict(self.fit.model), "sample": self.fit.sample}
        return json.dumps({"schema_version": SCHEMA_VERSION, **known, "columns": columns, "fit": fit})

    @classmethod
    def read(cls, number: int, live: bool, facts: Mapping[str, Any]) -> Version:
        """From what a database keeps. Raises VdistillError for the facts of a newer vdistill."""
        known = dict(facts)
        if known.pop("schema_version") > SCHEMA_VERSION:
            raise VdistillError("the database was written by a newer vdistill",
                                hint="upgrade: pip install --upgrade vdistill")  # fmt: skip
        columns = tuple(Column(name, key, known_kind(kind)) for name, key, kind in known.pop("columns"))
        fit = known.pop("fit", None)
        known["fit"] = None if fit is None else KnownFit(fit["model"], tuple(fit["sample"]))
        return cls(number, columns=columns, live=live, **known)


@dataclass(frozen=True, slots=True)
class StoredItem:
    """An item as it is stored.

    metadata: JSON.  product: its name; None for an image without a group.  images: of the product.
    values: by key of a column; what is missing is absent.  lists: the entries of columns that hold lists, by key.
    words: the tokens of its texts.  vector: (dim,) float32, rounded to f16.  stamp: a hash of all this.
    """

    id: str
    path: str
    sha256: str
    metadata: str
    product: str | None
    images: int
    values: dict[str, Any]
    lists: dict[str, list[str]]
    words: tuple[str, ...]
    vector: np.ndarray
    stamp: bytes


@dataclass(frozen=True, slots=True)
class Found:
    """An item that a search found.  score: the cosine of its vector and the query's."""

    id: str
    path: str
    score: float
    metadata: dict[str, Any]
    product: str | None
    images: int


@dataclass(frozen=True, slots=True)
class Nearest:
    """A search: the `count` items nearest to a unit vector (dim,) that fulfil the condition, if there is one.

    exact: all are compared.
    """

    vector: np.ndarray
    count: int
    condition: Condition | None = None
    exact: bool = False


class Database(Protocol):
    """Versions under one name. Every method raises VdistillError.

    That is ConnectionLostError where the server is gone, and VersionGoneError where the version is.

    engine: the name of the product.  can: which parts of a `--where` expression it can answer.
    """

    engine: str
    can: frozenset[Literal["like", "order of texts", "number()", "words"]]

    def versions(self) -> list[Version]:
        """All versions, those that are still being written included; none where nothing was ever written."""

    def writing(self) -> AbstractContextManager[None]:
        """Within the block no other process writes; begins only where writing is possible at all."""

    def create(self, version: Version) -> None:
        """Make room for a new version."""

    def change_columns(self, version: Version, columns: Sequence[Column]) -> Version:
        """The version with other columns; those that it keeps have the same kind and key."""

    def stamps(self, version: Version) -> Iterator[tuple[str, bytes]]:
        """Id and stamp of each item, in any order."""

    def put(self, version: Version, items: Sequence[StoredItem]) -> None:
        """Store these items, in place of those with the same ids; on return they are committed."""

    def remove(self, version: Version, ids: Sequence[str]) -> None:
        """Remove these items; on return that is committed."""

    def publish(self, version: Version) -> None:
        """Make it the live version, whole and in one step; then drop all others."""

    def nearest(self, version: Version, search: Nearest) -> list[Found]:
        """What is nearest, best first: always `count` items where so many fulfil the condition."""

    def matching(self, version: Version, search: Nearest, words: Sequence[str]) -> list[Found]:
        """The `count` items that match any of the words best, best first; their scores are cosines all the same."""

    def vectors(self, version: Version, ids: Sequence[str]) -> dict[str, np.ndarray]:
        """Unit vectors (dim,), float32, of these items by id; what was removed meanwhile is left out."""

    def sample(self, version: Version, count: int) -> np.ndarray:
        """(≤ count, dim) unit vectors of items from all parts of the catalog."""

    def close(self) -> None:
        """Release the connection."""
