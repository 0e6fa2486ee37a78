"""The tables of a PostgreSQL database: which versions there are, and where each is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from vdistill.databases.engine import Column, Version
from vdistill.databases.postgresql_sql import TYPES
from vdistill.errors import VdistillError

if TYPE_CHECKING:
    import psycopg
    from psycopg.sql import Composable, Identifier

    Postgres: TypeAlias = psycopg.Connection[Any]

CATALOG = "vdistill_versions"
LEAST_PGVECTOR = (0, 8)  # its first with iterative scans, without which filtered searches come back short
MOST_DIMENSIONS = 4000  # of a halfvec that an HNSW index takes
_MOST_MEMORY = 2**20  # kB for building an index
_IN_PLACE = 1024  # dimensions; vectors of more do not fit into a page beside the rest of their rows


def table_of(name: str, version: Version) -> Identifier:
    """The table of a version."""
    from psycopg.sql import Identifier

    return Identifier(f"{name}_v{version.number}")


def versions_of(connection: Postgres, name: str) -> list[Version]:
    """All versions under a name; none where nothing was ever written."""
    if connection.execute("SELECT to_regclass(%s)", (CATALOG,)).fetchone() == (None,):
        return []
    rows = connection.execute(
        f"SELECT number, live, facts FROM {CATALOG} WHERE name = %s "
        "AND to_regclass(quote_ident(name || '_v' || number)) IS NOT NULL ORDER BY number",  # one may have been dropped
        (name,),
    ).fetchall()
    return [Version.read(number, live, facts) for number, live, facts in rows]


def require_room(connection: Postgres, name: str) -> None:
    """Raise VdistillError where vectors cannot be kept, or something else has this name; make the table of versions."""
    _require_pgvector(connection)
    use_pgvector(connection)
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS {CATALOG} (name text NOT NULL, number int NOT NULL, "
        "live boolean NOT NULL DEFAULT false, facts jsonb NOT NULL, changed timestamptz NOT NULL DEFAULT now(), "
        "PRIMARY KEY (name, number))"
    )
    taken = connection.execute(
        "SELECT relkind FROM pg_class WHERE relname = %s AND relnamespace = current_schema()::regnamespace", (name,)
    ).fetchone()
    if taken and not versions_of(connection, name):
        raise VdistillError(
            f"the database has a table {name!r} already, which vdistill did not make",
            hint="choose another name: postgresql://HOST/DATABASE?table=NAME",
        )


def use_pgvector(connection: Postgres) -> None:
    """Let its types be found, in whichever schema it was installed."""
    connection.execute(
        "SELECT set_config('search_path', current_setting('search_path') || ', ' || quote_ident(nspname), false) "
        "FROM pg_extension JOIN pg_namespace ON pg_namespace.oid = extnamespace "
        "WHERE extname = 'vector' AND NOT nspname = ANY (current_schemas(true))"
    )


def _require_pgvector(connection: Postgres) -> None:
    found = connection.execute(
        "SELECT installed_version, default_version FROM pg_available_extensions WHERE name = 'vector'"
    ).fetchone()
    if found is None:
        raise VdistillError("the server has no pgvector",
                            hint="install it there, in version 0.8 or later: github.com/pgvector/pgvector")  # fmt: skip
    installed, available = found
    if installed is None:
        _install(connection)
    current = installed or available
    if tuple(int(part) for part in current.split(".")[:2]) < LEAST_PGVECTOR:
        raise VdistillError(
            f"the database has pgvector {current}, whose filtered searches find too few",
            hint="install 0.8 or later on the server, then ALTER EXTENSION vector UPDATE",
        )


def _install(connection: Postgres) -> None:
    from psycopg import errors

    try:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    except errors.InsufficientPrivilege:
        raise VdistillError("the database lacks the extension pgvector, and this user may not add it",
                            hint="let a superuser run there: CREATE EXTENSION vector") from None  # fmt: skip


def create(connection: Postgres, name: str, version: Version) -> None:
    """Make the table of a new version, and note it."""
    from psycopg.sql import SQL

    if version.dim > MOST_DIMENSIONS:
        raise VdistillError(f"vectors of {version.dim:,} numbers are too long for an index of pgvector",
                            hint=f"it takes {MOST_DIMENSIONS:,}: distill on another backbone")  # fmt: skip
    table = table_of(name, version)
    connection.execute(
        SQL(
            "CREATE TABLE {} (id text COLLATE \"C\" PRIMARY KEY, path text NOT NULL, sha256 text NOT NULL, "
            "product text, images int NOT NULL, {} metadata json NOT NULL, lists jsonb NOT NULL, "
            "words tsvector NOT NULL, stamp bytea NOT NULL, vector halfvec({}) NOT NULL)"
        ).format(table, SQL("").join([SQL("{}, ").format(_defined(one)) for one in version.columns]), version.dim)
    )  # fmt: skip
    if version.dim <= _IN_PLACE:  # beside the rest of the row, so that exact searches read one file
        connection.execute(SQL("ALTER TABLE {} ALTER vector SET STORAGE PLAIN").format(table))
    connection.execute(
        f"INSERT INTO {CATALOG} (name, number, facts) VALUES (%s, %s, %s) "
        "ON CONFLICT (name, number) DO UPDATE SET facts = excluded.facts, live = false",
        (name, version.number, version.facts()),
    )


def change_columns(connection: Postgres, name: str, version: Version, columns: Sequence[Column]) -> Version:
    """Add and drop columns, and show them in the view."""
    from psycopg.sql import SQL, Identifier

    table, changed = table_of(name, version), replace(version, columns=tuple(columns))
    if version.live:
        connection.execute(SQL("DROP VIEW IF EXISTS {}").format(Identifier(name)))
    for column in version.columns:
        if column not in columns:
            connection.execute(SQL("ALTER TABLE {} DROP COLUMN {}").format(table, Identifier(column.key)))
    for column in columns:
        if column not in version.columns:
            connection.execute(SQL("ALTER TABLE {} ADD COLUMN {}").format(table, _defined(column)))
    if version.live:
        _make_view(connection, name, changed)
    note(connection, name, changed)
    return changed


def note(connection: Postgres, name: str, version: Version) -> None:
    """Write down what is known about a version."""
    sql = f"UPDATE {CATALOG} SET facts = %s, changed = now() WHERE name = %s AND number = %s AND facts <> %s"
    connection.execute(sql, (version.facts(), name, version.number, version.facts()))


def is_live(connection: Postgres, name: str, version: Version) -> bool:
    """Whether it is what is searched, and what the view shows."""
    live = [one.number for one in versions_of(connection, name) if one.live]
    view = connection.execute("SELECT to_regclass(quote_ident(%s)) IS NOT NULL", (name,)).fetchone()
    return live == [version.number] and view == (True,)


def make_live(connection: Postgres, name: str, version: Version) -> None:
    """Make it the version that is searched, and that the view shows."""
    from psycopg.sql import SQL, Identifier

    connection.execute(f"UPDATE {CATALOG} SET live = (number = %s) WHERE name = %s", (version.number, name))
    connection.execute(SQL("DROP VIEW IF EXISTS {}").format(Identifier(name)))
    _make_view(connection, name, version)


def build_indexes(connection: Postgres, name: str, version: Version) -> None:
    """Build what searches go through, where it is not there yet: of vectors, and of words."""
    from psycopg.sql import SQL, Identifier

    connection.execute("SET LOCAL statement_timeout = 0")  # it may take hours
    table = f"{name}_v{version.number}"
    known = connection.execute("SELECT indexname FROM pg_indexes WHERE tablename = %s", (table,)).fetchall()
    if (f"{table}_vector",) not in known:
        counted = connection.execute(SQL("SELECT count(*) FROM {}").format(Identifier(table))).fetchone()
        needed = min(_kilobytes(counted[0] if counted else 0, version.dim), _MOST_MEMORY)
        connection.execute(
            "SELECT set_config('maintenance_work_mem', greatest(pg_size_bytes("
            "current_setting('maintenance_work_mem')) / 1024, %s)::text || 'kB', true)",
            (needed,),
        )
        sql = "CREATE INDEX {} ON {} USING hnsw (vector halfvec_cosine_ops)"
        connection.execute(SQL(sql).format(Identifier(f"{table}_vector"), Identifier(table)))
    if (f"{table}_words",) not in known:
        sql = "CREATE INDEX {} ON {} USING gin (words)"
        connection.execute(SQL(sql).format(Identifier(f"{table}_words"), Identifier(table)))


def _kilobytes(rows: int, dim: int) -> int:
    """About what building an HNSW index takes: the vectors, and 16 links a point with their overhead."""
    return rows * (2 * dim + 600) // 1024 + 65_536


def drop(connection: Postgres, name: str, version: Version) -> None:
    """Drop the table of a version, and forget it."""
    from psycopg.sql import SQL

    connection.execute("SET LOCAL lock_timeout = '5s'")  # a reader may hold it
    connection.execute(SQL("DROP TABLE IF EXISTS {}").format(table_of(name, version)))
    connection.execute(f"DELETE FROM {CATALOG} WHERE name = %s AND number = %s", (name, version.number))


def _make_view(connection: Postgres, name: str, version: Version) -> None:
    from psycopg.sql import SQL, Identifier

    shown = ["id", "path", "product", "images", *(column.key for column in version.columns), "metadata", "vector"]
    connection.execute(
        SQL("CREATE VIEW {} AS SELECT {} FROM {}").format(
            Identifier(name), SQL(", ").join(map(Identifier, shown)), table_of(name, version)
        )
    )


def _defined(column: Column) -> Composable:
    from psycopg.sql import SQL, Identifier

    return SQL("{} {}").format(Identifier(column.key), SQL(TYPES[column.kind]))
