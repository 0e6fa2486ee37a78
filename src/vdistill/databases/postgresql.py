"""PostgreSQL with pgvector: a table of each version, searched through an HNSW index of half precision."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from vdistill.databases import postgresql_tables as tables
from vdistill.databases.address import Address
from vdistill.databases.conditions import Condition
from vdistill.databases.engine import Column, Found, Nearest, StoredItem, Version
from vdistill.databases.local_items import without_nul
from vdistill.databases.postgresql_connection import Connection
from vdistill.databases.postgresql_sql import (
    bound,
    cast,
    condition_sql,
    exact_vector,
    halfvec,
    sent_vectors,
    tsquery,
    tsvector,
)
from vdistill.errors import VdistillError

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import Composable

    Postgres: TypeAlias = psycopg.Connection[Any]

_PATIENCE = 60.0  # seconds in which a replica may be promoted while we write
_WIDTH = 200  # candidates that a search keeps
_PAGE = 5000  # stamps fetched at once
_DEEPER = 4  # times as many as wanted: what passes a filter comes in rough order, and later ones may be nearer
_VISIT = 80  # rows that a full scan reads while one is visited through the index
_SIZE = "SELECT greatest(reltuples, 1) FROM pg_class WHERE oid = to_regclass(%s)"
_OWN = ("id", "path", "sha256", "product", "images", "metadata", "lists", "words", "stamp", "vector")
# Scores by the query's vector as it is: as a halfvec it is rounded, by which a fit may differ from the local one in its
# third digit. Only of the rows that were found, so outside of the search.
_FOUND = "SELECT id, path, 1 - (vector::vector <=> %s::vector), metadata, product, images FROM ({}) AS found"
# A search that a filter left short goes on until it has enough rows. Their order is made exact afterwards.
_SETTINGS = f"SET hnsw.iterative_scan = relaxed_order; SET hnsw.ef_search = {_WIDTH}"


class PostgreSQL:
    """Implements `Database`."""

    engine = "PostgreSQL"
    can: frozenset[Literal["like", "order of texts", "number()", "words"]] = frozenset(
        {"like", "order of texts", "number()", "words"}
    )

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._name = name
        self._scanned: dict[tuple[int, Condition], bool] = {}  # whether a full scan is the faster way

    @classmethod
    def open(cls, address: Address) -> PostgreSQL:
        """Connect on first use. Raises VdistillError where the driver is missing."""
        try:
            import psycopg  # noqa: F401
        except ImportError as error:
            raise VdistillError("PostgreSQL needs an extra", hint="pip install 'vdistill[postgres]'") from error
        connection = Connection(address)
        connection.prepare = _prepare_search
        return cls(connection, address.name)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def versions(self) -> list[Version]:
        """All versions."""
        return self._connection.run(lambda db: tables.versions_of(db, self._name))

    # Writing

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold a lock that the server frees when this process dies."""

        def prepare(db: Postgres) -> None:
            lock = "SELECT pg_try_advisory_lock(hashtextextended('vdistill ' || current_schema() || '.' || %s, 0))"
            if db.execute(lock, (self._name,)).fetchone() != (True,):
                raise VdistillError(f"another `vdistill index --to` is writing to {self._name!r} there",
                                    hint="wait for it, or stop it first")  # fmt: skip
            tables.use_pgvector(db)

        self._connection.for_writing(_PATIENCE, prepare)
        self._connection.run(lambda db: tables.require_room(db, self._name))
        try:
            yield
        finally:
            self._connection.close()

    def create(self, version: Version) -> None:
        """Make the table of a new version."""
        self._connection.run(lambda db: _create_once(db, self._name, version))

    def change_columns(self, version: Version, columns: Sequence[Column]) -> Version:
        """Add and drop columns of the table, in one transaction."""

        def change(db: Postgres) -> Version:
            now = next(one for one in tables.versions_of(db, self._name) if one.number == version.number)
            return tables.change_columns(db, self._name, now, columns)

        return self._connection.run(change)

    def stamps(self, version: Version) -> Iterator[tuple[str, bytes]]:
        """Id and stamp of each item, by id."""
        from psycopg.sql import SQL

        sql = SQL("SELECT id, stamp FROM {} WHERE id > %s ORDER BY id LIMIT %s").format(self._table(version))
        last = ""
        while rows := self._all(sql, [last, _PAGE]):
            yield from rows
            last = rows[-1][0]

    def put(self, version: Version, items: Sequence[StoredItem]) -> None:
        """Insert or replace items in one transaction."""
        sql = self._upsert(version)
        rows = [_row(without_nul(item), version.columns) for item in items]

        def insert(db: Postgres) -> None:
            with db.cursor() as cursor:
                cursor.executemany(sql, rows)

        self._connection.run(insert)

    def remove(self, version: Version, ids: Sequence[str]) -> None:
        """Delete items in one transaction."""
        from psycopg.sql import SQL

        sql = SQL("DELETE FROM {} WHERE id = ANY (%s)").format(self._table(version))
        self._connection.run(lambda db: db.execute(sql, ([*ids],)))

    def publish(self, version: Version) -> None:
        """Build the indexes, swap in one transaction, and drop the other versions."""
        self._connection.run(lambda db: tables.build_indexes(db, self._name, version))
        self._connection.run(lambda db: db.execute(self._sql("ANALYZE {}", version)))

        def swap(db: Postgres) -> list[Version]:
            tables.note(db, self._name, version)
            if not tables.is_live(db, self._name, version):
                tables.make_live(db, self._name, version)
            return [one for one in tables.versions_of(db, self._name) if one.number != version.number]

        for other in self._connection.run(swap):
            with contextlib.suppress(VdistillError):  # still being read: the next push drops it
                self._connection.run(partial(tables.drop, name=self._name, version=other))

    # Searching

    def nearest(self, version: Version, search: Nearest) -> list[Found]:
        """Through the index; by a full scan where that is faster, finds too few, or is asked for."""
        if not (search.exact or self._scan_is_faster(version, search)):
            deep = search if search.condition is None else replace(search, count=_DEEPER * search.count)
            found = self._nearest(version, deep, "vector <=> %s::halfvec")
            if len(found) >= search.count:
                return sorted(found, key=lambda one: -one.score)[: search.count]
            if search.condition is not None:
                self._scanned[version.number, search.condition] = True
        return self._nearest(version, search, "(vector <=> %s::halfvec) + 0")  # which no index answers

    def _scan_is_faster(self, version: Version, search: Nearest) -> bool:
        """By PostgreSQL's own estimate of how many items fulfil the condition, asked for once."""
        if search.condition is None:
            return False
        key = (version.number, search.condition)
        if key not in self._scanned:
            where, values = condition_sql(search.condition)
            sql = self._sql("EXPLAIN (FORMAT JSON) SELECT 1 FROM {} WHERE {}", version, where)
            matches = float(self._all(sql, values)[0][0][0]["Plan"]["Plan Rows"])
            rows = self._size(version)
            visited = _DEEPER * search.count * rows / max(matches, 1.0)
            self._scanned[key] = visited * _VISIT > rows
        return self._scanned[key]

    def _nearest(self, version: Version, search: Nearest, order: str) -> list[Found]:
        where, values = _where(search.condition)
        vector = exact_vector(search.vector)
        sql = self._sql(_FOUND.format(f"SELECT * FROM {{}} WHERE {{}} ORDER BY {order} LIMIT %s"), version, where)
        return self._found(sql, [vector, *values, vector, search.count])

    def matching(self, version: Version, search: Nearest, words: Sequence[str]) -> list[Found]:
        """By `ts_rank`, for the length of the texts."""
        where, values = _where(search.condition)
        asked = tsquery(words)
        if not asked:
            return []
        ranked = "ORDER BY ts_rank(words, %s::tsquery, 1) DESC, id LIMIT %s"
        sql = self._sql(
            _FOUND.format(f"SELECT * FROM {{}} WHERE words @@ %s::tsquery AND {{}} {ranked}"), version, where
        )
        return self._found(sql, [exact_vector(search.vector), asked, *values, asked, search.count])

    def vectors(self, version: Version, ids: Sequence[str]) -> dict[str, np.ndarray]:
        """The vectors of these items."""
        rows = self._all(self._sql("SELECT id, halfvec_send(vector) FROM {} WHERE id = ANY (%s)", version), [[*ids]])
        vectors = sent_vectors([sent for _, sent in rows], version.dim)
        return dict(zip([id_ for id_, _ in rows], vectors, strict=True))

    def sample(self, version: Version, count: int) -> np.ndarray:
        """Vectors of the rows of some pages, always the same ones."""
        part = "SELECT halfvec_send(vector) FROM {} TABLESAMPLE SYSTEM (%s) REPEATABLE (0) LIMIT %s"
        rows = self._all(self._sql(part, version), [min(100.0, 200.0 * count / self._size(version)), count])
        return sent_vectors([sent for (sent,) in rows], version.dim)

    def _size(self, version: Version) -> float:
        """How many rows its table has, about."""
        found = self._all(_SIZE, [f'"{self._name}_v{version.number}"'])
        return float(found[0][0]) if found else 1.0

    def _found(self, sql: Composable, values: Sequence[Any]) -> list[Found]:
        return [
            Found(id_, path, float(score), metadata, product, images)
            for id_, path, score, metadata, product, images in self._all(sql, values)
        ]

    def _all(self, sql: Composable | str, values: Sequence[Any]) -> list[Any]:
        return list(self._connection.run(lambda db: db.execute(sql, values).fetchall()))

    def _table(self, version: Version) -> Any:
        return tables.table_of(self._name, version)

    def _sql(self, text: str, version: Version, *more: Composable) -> Composable:
        from psycopg.sql import SQL

        return SQL(text).format(self._table(version), *more)

    def _upsert(self, version: Version) -> Composable:
        from psycopg.sql import SQL, Identifier

        names = [*_OWN, *(column.key for column in version.columns)]
        places = [SQL("%s")] * 5 + [SQL("%s::json"), SQL("%s::jsonb"), SQL("%s::tsvector"), SQL("%s"),
                                    SQL("%s::halfvec")]  # fmt: skip
        places += [cast(column.kind) for column in version.columns]
        changes = [SQL("{0} = excluded.{0}").format(Identifier(name)) for name in names[1:]]
        return self._sql(
            "INSERT INTO {} ({}) VALUES ({}) ON CONFLICT (id) DO UPDATE SET {}", version,
            SQL(", ").join(map(Identifier, names)), SQL(", ").join(places), SQL(", ").join(changes),
        )  # fmt: skip


def _prepare_search(db: Postgres) -> None:
    tables.use_pgvector(db)
    db.execute(_SETTINGS)


def _create_once(db: Postgres, name: str, version: Version) -> None:
    """Make the table, unless an attempt whose answer was lost made it."""
    if not any(one.number == version.number for one in tables.versions_of(db, name)):
        tables.create(db, name, version)


def _where(condition: Condition | None) -> tuple[Composable, list[Any]]:
    from psycopg.sql import SQL

    return (SQL("TRUE"), []) if condition is None else condition_sql(condition)


def _row(item: StoredItem, columns: Sequence[Column]) -> list[Any]:
    import json

    values = [
        None if column.key not in item.values else bound(column.kind, item.values[column.key]) for column in columns
    ]
    own = [item.id, item.path, item.sha256, item.product, item.images, item.metadata, json.dumps(item.lists),
           tsvector(item.words), item.stamp, halfvec(item.vector)]  # fmt: skip
    return own + values
