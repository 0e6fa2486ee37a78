"""Qdrant: a collection of each version, an alias for the live one. A server, or its client's own engine on a folder."""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from vdistill.databases.address import Address
from vdistill.databases.engine import Column, Found, Nearest, StoredItem, Version
from vdistill.databases.qdrant_connection import Connection
from vdistill.databases.qdrant_filter import filter_of
from vdistill.databases.qdrant_points import SHOWN, VECTOR, WORDS, dense, found_of, place, point, point_id
from vdistill.errors import VdistillError

_PAGE = 1000  # points fetched at once
_PART = 200  # points sent at once: a request of Qdrant's holds 32 MB
_WIDTH = 200  # candidates that a search keeps
_PATIENCE = 30.0  # seconds in which a server may start again while we write
_LEASE = 60.0  # seconds after which a writer that says nothing counts as dead
_SETTLED = 0.5  # seconds in which another writer that began in the same moment has written its lease too
_INDEXED = {"boolean": "bool", "number": "float", "date": "datetime", "time": "datetime", "text": "keyword"}
_LONG = frozenset({"title", "name", "text", "caption", "description"})  # nobody asks for equality with these


class Qdrant:
    """Implements `Database`."""

    engine = "Qdrant"
    can: frozenset[Literal["like", "order of texts", "number()", "words"]] = frozenset({"words"})

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection, self._name = connection, name
        self._call = connection.call
        self._writer, self._renewed = "", 0.0

    @classmethod
    def open(cls, address: Address) -> Qdrant:
        """Connect. Raises VdistillError where the client is missing, or a folder is in use."""
        return cls(Connection.open(address), address.name)

    def close(self) -> None:
        """Close the client."""
        self._connection.close()

    def versions(self) -> list[Version]:
        """All versions; the live one is what the alias means."""
        if not self._call("collection_exists", self._facts):
            return []
        live = self._alias()
        points, _ = self._call("scroll", self._facts, limit=_PAGE, with_payload=True)
        found = [
            Version.read(one.id, self._collection(one.id) == live, json.loads(one.payload["facts"]))
            for one in points
            if "facts" in one.payload
        ]
        return sorted(found, key=lambda one: one.number)

    # Writing

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold a lease that is renewed with each batch; a folder is locked by the client as long as it is open."""
        self._writer = uuid.uuid4().hex
        self._make_room()
        self._take()
        self._connection.patience = _PATIENCE
        try:
            yield
        finally:
            self._connection.patience = 0.0
            with contextlib.suppress(VdistillError):
                if self._holder()["writer"] == self._writer:
                    self._call("delete", self._facts, points_selector=[0])

    def create(self, version: Version) -> None:
        """Make the collection of a new version."""
        from qdrant_client import models

        self._keep()
        name = self._collection(version.number)
        if not self._call("collection_exists", name):
            half = models.Datatype.FLOAT16
            vectors = models.VectorParams(size=version.dim, distance=models.Distance.COSINE, datatype=half)
            words = models.SparseVectorParams(modifier=models.Modifier.IDF)
            self._call("create_collection", name, vectors_config={VECTOR: vectors},
                       sparse_vectors_config={WORDS: words})  # fmt: skip
        self._index_payload(version, version.columns)
        self._note(version.number, {"facts": version.facts()})

    def change_columns(self, version: Version, columns: Sequence[Column]) -> Version:
        """Payloads have no columns: only what is known about them changes."""
        self._keep()
        changed = replace(version, columns=tuple(columns))
        self._index_payload(changed, [column for column in columns if column not in version.columns])
        self._note(version.number, {"facts": changed.facts()})
        return changed

    def stamps(self, version: Version) -> Iterator[tuple[str, bytes]]:
        """Id and stamp of each item."""
        name, offset = self._collection(version.number), None
        while True:
            self._keep()
            points, offset = self._call("scroll", name, limit=_PAGE, offset=offset, with_payload=["id", "stamp"])
            for one in points:
                yield one.payload["id"], bytes.fromhex(one.payload["stamp"])
            if offset is None:
                return

    def put(self, version: Version, items: Sequence[StoredItem]) -> None:
        """Insert or replace points."""
        self._keep()
        kinds = {column.key: column.kind for column in version.columns}
        for start in range(0, len(items), _PART):
            points = [point(item, kinds) for item in items[start : start + _PART]]
            self._call("upsert", self._collection(version.number), points=points, wait=True)

    def remove(self, version: Version, ids: Sequence[str]) -> None:
        """Delete points."""
        self._keep()
        points = [point_id(id_) for id_ in ids]
        self._call("delete", self._collection(version.number), points_selector=points, wait=True)

    def publish(self, version: Version) -> None:
        """Let the alias mean this version, in one step; then delete the other collections."""
        from qdrant_client import models

        self._keep()
        self._note(version.number, {"facts": version.facts()})
        name, now = self._collection(version.number), self._alias()
        alias = models.CreateAlias(collection_name=name, alias_name=self._name)
        steps: list[Any] = [models.CreateAliasOperation(create_alias=alias)]
        if now is not None:
            old = models.DeleteAlias(alias_name=self._name)
            steps.insert(0, models.DeleteAliasOperation(delete_alias=old))
        if now != name:
            self._call("update_collection_aliases", change_aliases_operations=steps)
        for other in self.versions():
            if other.number != version.number:
                self._call("delete_collection", self._collection(other.number))
                self._call("delete", self._facts, points_selector=[other.number])

    def _make_room(self) -> None:
        from qdrant_client import models

        if self._alias() is None and self._call("collection_exists", self._name):
            raise VdistillError(
                f"Qdrant has a collection {self._name!r} already, which vdistill did not make",
                hint="choose another name: qdrant://HOST:PORT?collection=NAME",
            )
        if not self._call("collection_exists", self._facts):
            size = models.VectorParams(size=1, distance=models.Distance.DOT)
            self._call("create_collection", self._facts, vectors_config=size)

    def _take(self) -> None:
        """Take the lease. Raises VdistillError where another writer holds it.

        It is read, then written, which two can do at once: the last one's stays, and the other finds it there.
        """
        held = self._holder()
        if held["writer"] and time.time() - held["at"] < _LEASE:
            raise self._refusal()
        self._renew()
        if not self._connection.on_folder:
            time.sleep(_SETTLED)
        if self._holder()["writer"] != self._writer:
            raise self._refusal()

    def _keep(self) -> None:
        """Renew the lease. Raises VdistillError where another writer has taken it since."""
        if self._holder()["writer"] != self._writer:
            raise VdistillError(f"another `vdistill index --to` has begun to write to {self._name!r} there meanwhile",
                                hint="wait for it; what was stored stays, and the same command continues"
                                )  # fmt: skip
        if time.monotonic() - self._renewed > _LEASE / 6:
            self._renew()

    def _renew(self) -> None:
        self._note(0, {"writer": self._writer, "at": time.time()})
        self._renewed = time.monotonic()

    def _holder(self) -> dict[str, Any]:
        """Who has the lease, since when; nobody where it was given back."""
        held = self._call("retrieve", self._facts, ids=[0])
        return dict(held[0].payload) if held else {"writer": "", "at": 0.0}

    def _refusal(self) -> VdistillError:
        return VdistillError(f"another `vdistill index --to` is writing to {self._name!r} there",
                             hint=f"wait for it; after one that was killed, for {_LEASE:.0f} seconds")  # fmt: skip

    def _note(self, number: int, payload: dict[str, Any]) -> None:
        from qdrant_client import models

        one = models.PointStruct(id=number, vector=[1.0], payload=payload)
        self._call("upsert", self._facts, points=[one], wait=True)

    # Searching

    def nearest(self, version: Version, search: Nearest) -> list[Found]:
        """Through Qdrant's index; compared with all where that finds too few, or where it is asked for."""
        found = self._nearest(version, search, search.exact)
        if len(found) < search.count and search.condition is not None and not search.exact:
            found = self._nearest(version, search, True)
        return found

    def _nearest(self, version: Version, search: Nearest, exact: bool) -> list[Found]:
        from qdrant_client import models

        width = models.SearchParams(exact=exact, hnsw_ef=max(_WIDTH, search.count))
        points = self._query(version, search, query=search.vector.tolist(), using=VECTOR, search_params=width)
        return [found_of(one, one.score) for one in points]

    def matching(self, version: Version, search: Nearest, words: Sequence[str]) -> list[Found]:
        """By BM25: the words are a sparse vector, and Qdrant knows how rare each is."""
        from qdrant_client import models

        places = sorted({place(word) for word in words})
        if not places:
            return []
        query = models.SparseVector(indices=places, values=[1.0] * len(places))
        points = self._query(version, search, query=query, using=WORDS, with_vectors=[VECTOR])
        scores = (dense(points, version.dim) @ search.vector).tolist()
        return [found_of(one, score) for one, score in zip(points, scores, strict=True)]

    def vectors(self, version: Version, ids: Sequence[str]) -> dict[str, np.ndarray]:
        """The vectors of these items."""
        name, points = self._collection(version.number), [point_id(id_) for id_ in ids]
        found = self._call("retrieve", name, ids=points, with_vectors=[VECTOR], with_payload=["id"])
        return dict(zip([one.payload["id"] for one in found], dense(found, version.dim), strict=True))

    def sample(self, version: Version, count: int) -> np.ndarray:
        """Vectors of the first points, whose ids are hashes."""
        name = self._collection(version.number)
        return dense(self._call("scroll", name, limit=count, with_vectors=[VECTOR])[0], version.dim)

    def _query(self, version: Version, search: Nearest, **more: Any) -> list[Any]:
        passed = None if search.condition is None else filter_of(search.condition)
        name = self._collection(version.number)
        answer = self._call("query_points", name, limit=search.count, query_filter=passed, with_payload=SHOWN, **more)
        return list(answer.points)

    @property
    def _facts(self) -> str:
        return f"{self._name}_versions"

    def _collection(self, number: int) -> str:
        return f"{self._name}_v{number}"

    def _alias(self) -> str | None:
        """The collection that the alias means."""
        aliases = self._call("get_aliases").aliases
        return next((one.collection_name for one in aliases if one.alias_name == self._name), None)

    def _index_payload(self, version: Version, columns: Sequence[Column]) -> None:
        """On a server, let filters know how many items pass; the client's own engine reads them all anyway."""
        if self._connection.on_folder:
            return
        for column in columns:
            if column.kind in _INDEXED and column.key not in _LONG:
                self._call("create_payload_index", self._collection(version.number), f"values.{column.key}",
                           field_schema=_INDEXED[column.kind])  # fmt: skip
